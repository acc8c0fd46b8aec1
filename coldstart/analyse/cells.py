"""Each cell by itself: how its trials ended, and how long its phases took."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pandas as pd

from coldstart.analyse import frames
from coldstart.analyse.contamination import repeats_in
from coldstart.analyse.estimate import Estimate, mean_interval, median_interval, quartiles
from coldstart.model.cell import Cell
from coldstart.model.sample import CONTAMINATED_ABOVE, Outcome


class PhaseSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One phase of one cell, ns.

    ``share`` is the phase's total over all starts divided by their end-to-end total: the fraction of all time spent.
    It equals mean over mean, so the shares of pull, create, init, readiness and gap add up to 1, which shares of
    medians would not. Unpack lies inside pull.
    """

    column: str
    median: Estimate
    mean: Estimate
    q1: float
    q3: float
    share: float


class CellSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One cell. Only ``ok`` trials are timed; all others are counted, and never averaged.

    ``attempts`` counts every trial but those of warm-up blocks; ``requeued`` those that were repeated
    (`Outcome.is_requeued`), also where an image could not be proved cold in any trial and the cell ``is_never_cold``.
    ``resolution_ns`` is the coarsest readiness resolution among the timed trials.
    """

    cell: Cell
    attempts: int
    ok: int
    requeued: int
    outcomes: dict[str, int]
    sources: tuple[str, ...]
    phases: dict[str, PhaseSummary]
    resolution_ns: int | None
    clock_error_ns: int | None
    image_compressed_bytes: int | None
    image_unpacked_bytes: int | None
    is_never_cold: bool = False

    @property
    def failed(self) -> int:
        """Trials in which what was started failed."""
        return self._count(lambda outcome: outcome.is_failure)

    @property
    def unseen(self) -> int:
        """Trials that nobody observed, or in which coldstart itself failed."""
        return self._count(lambda outcome: outcome.is_unseen)

    @property
    def contaminated(self) -> bool:
        """More than a tenth of its trials had to be repeated."""
        return self.requeued > CONTAMINATED_ABOVE * self.attempts

    def median(self, column: str) -> Estimate | None:
        """The median of a phase; ``None`` if it was never observed."""
        return self.phases[column].median if column in self.phases else None

    def share(self, column: str) -> float | None:
        """The phase's share of end-to-end; ``None`` if it was never observed."""
        return self.phases[column].share if column in self.phases else None

    def _count(self, is_one: Callable[[Outcome], bool]) -> int:
        return sum(count for outcome, count in self.outcomes.items() if is_one(Outcome(outcome)))


def summarise(frame: pd.DataFrame) -> tuple[CellSummary, ...]:
    """One summary per cell of a tidy frame, in the order of `frames.by_cell`; warm-up rows are left out."""
    return tuple(_summary(cell, rows) for cell, rows in frames.by_cell(frames.planned(frame)))


def total_share(frame: pd.DataFrame, column: str) -> float | None:
    """A phase's total over the end-to-end total of the same starts; ``None`` if it was never observed."""
    rows = frames.timed(frame).dropna(subset=[column])
    total = float(np.sum(frames.values(rows, "e2e_ns")))
    return float(np.sum(frames.values(rows, column))) / total if total > 0 else None


def _summary(cell: Cell, rows: pd.DataFrame) -> CellSummary:
    timed = frames.timed(rows)
    counts = {str(outcome): int(count) for outcome, count in sorted(rows["outcome"].value_counts().items())}
    return CellSummary(
        cell=cell,
        attempts=len(rows),
        ok=len(timed),
        requeued=sum(count for outcome, count in counts.items() if Outcome(outcome).is_requeued),
        outcomes=counts,
        sources=tuple(sorted({str(source) for source in timed["source"]})),
        phases={column: phase for column in frames.PHASE_COLUMNS if (phase := _phase(timed, column))},
        resolution_ns=frames.largest(timed.assign(resolution_ns=frames.resolutions(timed)), "resolution_ns"),
        clock_error_ns=frames.largest(timed, "clock_error_ns"),
        image_compressed_bytes=frames.largest(rows, "image_compressed_bytes"),
        image_unpacked_bytes=frames.largest(rows, "image_unpacked_bytes"),
        is_never_cold=bool(repeats_in(rows).never_cold),
    )


def _phase(timed: pd.DataFrame, column: str) -> PhaseSummary | None:
    observed = frames.values(timed, column)
    share = total_share(timed, column)
    if not len(observed) or share is None:
        return None
    q1, q3 = quartiles(observed)
    return PhaseSummary(
        column=column, median=median_interval(observed), mean=mean_interval(observed), q1=q1, q3=q3, share=share
    )
