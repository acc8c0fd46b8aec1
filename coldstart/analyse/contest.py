"""Baseline against candidate: what a run's frame holds of each pair of cells, block by block and phase by phase."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pandas as pd

from coldstart.analyse import frames
from coldstart.analyse.calibration import Bank, merged
from coldstart.analyse.compare import paired_ratio, paired_shift, unpaired_ratio, unpaired_shift
from coldstart.analyse.estimate import Estimate
from coldstart.analyse.floor import floor_of
from coldstart.analyse.gate import Series
from coldstart.model.cell import Cell, CellPair, Side
from coldstart.model.rule import METRICS, Rule
from coldstart.model.run import RunManifest
from coldstart.model.sample import Outcome

PHASES = ("e2e_ns", "pull_ns", "create_ns", "init_ns", "readiness_ns")


class PhaseEffect(msgspec.Struct, frozen=True, kw_only=True):
    """One phase of one pair of cells: the candidate against the baseline.

    ``ratio`` is ``None`` where a side took no time at all (a pull that was none); ``shift_ns`` is the difference.
    ``baseline_ns`` and ``candidate_ns`` are medians. ``paired`` says whether starts were compared within their blocks.
    """

    pair: CellPair
    column: str
    baseline_ns: float
    candidate_ns: float
    ratio: Estimate | None
    shift_ns: Estimate
    paired: bool


def series_of(frame: pd.DataFrame, pairs: Sequence[CellPair], rule: Rule) -> tuple[Series, ...]:
    """What `coldstart.analyse.gate.judge` asks of a run with two sides: end-to-end of each pair, and the rule's phases.

    A start that was requeued to the end (`Outcome.is_requeued`), or that nobody observed, counts neither as a pair nor
    as a failure.
    A phase is asked about where a side has it (nobody pulls in tier ``warm``), of blocks in which both took a time.
    The floor is by the baseline's starts up to the first look, so that no later one changes it.
    """
    rows = _last_attempts(frames.planned(frame))
    first = rule.looks[0]
    found = [_series(rows, pair, "e2e_ns", rule.tolerated(pair), first) for pair in pairs]
    for name, allowed in rule.metrics.items():
        for pair in pairs:
            series = _series(rows, pair, METRICS[name], allowed, first)
            if (series.baseline_ns > 0).any() or (series.candidate_ns > 0).any():
                found.append(_of_phase(series, name))
    return tuple(found)


def phase_effects(frame: pd.DataFrame, pairs: Sequence[CellPair]) -> tuple[PhaseEffect, ...]:
    """Every phase of every pair that has one timed block at least, with 95 % intervals, paired by block."""
    rows = frames.timed(frame)
    return tuple(
        effect
        for pair in pairs
        for column in PHASES
        if (effect := _phase_effect(_of(rows, pair, Side.BASELINE), _of(rows, pair, Side.CANDIDATE), pair, column))
    )


def factor_effects(frame: pd.DataFrame, factor: str, reference: str) -> tuple[PhaseEffect, ...]:
    """Every cell of another level of ``factor`` against the one that differs from it only in having ``reference``.

    Paired by block; cells without such a counterpart are passed over.
    """
    rows = frames.timed(frame)
    groups = dict(frames.by_cell(rows))
    effects: list[PhaseEffect] = []
    for cell, own in groups.items():
        if str(getattr(cell, factor)) == reference:
            continue
        other = next((c for c in groups if _differs_in(c, cell, factor) and str(getattr(c, factor)) == reference), None)
        if other is not None:
            pair = CellPair(baseline=other, candidate=cell)
            found = (_phase_effect(groups[other], own, pair, column) for column in PHASES)
            effects += [effect for effect in found if effect is not None]
    return tuple(effects)


def run_effects(first: pd.DataFrame, second: pd.DataFrame) -> tuple[PhaseEffect, ...]:
    """Every cell that both runs timed, the second run against the first: unpaired, for nothing ties their blocks."""
    ours, theirs = ([cell for cell, _ in frames.by_cell(frames.timed(frame))] for frame in (first, second))
    return pair_effects(first, second, [CellPair(baseline=cell, candidate=cell) for cell in ours if cell in theirs])


def pair_effects(first: pd.DataFrame, second: pd.DataFrame, pairs: Sequence[CellPair]) -> tuple[PhaseEffect, ...]:
    """Every phase of the pairs that both runs timed, unpaired: baselines of the first, candidates of the second."""
    ours, theirs = (dict(frames.by_cell(frames.timed(frame))) for frame in (first, second))
    return tuple(
        effect
        for pair in pairs
        if pair.baseline in ours and pair.candidate in theirs
        for column in PHASES
        if (effect := _unpaired_effect(ours[pair.baseline], theirs[pair.candidate], pair, column)) is not None
    )


def moved_phase(effects: Sequence[PhaseEffect], pair: CellPair) -> PhaseEffect | None:
    """The phase that grew most, by its difference; ``None`` if none grew for sure."""
    grown = [
        effect
        for effect in effects
        if effect.pair == pair
        and effect.column != "e2e_ns"
        and effect.shift_ns.lower is not None
        and effect.shift_ns.lower > 0
    ]
    return max(grown, key=lambda effect: effect.shift_ns.value, default=None)


def _of_phase(series: Series, name: str) -> Series:
    taken = (series.baseline_ns > 0) & (series.candidate_ns > 0)
    made: Series = msgspec.structs.replace(
        series,
        name=f"{series.name}: {name}",
        baseline_ns=series.baseline_ns[taken],
        candidate_ns=series.candidate_ns[taken],
    )
    return made


def _series(rows: pd.DataFrame, pair: CellPair, column: str, allowed: float, first: int | None = None) -> Series:
    baseline, candidate = (_of(rows, pair, side).set_index("block") for side in Side)
    both = baseline.index.intersection(candidate.index)
    outcomes = pd.DataFrame(
        {"a": baseline.loc[both, "outcome"].map(_state), "b": candidate.loc[both, "outcome"].map(_state)}
    )
    known = baseline.loc[both, column].notna() & candidate.loc[both, column].notna()
    timed = outcomes.index[(outcomes == "ok").all(axis=1) & known].sort_values()
    a_failed, b_failed = outcomes["a"] == "failed", outcomes["b"] == "failed"
    floor = floor_of(baseline.sort_index(), column, first)
    return Series(
        name=pair.key,
        baseline_ns=baseline.loc[timed, column].to_numpy(dtype=np.float64),
        candidate_ns=candidate.loc[timed, column].to_numpy(dtype=np.float64),
        floor_ns=floor.ns,
        floor_is_bound=floor.is_bound,
        candidate_failed=int((b_failed & (outcomes["a"] == "ok")).sum()),
        baseline_failed=int((a_failed & (outcomes["b"] == "ok")).sum()),
        both_failed=int((a_failed & b_failed).sum()),
        max_slowdown=allowed,
    )


def _last_attempts(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each start the last attempt: the earlier ones were spoilt, which is why there is a later one."""
    identity = ["block", "side", *frames.CELL_COLUMNS]
    return rows.sort_values(["block", "attempt"], kind="stable").drop_duplicates(identity, keep="last")


def _of(rows: pd.DataFrame, pair: CellPair, side: Side) -> pd.DataFrame:
    return frames.of_cell(rows[rows["side"] == side.value], pair.of(side))


def _state(outcome: str) -> str:
    found = Outcome(outcome)
    if found is Outcome.OK:
        return "ok"
    return "failed" if found.is_failure else "spoilt"


def _differs_in(one: Cell, other: Cell, factor: str) -> bool:
    """Whether two cells are the same but for one factor."""
    names = [name for name in frames.CELL_COLUMNS if name != factor]
    return one != other and all(getattr(one, name) == getattr(other, name) for name in names)


def _unpaired_effect(a: pd.DataFrame, b: pd.DataFrame, pair: CellPair, column: str) -> PhaseEffect | None:
    first, second = frames.values(a, column), frames.values(b, column)
    if not (len(first) and len(second)):
        return None
    positive = bool((first > 0).all() and (second > 0).all())
    return PhaseEffect(
        pair=pair,
        column=column,
        baseline_ns=float(np.median(first)),
        candidate_ns=float(np.median(second)),
        ratio=unpaired_ratio(first, second) if positive else None,
        shift_ns=unpaired_shift(first, second),
        paired=False,
    )


def _phase_effect(a: pd.DataFrame, b: pd.DataFrame, pair: CellPair, column: str) -> PhaseEffect | None:
    of_blocks = [rows.groupby("block")[column].last() for rows in (a, b)]
    both = pd.concat(of_blocks, axis=1, join="inner").dropna()
    if both.empty:
        return None
    first, second = (both.iloc[:, side].to_numpy(dtype=np.float64) for side in (0, 1))
    positive = bool((first > 0).all() and (second > 0).all())
    return PhaseEffect(
        pair=pair,
        column=column,
        baseline_ns=float(np.median(first)),
        candidate_ns=float(np.median(second)),
        ratio=paired_ratio(first, second) if positive else None,
        shift_ns=paired_shift(second - first),
        paired=True,
    )


def bank_of(runs: Sequence[tuple[RunManifest, pd.DataFrame]]) -> list[Bank]:
    """The pairs of a start against itself, cell by cell, over several calibration runs in the order of time.

    Runs that compare nothing are passed over; cells come in the order they are first met.
    """
    return merged(
        _banked(frame, pair)
        for manifest, frame in runs
        if manifest.comparison is not None
        for pair in manifest.comparison.pairs
    )


def _banked(frame: pd.DataFrame, pair: CellPair) -> Bank:
    rows = frames.planned(frame)
    last = _last_attempts(rows)
    series = _series(last, pair, "e2e_ns", 0.0)
    outcomes = [Outcome(outcome) for side in Side for outcome in _of(rows, pair, side)["outcome"]]
    requeued = sum(outcome.is_requeued for outcome in outcomes)
    return Bank(
        cell=pair.key,
        baseline_ns=tuple(float(value) for value in series.baseline_ns),
        candidate_ns=tuple(float(value) for value in series.candidate_ns),
        floor_ns=series.floor_ns,
        attempts=len(outcomes),
        requeued=requeued,
        failed=sum(outcome.is_failure for outcome in outcomes),
        resolutions_ns=_resolutions_ns(last, pair),
    )


def _resolutions_ns(last: pd.DataFrame, pair: CellPair) -> tuple[float | None, ...]:
    """What the probe could not see before the baseline's start of each block that timed both, in the blocks' order."""
    baseline, candidate = (frames.timed(_of(last, pair, side)).set_index("block") for side in Side)
    both = baseline.index.intersection(candidate.index).sort_values()
    return tuple(None if pd.isna(value) else float(value) for value in frames.resolutions(baseline.loc[both]))
