"""A run against absolute budgets: targets that have to be met, judged by their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from coldstart.analyse.cells import CellSummary
from coldstart.analyse.judging import Judgement
from coldstart.analyse.quality import assess
from coldstart.analyse.targets import Overview
from coldstart.errors import EXIT_ENVIRONMENT, EXIT_INCONCLUSIVE, EXIT_OK, EXIT_REGRESSION
from coldstart.model.sample import Outcome
from coldstart.model.target import Verdict

_UNSURE = {Verdict.UNDECIDED, Verdict.NOT_ALIKE}


def budget_code(frame: pd.DataFrame, cells: Sequence[CellSummary], overviews: Sequence[Overview]) -> tuple[int, str]:
    """The exit code that a run deserves, and why, in a sentence.

    Missed anywhere, or a start that failed in a cell with a budget: 1. A contaminated run, a lost engine or registry,
    starts that were not observed, or a budget that nothing was measured for: 4, for that is never a pass. An interval
    on both sides of a limit, or conditions that differ: 3.
    """
    judgements = [one for overview in overviews if overview.target.verdict for one in overview.judgements]
    budgeted = {cell for judgement in judgements for cell in (judgement.cell, judgement.against) if cell is not None}
    lost = _count(cells, lambda outcome: outcome.is_lost)
    unseen = _count(cells, lambda outcome: outcome.is_unseen)
    failed = [summary for summary in cells if _failed(summary) and summary.cell in budgeted]
    missed = [judgement for judgement in judgements if judgement.verdict is Verdict.MISSED]
    unmeasured = [judgement for judgement in judgements if judgement.verdict is Verdict.NOT_MEASURED]
    unsure = [judgement for judgement in judgements if judgement.verdict in _UNSURE]
    found: tuple[tuple[object, int, str], ...] = (
        (missed, EXIT_REGRESSION, f"{_first(missed)} is missed ({len(missed)} of {len(judgements)} judgements)"),
        (failed, EXIT_REGRESSION, _failures(failed)),
        (lost, EXIT_ENVIRONMENT, f"the engine or the registry was lost in {lost} starts"),
        (
            assess(frame).contaminated,
            EXIT_ENVIRONMENT,
            "the run is contaminated: more than a tenth of its starts had to be repeated",
        ),
        (unseen, EXIT_ENVIRONMENT, f"{unseen} starts were not observed, or coldstart itself failed in them"),
        (unmeasured or not judgements, EXIT_ENVIRONMENT, f"{_first(unmeasured)}: not measured in this run"),
        (unsure, EXIT_INCONCLUSIVE, f"{_first(unsure)}: {unsure[0].verdict if unsure else ''}"),
        (True, EXIT_OK, "every budget is met"),
    )
    return next((code, why) for applies, code, why in found if applies)


def _first(judgements: Sequence[Judgement]) -> str:
    return judgements[0].target.id if judgements else "nothing"


def _failures(failed: Sequence[CellSummary]) -> str:
    if not failed:
        return ""
    return f"{failed[0].cell.key}: {_failed(failed[0])} starts failed; a failed start meets no budget"


def _failed(summary: CellSummary) -> int:
    """Starts that failed by themselves: an engine that was lost is not the image's doing."""
    return _count([summary], lambda outcome: outcome.is_failure)


def _count(cells: Sequence[CellSummary], is_one: Callable[[Outcome], bool]) -> int:
    return sum(count for summary in cells for name, count in summary.outcomes.items() if is_one(Outcome(name)))
