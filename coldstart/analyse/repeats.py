"""Starts that are missing from a comparison: repeated ones, those nobody observed, and those that lack a phase.

A start is repeated for a physical reason (not cold, not quiet, throttled), and which side that meets is chance, as long
as neither causes it. A candidate that heats the board or fills its disk does: its slowest starts are then replaced by
later, cooler ones, which no test of times can see.

A start that nobody observed is not repeated. It may have been the slowest one, or may have failed.
Nor is one whose source missed the boundaries of a phase: which side that meets is chance, too, as long as neither
causes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pandas as pd
from scipy import stats

from coldstart.analyse import frames
from coldstart.model.cell import CellPair, Side
from coldstart.model.rule import METRICS, Rule
from coldstart.model.sample import CONTAMINATED_ABOVE, Outcome

LEVEL = 0.01
"""Of all pairs of a gate together: each has its share of it (Bonferroni)."""


class SidesRepeated(msgspec.Struct, frozen=True, kw_only=True):
    """Of each side's starts in one pair of cells, how many had to be repeated; ``p_value`` by Fisher's exact test.

    The test is two-sided, and its unit is the start, however often it was repeated. ``level`` is what it is held
    against. ``baseline_unseen`` and ``candidate_unseen`` starts were not observed, or coldstart itself failed in them.
    """

    name: str
    baseline_starts: int
    baseline_repeated: int
    candidate_starts: int
    candidate_repeated: int
    p_value: float
    level: float
    baseline_unseen: int = 0
    candidate_unseen: int = 0

    @property
    def has_unseen(self) -> bool:
        """Whether any start of a side was not observed: then the pair is never ``ok``."""
        return self.baseline_unseen + self.candidate_unseen > 0

    @property
    def has_many_unseen(self) -> bool:
        """Whether more than a tenth of a side's starts were not observed: then there is nothing to conclude from."""
        return (
            self.baseline_unseen > CONTAMINATED_ABOVE * self.baseline_starts
            or self.candidate_unseen > CONTAMINATED_ABOVE * self.candidate_starts
        )

    @property
    def unseen_reason(self) -> str:
        """Why a pair with unseen starts is never ``ok``."""
        return (
            f"{self.name}: {self.candidate_unseen} of {self.candidate_starts} starts of the candidate and "
            f"{self.baseline_unseen} of {self.baseline_starts} of the baseline were not observed, or coldstart itself "
            "failed in them: they may have been slower or have failed, so this is never ok"
        )

    @property
    def is_lopsided(self) -> bool:
        """Whether that is more on one side than chance allows."""
        return self.p_value <= self.level

    @property
    def reason(self) -> str:
        """Why such a pair is never ``ok``."""
        return (
            f"{self.name}: {self.candidate_repeated} of {self.candidate_starts} starts of the candidate and "
            f"{self.baseline_repeated} of {self.baseline_starts} of the baseline had to be repeated, more on one side "
            f"than chance allows (Fisher's exact test, p = {self.p_value:.2g}, level {self.level:.2g}): what was "
            "repeated may have been slower, so this is never ok"
        )


class SidesWithoutPhase(msgspec.Struct, frozen=True, kw_only=True):
    """Of each side's timed starts in one pair of cells, how many lack a phase that is judged; tested as repeats are."""

    name: str
    baseline_starts: int
    baseline_missing: int
    candidate_starts: int
    candidate_missing: int
    p_value: float
    level: float

    @property
    def is_lopsided(self) -> bool:
        """Whether that is more on one side than chance allows."""
        return self.p_value <= self.level

    @property
    def reason(self) -> str:
        """Why the question about that phase is never ``ok``."""
        return (
            f"{self.name}: {self.candidate_missing} of {self.candidate_starts} starts of the candidate and "
            f"{self.baseline_missing} of {self.baseline_starts} of the baseline lack this phase, more on one side than "
            f"chance allows (Fisher's exact test, p = {self.p_value:.2g}, level {self.level:.2g}): the missing ones "
            "may have been slower, so this is never ok"
        )


def compare_missing(
    baseline: pd.DataFrame, candidate: pd.DataFrame, pairs: Sequence[CellPair], rule: Rule
) -> tuple[SidesWithoutPhase, ...]:
    """For each phase of the rule and pair of cells, the timed starts of either side that lack the phase."""
    questions = [(name, pair) for name in rule.metrics for pair in pairs]
    return tuple(
        _without_phase(
            f"{pair.key}: {name}",
            frames.of_cell(frames.timed(baseline), pair.baseline)[METRICS[name]],
            frames.of_cell(frames.timed(candidate), pair.candidate)[METRICS[name]],
            LEVEL / len(questions),
        )
        for name, pair in questions
    )


def compare_repeats(
    baseline: pd.DataFrame, candidate: pd.DataFrame, pairs: Sequence[CellPair]
) -> tuple[SidesRepeated, ...]:
    """The repeats and the unseen starts of each pair of cells; ``baseline`` and ``candidate`` are rows of the sides."""
    return tuple(
        _compared(
            pair,
            frames.of_cell(frames.planned(baseline), pair.baseline),
            frames.of_cell(frames.planned(candidate), pair.candidate),
            LEVEL / len(pairs),
        )
        for pair in pairs
    )


def side_of(frame: pd.DataFrame, side: Side) -> pd.DataFrame:
    """The rows of one side of a run that has two."""
    return frame[frame["side"] == side.value]


def _compared(pair: CellPair, baseline: pd.DataFrame, candidate: pd.DataFrame, level: float) -> SidesRepeated:
    (ours, ours_repeated, ours_unseen), (theirs, theirs_repeated, theirs_unseen) = map(_counted, (baseline, candidate))
    return SidesRepeated(
        name=pair.key,
        baseline_starts=ours,
        baseline_repeated=ours_repeated,
        candidate_starts=theirs,
        candidate_repeated=theirs_repeated,
        p_value=_fisher(ours_repeated, ours, theirs_repeated, theirs),
        level=level,
        baseline_unseen=ours_unseen,
        candidate_unseen=theirs_unseen,
    )


def _without_phase(name: str, baseline: pd.Series, candidate: pd.Series, level: float) -> SidesWithoutPhase:
    ours, theirs = int(baseline.isna().sum()), int(candidate.isna().sum())
    return SidesWithoutPhase(
        name=name,
        baseline_starts=len(baseline),
        baseline_missing=ours,
        candidate_starts=len(candidate),
        candidate_missing=theirs,
        p_value=_fisher(ours, len(baseline), theirs, len(candidate)),
        level=level,
    )


def _fisher(ours: int, of_ours: int, theirs: int, of_theirs: int) -> float:
    table = np.array([[ours, of_ours - ours], [theirs, of_theirs - theirs]])
    return float(stats.fisher_exact(table).pvalue)


def _counted(rows: pd.DataFrame) -> tuple[int, int, int]:
    """Starts, each with all its attempts; how many of them had one that was to be repeated, and one nobody observed."""
    repeated = rows["outcome"].map(lambda outcome: Outcome(outcome).is_requeued).astype(bool)
    unseen = rows["outcome"].map(lambda outcome: Outcome(outcome).is_unseen).astype(bool)
    blocks = rows["block"]
    return int(blocks.nunique()), int(blocks[repeated].nunique()), int(blocks[unseen].nunique())
