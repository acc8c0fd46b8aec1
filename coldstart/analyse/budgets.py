"""A run against absolute budgets: targets that have to be met, judged by their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from coldstart.analyse.cells import CellSummary
from coldstart.analyse.quality import assess
from coldstart.analyse.targets import Overview
from coldstart.errors import EXIT_ENVIRONMENT, EXIT_INCONCLUSIVE, EXIT_OK, EXIT_REGRESSION
from coldstart.model.target import Verdict

_UNSURE = {Verdict.UNDECIDED, Verdict.NOT_ALIKE}


def budget_code(frame: pd.DataFrame, cells: Sequence[CellSummary], overviews: Sequence[Overview]) -> tuple[int, str]:
    """The exit code that a run deserves, and why, in a sentence.

    Missed anywhere, or a start that failed in a cell with a budget: 1. A contaminated run, or a budget that nothing was
    measured for: 4, for that is never a pass. An interval on both sides of a limit, or conditions that differ: 3.
    """
    judgements = [judgement for overview in overviews for judgement in overview.judgements]
    verdicts = {judgement.verdict for judgement in judgements}
    budgeted = {judgement.cell for judgement in judgements if judgement.cell is not None}
    failed = [summary for summary in cells if summary.failed and summary.cell in budgeted]
    missed = [judgement for judgement in judgements if judgement.verdict is Verdict.MISSED]
    if missed:
        return EXIT_REGRESSION, f"{missed[0].target.id} is missed ({len(missed)} of {len(judgements)} judgements)"
    if failed:
        return (
            EXIT_REGRESSION,
            f"{failed[0].cell.key}: {failed[0].failed} starts failed; a failed start meets no budget",
        )
    if assess(frame).contaminated:
        return EXIT_ENVIRONMENT, "the run is contaminated: more than a tenth of its starts had to be repeated"
    if not judgements or Verdict.NOT_MEASURED in verdicts:
        lacking = next((one.target.id for one in judgements if one.verdict is Verdict.NOT_MEASURED), "")
        return EXIT_ENVIRONMENT, f"{lacking or 'nothing'}: not measured in this run"
    unsure = [judgement for judgement in judgements if judgement.verdict in _UNSURE]
    if unsure:
        return EXIT_INCONCLUSIVE, f"{unsure[0].target.id}: {unsure[0].verdict}"
    return EXIT_OK, "every budget is met"
