"""Two stored runs, or two files of times, one judged against the other: unpaired, and labelled so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec
import numpy as np
import pandas as pd

from coldstart.analyse import frames
from coldstart.analyse.contamination import Contamination, examine
from coldstart.analyse.contest import PhaseEffect, pair_effects
from coldstart.analyse.counters import CounterCheck, Limit, check_counters
from coldstart.analyse.floor import floor_of
from coldstart.analyse.gate import Decision
from coldstart.analyse.repeats import SidesRepeated, SidesWithoutPhase, compare_missing, compare_repeats
from coldstart.analyse.unpaired import Arms, judge_unpaired
from coldstart.analyse.verdict import Verdict, end, moved_in, paired_images
from coldstart.errors import UsageError
from coldstart.model.cell import Cell, CellPair
from coldstart.model.rule import METRICS, Rule, check_patterns, check_questions
from coldstart.model.run import RunManifest
from coldstart.model.sample import Outcome
from coldstart.store.imported import Times

_SAME = ("name", "ready", "timeout_ns", "options", "egress")
_REMEASURE = "Measure both in one run: coldstart gate --baseline … --candidate …"


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A stored run as it is judged: its manifest, and its tidy frame."""

    manifest: RunManifest
    frame: pd.DataFrame


def conclude_runs(baseline: Measured, candidate: Measured, rule: Rule, limits: Sequence[Limit] = ()) -> Verdict:
    """The verdict of a stored run against an earlier one of the same experiment on the same machine.

    A cell that only the candidate has is passed over; one that only the baseline has makes the verdict invalid.

    Raises:
        UsageError: another host, source or experiment: their difference would not be the candidate's; a run that holds
            two sides already; or a question that no cell answers.
    """
    _refuse_others(baseline, candidate)
    pairs = _pairs(baseline, candidate)
    check_questions(rule, pairs)
    decisions = judge_unpaired(_arms(baseline.frame, candidate.frame, pairs, rule), rule)
    effects = pair_effects(baseline.frame, candidate.frame, pairs)
    counters = check_counters(
        paired_images(
            _with_images(pairs, candidate), baseline.manifest.images_of(None), candidate.manifest.images_of(None)
        ),
        tuple(limits),
    )
    contamination = _together(examine(baseline.frame), examine(candidate.frame))
    outcomes = [Outcome(one) for side in (baseline, candidate) for one in frames.planned(side.frame)["outcome"]]
    return _verdict(
        f"{candidate.manifest.run_id} against {baseline.manifest.run_id}",
        rule,
        decisions,
        contamination,
        effects=effects,
        moved=moved_in(pairs, effects, decisions),
        counters=counters,
        repeats=compare_repeats(baseline.frame, candidate.frame, pairs),
        missing=compare_missing(baseline.frame, candidate.frame, pairs, rule),
        source=", ".join(_sources(baseline)),
        failed=sum(outcome.is_failure for outcome in outcomes),
        unseen=sum(outcome.is_unseen for outcome in outcomes),
    )


def conclude_times(
    baseline: Mapping[str, Times], candidate: Mapping[str, Times], rule: Rule, *, names: tuple[str, str]
) -> Verdict:
    """The verdict of imported times, by the names of their cells; where each side has but one, those two.

    ``names`` are the files'. What only the baseline has makes the verdict invalid.

    Raises:
        UnknownNameError: a tolerance of cells that go by no name in the files.
    """
    check_patterns(rule, [*baseline, *candidate])
    if len(baseline) == len(candidate) == 1:
        candidate = dict(zip(baseline, candidate.values(), strict=True))
    arms = [
        Arms(
            name=name,
            baseline_ns=np.asarray(ours.values_ns),
            candidate_ns=np.asarray((theirs := candidate.get(name, Times())).values_ns),
            baseline_failed=ours.failed,
            candidate_failed=theirs.failed,
            max_slowdown=rule.tolerated_of([name]),
        )
        for name, ours in baseline.items()
    ]
    failed = sum(times.failed for side in (baseline, candidate) for times in side.values())
    attempts = failed + sum(len(times.values_ns) for side in (baseline, candidate) for times in side.values())
    contamination = Contamination(attempts=attempts, requeued=0, sentinels=(), reasons=())
    run_id = f"{names[1]} against {names[0]}"
    return _verdict(run_id, rule, judge_unpaired(arms, rule), contamination, source="imported", failed=failed)


def _verdict(  # noqa: PLR0913  the parts of one record
    run_id: str,
    rule: Rule,
    decisions: tuple[Decision, ...],
    contamination: Contamination,
    *,
    source: str,
    failed: int,
    unseen: int = 0,
    effects: tuple[PhaseEffect, ...] = (),
    moved: Mapping[str, PhaseEffect] = MappingProxyType({}),
    counters: tuple[CounterCheck, ...] = (),
    repeats: tuple[SidesRepeated, ...] = (),
    missing: tuple[SidesWithoutPhase, ...] = (),
) -> Verdict:
    outcome, reasons = end(decisions, counters, contamination, rule, repeats, missing)
    return Verdict(
        run_id=run_id,
        outcome=outcome,
        reasons=reasons,
        rule=rule,
        decisions=decisions,
        effects=effects,
        moved=dict(moved),
        counters=counters,
        contamination=contamination,
        source=source,
        blocks=0,
        attempts=contamination.attempts,
        failed=failed,
        unseen=unseen,
        requeued=contamination.requeued,
        paired=False,
        repeats=repeats,
        missing=missing,
    )


def _refuse_others(baseline: Measured, candidate: Measured) -> None:
    ours, theirs = baseline.manifest, candidate.manifest
    for manifest in (ours, theirs):
        if manifest.comparison is not None:
            raise UsageError(
                f"{manifest.run_id} holds two sides already, and starts of both would be taken for one. Judge it by "
                f"itself with coldstart gate {manifest.run_id}, or name two runs of coldstart run."
            )
    if ours.host.host_id != theirs.host.host_id:
        raise UsageError(
            f"the runs are of different hosts ({ours.host.host_id}, {theirs.host.host_id}): what differs may be the "
            f"machine. {_REMEASURE}"
        )
    for what in _SAME:
        one, other = (getattr(manifest.experiment, what) for manifest in (ours, theirs))
        if one != other:
            raise UsageError(
                f"the runs are of different experiments ({what}: {_said(one)}, {_said(other)}). {_REMEASURE}"
            )
    if _sources(baseline) != _sources(candidate):
        raise UsageError(
            f"the runs' instants come from different sources ({', '.join(_sources(baseline))}; "
            f"{', '.join(_sources(candidate))}). Measure again with the same --source. {_REMEASURE}"
        )


def _said(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _sources(side: Measured) -> list[str]:
    return sorted({str(source) for source in side.frame["source"]})


def _pairs(baseline: Measured, candidate: Measured) -> tuple[CellPair, ...]:
    """Each cell of the baseline with the candidate's: the same, or in runs of one image each the other image's."""
    theirs = [cell for cell, _ in frames.by_cell(frames.planned(candidate.frame))]
    is_of_images = all(side.manifest.experiment.image is not None for side in (baseline, candidate))
    return tuple(
        CellPair(baseline=cell, candidate=_counterpart(cell, theirs, of_images=is_of_images))
        for cell, _ in frames.by_cell(frames.planned(baseline.frame))
    )


def _counterpart(cell: Cell, others: Sequence[Cell], *, of_images: bool) -> Cell:
    """``cell`` itself where there is none: it will be found to have no starts."""
    if not of_images:
        return cell
    alike = ("engine", "runtime", "tier", "network")
    return next((one for one in others if all(getattr(one, a) == getattr(cell, a) for a in alike)), cell)


def _with_images(pairs: Sequence[CellPair], candidate: Measured) -> tuple[CellPair, ...]:
    """The pairs whose candidate was started, or has an image at least; another one is known to have no starts."""
    known = {(image.workload, image.variant) for image in candidate.manifest.images}
    started = {cell for cell, _ in frames.by_cell(frames.planned(candidate.frame))}
    return tuple(pair for pair in pairs if pair.candidate.image_key in known or pair.candidate in started)


def _arms(first: pd.DataFrame, second: pd.DataFrame, pairs: Sequence[CellPair], rule: Rule) -> list[Arms]:
    questions = [("e2e_ns", "", None), *((METRICS[name], name, allowed) for name, allowed in rule.metrics.items())]
    return [
        arms
        for column, name, allowed in questions
        for pair in pairs
        if (arms := _arm(first, second, pair, column, name, rule.tolerated(pair) if allowed is None else allowed))
    ]


def _arm(
    first: pd.DataFrame, second: pd.DataFrame, pair: CellPair, column: str, phase: str, allowed: float
) -> Arms | None:
    """``None`` of a phase that neither side has; a phase that took no time is left out of it."""
    sides = (
        frames.of_cell(frames.planned(first), pair.baseline),
        frames.of_cell(frames.planned(second), pair.candidate),
    )
    ours, theirs = (frames.values(frames.timed(rows), column) for rows in sides)
    if phase:
        ours, theirs = ours[ours > 0], theirs[theirs > 0]
        if not (len(ours) or len(theirs)):
            return None
    floor = floor_of(sides[0], column)
    return Arms(
        name=f"{pair.key}: {phase}" if phase else pair.key,
        baseline_ns=ours,
        candidate_ns=theirs,
        floor_ns=floor.ns,
        floor_is_bound=floor.is_bound,
        baseline_failed=_failed(sides[0]),
        candidate_failed=_failed(sides[1]),
        max_slowdown=allowed,
    )


def _failed(rows: pd.DataFrame) -> int:
    return sum(Outcome(outcome).is_failure for outcome in rows["outcome"])


def _together(baseline: Contamination, candidate: Contamination) -> Contamination:
    sides = {"baseline": baseline, "candidate": candidate}
    return Contamination(
        attempts=sum(side.attempts for side in sides.values()),
        requeued=sum(side.requeued for side in sides.values()),
        sentinels=tuple(test for side in sides.values() for test in side.sentinels),
        reasons=tuple(f"{name}: {reason}" for name, side in sides.items() for reason in side.reasons),
    )
