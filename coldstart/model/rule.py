"""What a gate was told to tolerate, and how sure it has to be."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

from coldstart.model.cell import CellPair

LOOKS = (10, 20, 40, 80, 160)
METRICS = {"pull": "pull_ns", "create": "create_ns", "init": "init_ns", "readiness": "readiness_ns"}
"""Phases that can be gated beside end-to-end, by their names on the command line."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """``max_slowdown`` of end-to-end is tolerated (0.05 = 5 %); ``alpha`` bounds a whole gate's false alarms.

    Looks are taken after so many pairs. ``cells`` maps a level (``absent``) or a pattern of a cell's name
    (``*/warm/*``) to what is tolerated there instead, the last match deciding; ``metrics`` a phase of `METRICS` to what
    is tolerated of it: each is one more question to every cell that has the phase.
    """

    max_slowdown: float = 0.05
    alpha: float = 0.01
    looks: tuple[int, ...] = LOOKS
    cells: dict[str, float] = {}
    metrics: dict[str, float] = {}

    @property
    def alpha_at_look(self) -> float:
        """The level of one look, one-sided."""
        return self.alpha / len(self.looks)

    def tolerated(self, pair: CellPair) -> float:
        """The slowdown of end-to-end that is tolerated in this pair of cells."""
        found = self.max_slowdown
        for pattern, allowed in self.cells.items():
            if matches(pattern, pair):
                found = allowed
        return found


def matches(pattern: str, pair: CellPair) -> bool:
    """Whether a level or pattern names one of the pair's cells."""
    return any(
        pattern in cell.key.split("/") or fnmatchcase(cell.key, pattern) for cell in (pair.baseline, pair.candidate)
    )
