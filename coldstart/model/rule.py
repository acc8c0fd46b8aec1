"""What a gate was told to tolerate, and how sure it has to be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import msgspec

from coldstart.errors import UnknownNameError, UsageError
from coldstart.model.cell import CellPair, Tier

LOOKS = (10, 20, 40, 80, 160)
METRICS = {
    "pull": "pull_ns",
    "unpack": "unpack_ns",
    "create": "create_ns",
    "init": "init_ns",
    "readiness": "readiness_ns",
}
"""Phases that can be gated beside end-to-end, by their names on the command line."""
_OF_PULLS = ("pull", "unpack")


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
        return self.tolerated_of(names_of(pair))

    def tolerated_of(self, names: Iterable[str]) -> float:
        """The same of what goes by these names."""
        found, names = self.max_slowdown, tuple(names)
        for pattern, allowed in self.cells.items():
            if matches(pattern, names):
                found = allowed
        return found


def names_of(pair: CellPair) -> tuple[str, ...]:
    """What a pattern may match: either cell's name, and the pair's own as every table has it."""
    return (pair.baseline.key, pair.candidate.key, pair.key)


def matches(pattern: str, names: Iterable[str]) -> bool:
    """Whether a level (a part between slashes) or a pattern names one of them."""
    return any(pattern in name.split("/") or fnmatchcase(name, pattern) for name in names)


def check_questions(rule: Rule, pairs: Sequence[CellPair]) -> None:
    """Whatever the rule asks is asked of one of the pairs at least, or it would be passed without being judged.

    Raises:
        UnknownNameError: a pattern of cells that names none, with the nearest level, phase or cell.
        UsageError: a phase that none of the cells has.
    """
    check_patterns(rule, [name for pair in pairs for name in names_of(pair)])
    for phase in rule.metrics:
        if phase in _OF_PULLS and not any(pair.candidate.tier is Tier.ABSENT for pair in pairs):
            raise UsageError(
                f"--max-slowdown {phase}=…: only starts of tier absent pull, and none is compared here. Add it with "
                "--tier, or leave this out."
            )


def check_patterns(rule: Rule, names: Sequence[str]) -> None:
    """As `check_questions`, of patterns alone: ``names`` are those of all that is compared."""
    for pattern in rule.cells:
        if not matches(pattern, names):
            is_whole = "/" in pattern or "*" in pattern
            levels = {level for name in names for level in name.split("/")}
            known = set(names) if is_whole else {*levels, *METRICS}
            kind = "cell" if is_whole else "level or phase"
            raise UnknownNameError(kind, pattern, known, f"--max-slowdown {pattern}=…")
