"""Whether a run may be believed: sums that must hold, trials that were repeated or failed."""

from __future__ import annotations

import msgspec
import pandas as pd

from coldstart.analyse import frames
from coldstart.analyse.contamination import repeats_in
from coldstart.model.cell import Cell
from coldstart.model.sample import Outcome
from coldstart.model.timeline import ADDENDS, PULL_PARTS


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over a whole run, warm-up rows apart from ``warmups`` left out.

    ``sums_checked`` timed rows were checked for e2e = pull + create + init + readiness + gap, ``sums_broken`` of them
    do not add up to the ns; ``parts_checked`` and ``parts_broken`` likewise for pull's exclusive parts. ``unseen``
    trials nobody observed, or coldstart itself failed in them. ``never_cold`` are cells that were left out since their
    image could not be proved cold, each with the reason; their trials are among ``requeued``. The run is
    ``contaminated`` where more than a tenth of all others' trials had to be repeated, which ``disturbance`` tells.
    """

    attempts: int
    ok: int
    requeued: int
    failed: int
    unseen: int
    warmups: int
    sums_checked: int
    sums_broken: int
    parts_checked: int
    parts_broken: int
    contaminated: bool
    disturbance: str
    never_cold: tuple[tuple[Cell, str], ...]


def assess(frame: pd.DataFrame) -> Quality:
    """Count and check a tidy frame."""
    rows, timed, repeats = frames.planned(frame), frames.timed(frame), repeats_in(frame)
    outcomes = [Outcome(outcome) for outcome in rows["outcome"]]
    sums_checked, sums_broken = _broken_sums(timed, "e2e_ns", ADDENDS)
    parts_checked, parts_broken = _broken_sums(timed, "pull_ns", PULL_PARTS)
    return Quality(
        attempts=len(rows),
        ok=len(timed),
        requeued=sum(outcome.is_requeued for outcome in outcomes),
        failed=sum(outcome.is_failure for outcome in outcomes),
        unseen=sum(outcome.is_unseen for outcome in outcomes),
        warmups=len(frame) - len(rows),
        sums_checked=sums_checked,
        sums_broken=sums_broken,
        parts_checked=parts_checked,
        parts_broken=parts_broken,
        contaminated=repeats.is_contaminated,
        disturbance=repeats.disturbance if repeats.is_contaminated else "",
        never_cold=tuple({cell: reason for (_, cell), reason in repeats.never_cold.items()}.items()),
    )


def _broken_sums(timed: pd.DataFrame, total: str, addends: tuple[str, ...]) -> tuple[int, int]:
    known = timed[[total, *addends]].dropna()
    return len(known), int((known[total] != known[list(addends)].sum(axis=1)).sum())
