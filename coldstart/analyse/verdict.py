"""A whole comparison, concluded: the rule's verdict, what moved, the hard limits, and whether to believe it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec
import pandas as pd

from coldstart.analyse import frames
from coldstart.analyse.contamination import Contamination, examine, repeats_in
from coldstart.analyse.contest import PhaseEffect, moved_phase, phase_effects, series_of
from coldstart.analyse.counters import CounterCheck, Limit, check_counters
from coldstart.analyse.gate import Call, Decision, judge, overall
from coldstart.analyse.repeats import SidesRepeated, SidesWithoutPhase, compare_missing, compare_repeats, side_of
from coldstart.analyse.spent import spent_ns
from coldstart.errors import EXIT_ENVIRONMENT, EXIT_INCONCLUSIVE, EXIT_OK, EXIT_REGRESSION
from coldstart.model.cell import CellPair, Side
from coldstart.model.image import Image
from coldstart.model.rule import Rule
from coldstart.model.run import RunManifest
from coldstart.model.sample import Outcome as StartOutcome


class Outcome(StrEnum):
    """How a gate ends."""

    OK = "ok"
    REGRESSION = "regression"
    INCONCLUSIVE = "inconclusive"
    CONTAMINATED = "contaminated"
    INVALID = "invalid"


EXIT_CODES = {
    Outcome.OK: EXIT_OK,
    Outcome.REGRESSION: EXIT_REGRESSION,
    Outcome.INCONCLUSIVE: EXIT_INCONCLUSIVE,
    Outcome.CONTAMINATED: EXIT_ENVIRONMENT,
    Outcome.INVALID: EXIT_ENVIRONMENT,
}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """``outcome`` and, in a sentence each, ``reasons``; everything it was made of.

    ``moved`` names for each regressed pair the phase that grew most. ``blocks`` were begun, ``attempts`` starts made:
    ``failed`` of them failures, ``unseen`` observed by nobody and ``requeued`` repeated
    (`coldstart.model.sample.Outcome.is_requeued`), not counting cells that were never once cold. None is averaged.
    Where the sides were not measured together it is not ``paired``, and weaker; ``blocks`` is then 0. ``repeats`` are
    those of each pair of cells, by side, and ``missing`` the starts without a phase that was asked about.
    ``stored_rule`` is what the run was measured by, where ``rule`` is another that was asked for afterwards.
    ``spent_ns`` is how long the starts of each pair took, by its name; empty where they were not measured together.
    """

    run_id: str
    outcome: Outcome
    reasons: tuple[str, ...]
    rule: Rule
    decisions: tuple[Decision, ...]
    effects: tuple[PhaseEffect, ...]
    moved: dict[str, PhaseEffect]
    counters: tuple[CounterCheck, ...]
    contamination: Contamination
    source: str
    blocks: int
    attempts: int
    failed: int
    requeued: int
    unseen: int = 0
    paired: bool = True
    stored_rule: Rule | None = None
    repeats: tuple[SidesRepeated, ...] = ()
    missing: tuple[SidesWithoutPhase, ...] = ()
    spent_ns: dict[str, int] = {}


def conclude(
    manifest: RunManifest, frame: pd.DataFrame, limits: Sequence[Limit] = (), rule: Rule | None = None
) -> Verdict:
    """The verdict of a stored comparison, by the rule that it was measured by, or by another ``rule``.

    A hard limit that is passed is a regression whatever the times are: counters have no noise. Failures of the
    candidate stand in a disturbed run too; every other verdict of a contaminated run is *contaminated*.

    Raises:
        ValueError: the run compares nothing.
    """
    if manifest.comparison is None or manifest.comparison.rule is None:
        raise ValueError(f"run {manifest.run_id} has no two contenders to judge")
    stored_rule, pairs = manifest.comparison.rule, manifest.comparison.pairs
    rule = rule or stored_rule
    never_cold = never_cold_pairs(frame, pairs)
    judged = tuple(pair for pair in pairs if pair not in never_cold)
    decisions = judge(series_of(frame, judged, rule), rule)
    effects = phase_effects(frame, pairs)
    counters = check_counters(images_of(manifest), tuple(limits))
    contamination = examine(frame)
    sides = side_of(frame, Side.BASELINE), side_of(frame, Side.CANDIDATE)
    repeats, missing = compare_repeats(*sides, judged), compare_missing(*sides, judged, rule)
    outcome, reasons = end(decisions, counters, contamination, rule, repeats, missing)
    if never_cold:
        has_to_be_judged = manifest.comparison.every_pair or not judged
        outcome, reasons = _without(tuple(never_cold.values()), outcome, reasons, is_invalid=has_to_be_judged)
    outcomes = [StartOutcome(outcome) for outcome in frames.planned(frame)["outcome"]]
    return Verdict(
        run_id=manifest.run_id,
        outcome=outcome,
        reasons=reasons,
        rule=rule,
        decisions=decisions,
        effects=effects,
        moved=moved_in(pairs, effects, decisions),
        counters=counters,
        contamination=contamination,
        source=", ".join(sorted({str(source) for source in frame["source"]})),
        blocks=int(frame["block"].nunique()),
        attempts=contamination.attempts,
        failed=sum(outcome.is_failure for outcome in outcomes),
        unseen=sum(outcome.is_unseen for outcome in outcomes),
        requeued=contamination.requeued,
        stored_rule=None if rule == stored_rule else stored_rule,
        spent_ns=spent_ns(frame, pairs),
        repeats=repeats,
        missing=missing,
    )


def never_cold_pairs(frame: pd.DataFrame, pairs: Sequence[CellPair]) -> dict[CellPair, str]:
    """Pairs of which a side was never once cold, each with a sentence that says why: no rule judges these."""
    reasons = repeats_in(frame).never_cold
    found: dict[CellPair, str] = {}
    for pair in pairs:
        for side in Side:
            if (why := reasons.get((side, pair.of(side)))) is not None:
                found[pair] = f"{pair.of(side).key} ({side}) could not be proved cold: {why}"
    return found


def _without(
    left_out: tuple[str, ...], outcome: Outcome, reasons: tuple[str, ...], *, is_invalid: bool
) -> tuple[Outcome, tuple[str, ...]]:
    """The verdict without pairs that were never cold: none at all where they had to be judged, but a regression."""
    if is_invalid and outcome is not Outcome.REGRESSION:
        return Outcome.INVALID, left_out
    return outcome, (*reasons, *(f"left out: {why}" for why in left_out))


def moved_in(
    pairs: Sequence[CellPair], effects: Sequence[PhaseEffect], decisions: Sequence[Decision]
) -> dict[str, PhaseEffect]:
    """For each pair that regressed the phase that grew most, by the pair's name."""
    regressed = {decision.name for decision in decisions if decision.call is Call.REGRESSION}
    return {pair.key: phase for pair in pairs if (phase := moved_phase(effects, pair)) and pair.key in regressed}


def end(
    decisions: Sequence[Decision],
    counters: Sequence[CounterCheck],
    contamination: Contamination,
    rule: Rule,
    repeats: Sequence[SidesRepeated] = (),
    missing: Sequence[SidesWithoutPhase] = (),
) -> tuple[Outcome, tuple[str, ...]]:
    """How a gate ends and why, from all that was found; what has no answer is never a pass."""
    call = overall(decisions)
    called = _with(decisions, call)
    reasons = tuple(f"{decision.name}: {decision.reason}" for decision in called) or ("nothing was compared",)
    hard = _passed_limits(counters)
    found: tuple[tuple[Outcome, Sequence[str]], ...] = (
        (Outcome.REGRESSION, [*hard, *(reasons if call is Call.REGRESSION else ())] if hard else ()),
        (Outcome.REGRESSION, _failures(called) if call is Call.REGRESSION else ()),
        (Outcome.INVALID, reasons if call is Call.INVALID else ()),
        (Outcome.CONTAMINATED, contamination.reasons),
        (Outcome.INVALID, () if call is Call.REGRESSION else _unknown(decisions, counters, rule)),
        (Outcome.INVALID, () if call is Call.REGRESSION else [o.unseen_reason for o in repeats if o.has_many_unseen]),
        (Outcome.INCONCLUSIVE, _missing(repeats, missing) if call is Call.OK else ()),
        (Outcome(call.value), reasons),
    )
    return next((outcome, tuple(why)) for outcome, why in found if why)


def _missing(repeats: Sequence[SidesRepeated], missing: Sequence[SidesWithoutPhase]) -> list[str]:
    """Starts that are not among the times and may have been slower, which is never ok."""
    without = [one.reason for one in missing if one.is_lopsided]
    return (
        [one.reason for one in repeats if one.is_lopsided]
        + without
        + [one.unseen_reason for one in repeats if one.has_unseen]
    )


def _passed_limits(counters: Sequence[CounterCheck]) -> list[str]:
    return [
        f"{check.image}: {check.text(check.candidate)} {check.what}, limit {check.text(check.bound)}"
        for check in counters
        if check.passed is False
    ]


def _failures(called: Sequence[Decision]) -> list[str]:
    return [f"{decision.name}: {decision.reason}" for decision in called if decision.by_failures]


def _unknown(decisions: Sequence[Decision], counters: Sequence[CounterCheck], rule: Rule) -> list[str]:
    """What has no answer at all, which is never a pass."""
    empty = [f"{decision.name}: nothing was timed of both sides" for decision in decisions if decision.n == 0]
    asked = {decision.name.partition(": ")[2] for decision in decisions}
    empty += [f"{name}: no cell of this gate has that phase" for name in rule.metrics if name not in asked]
    return empty + [f"{check.image}: {check.what} are not known here" for check in counters if check.passed is None]


def _with(decisions: Sequence[Decision], call: Call) -> list[Decision]:
    return [decision for decision in decisions if decision.call is call]


def images_of(manifest: RunManifest) -> dict[str, tuple[Image | None, Image | None]]:
    """For hard limits: the images of each pair, by the pair's names; a pair that differs in no image has one name."""
    assert manifest.comparison is not None
    return paired_images(
        manifest.comparison.pairs, manifest.images_of(Side.BASELINE), manifest.images_of(Side.CANDIDATE)
    )


def paired_images(
    pairs: Sequence[CellPair], before: Mapping[tuple[str, str], Image], after: Mapping[tuple[str, str], Image]
) -> dict[str, tuple[Image | None, Image | None]]:
    """The images of each pair; ``None`` where a side's is not known."""
    found: dict[str, tuple[Image | None, Image | None]] = {}
    for pair in pairs:
        ours, theirs = before.get(pair.baseline.image_key), after.get(pair.candidate.image_key)
        name = "/".join(pair.baseline.image_key)
        found[
            name
            if ours == theirs and pair.baseline.image_key == pair.candidate.image_key
            else f"{name} → {'/'.join(pair.candidate.image_key)}"
        ] = (ours, theirs)
    return found
