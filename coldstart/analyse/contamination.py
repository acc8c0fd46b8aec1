"""Whether a comparison may be believed: judged from the machine alone, blind to which side was faster."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
from scipy import stats

from coldstart.analyse import frames
from coldstart.model.cell import Side
from coldstart.model.repeats import Repeats
from coldstart.model.sample import Outcome

SLOW = 1.5
SLOW_SHARE = 0.10
LEVEL = 0.01
_SENTINELS = {"sentinel_cpu_ns": "CPU", "sentinel_io_ns": "write"}


class SentinelTest(msgspec.Struct, frozen=True, kw_only=True):
    """Of ``n`` sentinels ``slow`` took over `SLOW` times their median; ``p_value`` against one in ten, binomial."""

    name: str
    n: int
    slow: int
    median_ns: float
    p_value: float

    @property
    def is_disturbed(self) -> bool:
        """Whether that is more than one in ten, at `LEVEL`."""
        return self.p_value <= LEVEL


class Contamination(msgspec.Struct, frozen=True, kw_only=True):
    """What spoilt a comparison, in sentences; none where nothing did.

    ``attempts`` and ``requeued`` are of all cells but those that were never once cold, which spoil no others.
    """

    attempts: int
    requeued: int
    sentinels: tuple[SentinelTest, ...]
    reasons: tuple[str, ...]


def examine(frame: pd.DataFrame) -> Contamination:
    """Look at a run's trials and sentinels, by two rules.

    More than a tenth of the trials had to be repeated (`coldstart.model.repeats`). Or the sentinel, some fixed CPU
    work and a fixed write before each block, took more than 1.5 times its median in more than one of ten blocks (exact
    binomial test, 1 %); the write's is shown and decides nothing, for a disk's flushes vary by more than that in peace.
    """
    rows, repeats = frames.planned(frame), repeats_in(frame)
    tests = tuple(
        test for column, name in _SENTINELS.items() if (test := _test(name, frames.values(rows, column))) is not None
    )
    reasons = []
    if repeats.is_contaminated:
        reasons.append(repeats.disturbance)
    reasons += [
        f"the {test.name} sentinel took more than {SLOW} times its median in {test.slow} of {test.n} blocks"
        for test in tests
        if test.is_disturbed and test.name == "CPU"
    ]
    return Contamination(attempts=repeats.attempts, requeued=repeats.requeued, sentinels=tests, reasons=tuple(reasons))


def repeats_in(frame: pd.DataFrame) -> Repeats:
    """What a tidy frame says of starts that had to be repeated."""
    found = Repeats()
    cells = [cell for _, cell in sorted((at, cell) for cell, rows in frames.by_cell(frame) for at in rows.index)]
    sides = frame["side"] if "side" in frame else [None] * len(frame)
    for cell, side, outcome, reason, warmup in zip(
        cells, sides, frame["outcome"], frame["reason"], frame["warmup"], strict=True
    ):
        found.note(
            (Side(side) if isinstance(side, str) else None, cell),
            Outcome(outcome),
            reason=reason if isinstance(reason, str) else None,
            warmup=bool(warmup),
        )
    return found


def _test(name: str, readings: np.ndarray[tuple[int], np.dtype[np.float64]]) -> SentinelTest | None:
    if not len(readings):
        return None
    median = float(np.median(readings))
    slow = int((readings > SLOW * median).sum())
    return SentinelTest(
        name=name,
        n=len(readings),
        slow=slow,
        median_ns=median,
        p_value=float(stats.binom.sf(slow - 1, len(readings), SLOW_SHARE)),
    )
