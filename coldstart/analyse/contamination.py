"""Whether a comparison may be believed: judged from the machine alone, blind to which side was faster."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
from scipy import stats

from coldstart.analyse import frames
from coldstart.model.sample import CONTAMINATED_ABOVE, Outcome

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
    """What spoilt a comparison, in sentences; none where nothing did."""

    attempts: int
    requeued: int
    sentinels: tuple[SentinelTest, ...]
    reasons: tuple[str, ...]


def examine(frame: pd.DataFrame) -> Contamination:
    """Look at a run's trials and sentinels, by two rules.

    More than a tenth of the trials had to be repeated (not cold, not quiet). Or the sentinel, a fixed piece of CPU work
    and a fixed write before each block, took more than 1.5 times its median in more than one of ten blocks (exact
    binomial test, 1 %); the write's is shown and decides nothing, for a disk's flushes vary by more than that in peace.
    """
    rows = frames.planned(frame)
    requeued = sum(Outcome(outcome).is_requeued for outcome in rows["outcome"])
    tests = tuple(
        test for column, name in _SENTINELS.items() if (test := _test(name, frames.values(rows, column))) is not None
    )
    reasons = []
    if requeued > CONTAMINATED_ABOVE * len(rows):
        reasons.append(f"{requeued} of {len(rows)} starts had to be repeated: not cold, not quiet or throttled")
    reasons += [
        f"the {test.name} sentinel took more than {SLOW} times its median in {test.slow} of {test.n} blocks"
        for test in tests
        if test.is_disturbed and test.name == "CPU"
    ]
    return Contamination(attempts=len(rows), requeued=requeued, sentinels=tests, reasons=tuple(reasons))


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
