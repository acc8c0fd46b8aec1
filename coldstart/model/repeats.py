"""Starts that had to be repeated: whose image was never once proved cold, and whether the others spoil the run.

One rule for a run while it is measured and for all that is said of it afterwards, so it needs records only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from coldstart.model.cell import Cell, Side
from coldstart.model.sample import CONTAMINATED_ABOVE, Outcome, Sample

MAX_ATTEMPTS = 3
"""After so many attempts a requeued trial (`Outcome.is_requeued`) stays what its last attempt was."""

_FEW = 6  # fewer repeats than this stop no run: a short one is over soon anyway
_MANY = 20  # from so many starts on, most of them repeated say that the machine is in use

Contender = tuple[Side | None, Cell]
_OF_THE_MACHINE = {Outcome.NOT_QUIET, Outcome.THROTTLED, Outcome.CLOCK_MOVED}
_UNTRIED = {  # say nothing of whether a cell can be cold
    *(Outcome.NOT_COLD, Outcome.NOT_QUIET, Outcome.ENGINE_LOST, Outcome.REGISTRY_LOST, Outcome.HARNESS_FAILED)
}


class Repeats:
    """The starts of a run so far, by what became of them.

    Starts of warm-up blocks tell whether an image can be cold, and are not counted. Nor are those of a cell that was
    never once cold: its image cannot be proved cold here, which does not disturb the others.
    """

    def __init__(self) -> None:
        self._tried: dict[Contender, bool] = {}  # whether it was ever cold, or failed for another reason
        self._not_cold: Counter[Contender] = Counter()
        self._counted: Counter[tuple[Contender, Outcome]] = Counter()
        self._reasons: dict[Contender, str] = {}
        self._last_reason = ""
        self._spoilt_in_a_row = 0
        self._any_ok = False

    def note(self, contender: Contender, outcome: Outcome, *, reason: str | None = None, warmup: bool = False) -> None:
        """Another start, of this side and cell."""
        self._tried[contender] = self._tried.get(contender, False) or outcome not in _UNTRIED
        self._any_ok = self._any_ok or outcome is Outcome.OK
        self._spoilt_in_a_row = self._spoilt_in_a_row + 1 if outcome in _OF_THE_MACHINE else 0
        if outcome is Outcome.NOT_COLD:
            self._not_cold[contender] += 1
            self._reasons[contender] = (reason or "no reason is known").rstrip(".")
        if outcome.is_requeued:
            self._last_reason = (reason or self._last_reason).rstrip(".")
        if not warmup:
            self._counted[contender, outcome] += 1

    def pause(self) -> None:
        """The run was left and is resumed: whatever spoilt its last starts may have ended meanwhile."""
        self._spoilt_in_a_row = 0

    def not_cold_so_far(self, contender: Contender) -> int:
        """How often a contender that was never once cold was not; 0 for any other."""
        return 0 if self._tried.get(contender, False) else self._not_cold[contender]

    @property
    def never_cold(self) -> dict[Contender, str]:
        """Those that were not cold in every attempt at a start, and never once were, with the last reason."""
        return {one: self._reasons[one] for one in self._not_cold if self.not_cold_so_far(one) >= MAX_ATTEMPTS}

    @property
    def attempts(self) -> int:
        """Starts of all cells but the never cold ones."""
        never = self.never_cold
        return sum(count for (contender, _), count in self._counted.items() if contender not in never)

    @property
    def requeued(self) -> int:
        """Those of them that had to be repeated."""
        return self._requeued(self.never_cold)

    @property
    def is_contaminated(self) -> bool:
        """More than a tenth of the starts had to be repeated."""
        return self.requeued > CONTAMINATED_ABOVE * self.attempts

    def end(self, left: int | None) -> str | None:
        """Why nothing can come of the run any more, in words; ``None`` while something can.

        ``left`` is how many starts are still to come at most, those that are tried again included, if that is known.
        The machine is never quiet; or most starts are repeated; or more are than a tenth of all, though the rest went
        well. Cells that were not cold so far are not counted: they are given up by themselves.
        """
        if not self._any_ok and self._spoilt_in_a_row >= _FEW:
            return f"none of the first {self._spoilt_in_a_row} starts found the machine fit: {self.disturbance}"
        suspects = [contender for contender in self._not_cold if self.not_cold_so_far(contender)]
        requeued = self._requeued(suspects)
        attempts = sum(count for (contender, _), count in self._counted.items() if contender not in suspects)
        if attempts >= _MANY and 2 * requeued > attempts:
            return f"most starts have to be repeated: {self.disturbance}"
        if requeued >= _FEW and left is not None and requeued > CONTAMINATED_ABOVE * (attempts + left):
            return f"too many starts had to be repeated, however the others go: {self.disturbance}"
        return None

    @property
    def disturbance(self) -> str:
        """What disturbs: how many starts were repeated, why, of which cell most, and the last reason."""
        never = self.never_cold
        outcomes: Counter[Outcome] = Counter()
        cells: Counter[Cell] = Counter()
        for (contender, outcome), count in self._counted.items():
            if outcome.is_requeued and contender not in never:
                outcomes[outcome] += count
                cells[contender[1]] += count
        if not outcomes:
            return self._last_reason
        kinds = ", ".join(f"{count} {outcome.value.replace('_', ' ')}" for outcome, count in outcomes.most_common())
        ((cell, most),) = cells.most_common(1)
        where = f", {most} of them of {cell.key}" if len(cells) > 1 else ""
        last = f". The last: {self._last_reason}" if self._last_reason else ""
        return f"{self.requeued} of {self.attempts} starts had to be repeated ({kinds}{where}){last}"

    def _requeued(self, without: Iterable[Contender]) -> int:
        left_out = set(without)
        return sum(
            count
            for (contender, outcome), count in self._counted.items()
            if outcome.is_requeued and contender not in left_out
        )


def repeats_of(samples: Iterable[Sample]) -> Repeats:
    """What a run's samples say, in the order they were measured."""
    found = Repeats()
    for sample in samples:
        trial = sample.trial
        found.note((trial.side, trial.cell), sample.outcome, reason=sample.reason, warmup=trial.warmup)
    return found
