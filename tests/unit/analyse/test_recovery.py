"""Recovery of injected delays, judged on trials made by hand."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from coldstart.analyse.recovery import (
    BOUNDARY_NS,
    FALSE_MET,
    FALSE_MISSED,
    LEAK_NS,
    TAIL_NS,
    Claim,
    Kind,
    Recovery,
    State,
    injected_ns,
    judge,
)
from coldstart.model.sample import Phase
from coldstart.model.truth import POINTS, Arm, Stamp, TruthTrial

MS = 1_000_000
BASE = {"pull": 100, "download": 20, "unpack": 60, "create": 10, "init": 60, "runtime_create": 30, "readiness": 5}
BASE |= {"runtime_start": 6, "app_start": 2, "respond": 2, "engine": 12, "shim": 8}
INSIDE = {"download": "pull", "unpack": "pull", "runtime_create": "init", "runtime_start": "init"}
INSIDE |= {"app_start": "readiness", "respond": "readiness"}


def trial(
    arm: Arm,
    block: int,
    *,
    late_ns: int = 0,
    found: float = 1.0,
    lost_ns: int = 0,
    leak: dict[str, int] | None = None,
    **fields: Any,
) -> TruthTrial:
    """A start whose own phase grew by ``found`` times what was injected ``late_ns`` after the span's boundary.

    Of that, ``lost_ns`` are lost.
    """
    noise = random.Random(f"{arm}/{block}/{fields.get('position', 0)}")  # noqa: S311  noise, not a secret
    lengths = {name: value * MS + noise.randrange(-20_000, 20_000) for name, value in BASE.items()}
    for name, extra in (leak or {}).items():
        lengths[name] += extra
    stamps: tuple[Stamp, ...] = ()
    made: dict[str, Any] = {}
    if arm.point is not None:
        grown = round(arm.delay_ns * found) - lost_ns
        lengths[str(arm.point)] += grown
        lengths[INSIDE[str(arm.point)]] += grown
        start_ns, end_ns = 1000 * MS, 1000 * MS + lengths[str(arm.point)]
        at_end = arm.point in {Phase.UNPACK, Phase.APP_START, Phase.RESPOND}
        begin_ns = end_ns - arm.delay_ns - late_ns if at_end else start_ns + late_ns
        stamps = (Stamp(phase=arm.point, start_ns=begin_ns, end_ns=begin_ns + arm.delay_ns),)
        made = {"span_start_ns": start_ns, "span_end_ns": end_ns}
    made |= {"block": block, "position": 0, "arm": arm, "source": "trace", "stamps": stamps, "lengths_ns": lengths}
    return TruthTrial(**(made | fields))


def selftest(delays: tuple[int, ...] = (50 * MS, 200 * MS), runs: int = 30, **fields: Any) -> list[TruthTrial]:
    """Blocks of four controls and of every delay at every point."""
    arms = [Arm(runtime="runc")] * 4 + [
        Arm(runtime="runc", point=point, delay_ns=delay) for point in POINTS for delay in delays
    ]
    return [
        trial(arm, block, **({} if arm.is_control else fields), position=position)
        for block in range(runs)
        for position, arm in enumerate(arms)
    ]


def states(recovery: Recovery, kind: Kind) -> set[State]:
    """What is known of the bounds of a kind."""
    return {claim.state for claim in recovery.claims if claim.kind is kind}


def one(recovery: Recovery, kind: Kind, **fields: Any) -> Claim:
    """The only bound of the kind with these fields."""
    (claim,) = (
        claim
        for claim in recovery.claims
        if claim.kind is kind and all(getattr(claim, name) == value for name, value in fields.items())
    )
    return claim


def noisy(trials: list[TruthTrial], spread_ns: int) -> list[TruthTrial]:
    """The same starts on a machine whose phases differ by so much from start to start."""
    rng = random.Random(1)  # noqa: S311  noise, not a secret
    return [
        msgspec.structs.replace(
            t, lengths_ns={name: length + round(rng.gauss(0, spread_ns)) for name, length in t.lengths_ns.items()}
        )
        for t in trials
    ]


def alternating(trials: list[TruthTrial], point: Phase, delay_ns: int, extra_ns: int) -> list[TruthTrial]:
    """The same starts, but for one arm's own phase, which is so much longer in every second block."""
    return [
        msgspec.structs.replace(
            t, lengths_ns=t.lengths_ns | {str(point): t.lengths_ns[str(point)] + t.block % 2 * extra_ns}
        )
        if (t.arm.point, t.arm.delay_ns) == (point, delay_ns)
        else t
        for t in trials
    ]


def test_a_source_that_is_right_meets_every_bound() -> None:
    recovery = judge(selftest())
    assert (recovery.state, recovery.starts_needed) == (State.MET, None)
    assert len([claim for claim in recovery.claims if claim.kind is Kind.EXCESS]) == 12
    assert {kind: states(recovery, kind) for kind in Kind} == {kind: {State.MET} for kind in Kind}


def test_a_boundary_that_is_off_is_missed_by_how_much() -> None:
    recovery = judge(selftest(late_ns=2 * MS))
    found = one(recovery, Kind.BOUNDARY, point=Phase.UNPACK)
    assert found.estimate is not None
    assert (round(found.estimate.value / MS, 1), found.high, found.state) == (2.0, BOUNDARY_NS, State.MISSED)
    assert recovery.state is State.MISSED


def test_the_bound_of_a_boundary_is_twice_what_starting_a_process_costs_here() -> None:
    slow = [msgspec.structs.replace(t, process_ns=3 * MS) for t in selftest(late_ns=4 * MS)]
    recovery = judge(slow)
    assert recovery.process_ns == 3 * MS
    assert one(recovery, Kind.BOUNDARY, point=Phase.UNPACK).high == 6 * MS
    assert one(recovery, Kind.TAIL, point=Phase.UNPACK).limit_ns == 30 * MS
    assert states(recovery, Kind.BOUNDARY) | states(recovery, Kind.TAIL) == {State.MET}


def test_a_fast_machine_has_a_bound_of_a_millisecond_all_the_same() -> None:
    fast = [msgspec.structs.replace(t, process_ns=MS // 10) for t in selftest()]
    assert one(judge(fast), Kind.BOUNDARY, point=Phase.RESPOND).high == BOUNDARY_NS
    assert one(judge(fast), Kind.TAIL, point=Phase.RESPOND).limit_ns == TAIL_NS


def test_a_tail_of_boundaries_is_missed_though_the_median_is_met() -> None:
    trials = [trial(t.arm, t.block, position=t.position, late_ns=9 * MS if t.block % 3 == 0 and not t.arm.is_control
                    else 0) for t in selftest()]  # fmt: skip
    recovery = judge(trials)
    assert (states(recovery, Kind.BOUNDARY), states(recovery, Kind.TAIL)) == ({State.MET}, {State.MISSED})


def test_few_starts_leave_a_tail_undecided_however_good_they_are() -> None:
    tail = one(judge(selftest(runs=12)), Kind.TAIL, point=Phase.UNPACK)
    assert tail.estimate is not None
    assert (tail.estimate.value, tail.state) == (0.0, State.UNDECIDED)


@pytest.mark.parametrize("point", POINTS)
def test_every_injection_is_judged_where_it_meets_its_span(point: Phase) -> None:
    arm = Arm(runtime="runc", point=point, delay_ns=20 * MS)
    found = one(judge([trial(arm, 0, late_ns=300_000), trial(Arm(runtime="runc"), 0)]), Kind.BOUNDARY)
    assert found.estimate is not None
    assert found.estimate.value == 300_000


def test_one_injection_outside_its_span_is_one_too_many() -> None:
    arm = Arm(runtime="runc", point=Phase.UNPACK, delay_ns=50 * MS)
    recovery = judge([*selftest(), trial(arm, 0, late_ns=-5_000)])
    assert one(recovery, Kind.CONTAINED, point=Phase.UNPACK).state is State.MISSED
    assert one(recovery, Kind.CONTAINED, point=Phase.RESPOND).state is State.MET
    assert recovery.state is State.MISSED


def test_the_microsecond_that_a_stamp_is_rounded_by_is_no_escape() -> None:
    arm = Arm(runtime="runc", point=Phase.UNPACK, delay_ns=20 * MS)
    assert one(judge([trial(arm, 0, late_ns=-1_000)]), Kind.CONTAINED).state is State.MET
    assert one(judge([trial(arm, 0, late_ns=-1_001)]), Kind.CONTAINED).state is State.MISSED


def test_a_start_whose_span_was_not_seen_is_not_contained() -> None:
    arm = Arm(runtime="runc", point=Phase.UNPACK, delay_ns=20 * MS)
    unseen = trial(arm, 0, span_start_ns=None, span_end_ns=None)
    recovery = judge([trial(Arm(runtime="runc"), 0), unseen])
    assert one(recovery, Kind.CONTAINED).state is State.MISSED
    assert one(recovery, Kind.BOUNDARY).estimate is None


def test_a_phase_that_loses_5_ms_of_50_is_missed() -> None:
    trials = [
        trial(t.arm, t.block, position=t.position, lost_ns=5 * MS) if t.arm.delay_ns == 50 * MS else t
        for t in noisy(selftest(), MS // 2)
    ]
    found = one(judge(trials), Kind.EXCESS, point=Phase.UNPACK, delay_ns=50 * MS)
    assert found.estimate is not None
    assert (round(found.estimate.value / MS), found.state) == (-5, State.MISSED)


def test_a_phase_that_gains_5_ms_is_missed_too() -> None:
    assert states(judge(noisy(selftest(lost_ns=-6 * MS), MS // 2)), Kind.EXCESS) == {State.MISSED}


def test_a_slope_of_nine_tenths_is_missed() -> None:
    recovery = judge(noisy(selftest(found=0.9), MS))
    assert states(recovery, Kind.SLOPE) == {State.MISSED}
    assert recovery.state is State.MISSED
    slope = one(recovery, Kind.SLOPE, point=Phase.UNPACK).estimate
    assert slope is not None
    assert slope.value == pytest.approx(0.9, abs=0.01)


def test_a_slope_just_outside_the_tolerance_is_missed_and_one_within_is_met() -> None:
    assert states(judge(selftest(found=1.03)), Kind.SLOPE) == {State.MISSED}
    assert states(judge(selftest(found=1.005)), Kind.SLOPE) == {State.MET}


def test_a_leak_of_10_ms_is_missed_and_no_other_phase_is() -> None:
    recovery = judge(noisy(selftest(leak={"create": 10 * MS}), 2 * MS))
    leaks = [claim for claim in recovery.claims if claim.kind is Kind.LEAK]
    assert {leak.phase for leak in leaks if leak.state is State.MISSED} == {Phase.CREATE}
    assert {leak.state for leak in leaks if leak.phase is Phase.CREATE} == {State.MISSED}


def test_half_a_runtime_that_leaks_is_not_met() -> None:
    leaking = [with_runtime(t, "crun", 0) for t in selftest(leak={"create": 10 * MS})]
    leaks = [c for c in judge([*selftest(), *leaking]).claims if c.kind is Kind.LEAK and c.phase is Phase.CREATE]
    assert State.MET not in {leak.state for leak in leaks}


def test_no_phase_has_to_be_known_better_than_three_starts_of_a_process() -> None:
    slow = judge([msgspec.structs.replace(t, process_ns=3 * MS) for t in selftest(runs=6)])
    assert one(slow, Kind.LEAK, point=Phase.UNPACK, phase=Phase.CREATE).high == 9 * MS
    assert one(slow, Kind.EXCESS, point=Phase.UNPACK, delay_ns=50 * MS).low == -9 * MS


def test_a_phase_is_not_asked_whether_it_leaked_into_itself_or_what_it_is_part_of() -> None:
    pairs = {(claim.point, claim.phase) for claim in judge(selftest()).claims if claim.kind is Kind.LEAK}
    assert (Phase.UNPACK, Phase.PULL) not in pairs
    assert (Phase.UNPACK, Phase.UNPACK) not in pairs
    assert {(Phase.UNPACK, Phase.DOWNLOAD), (Phase.UNPACK, Phase.INIT), (Phase.RESPOND, Phase.APP_START)} <= pairs


def test_the_bound_of_a_leak_is_a_share_of_a_long_phase_and_a_larger_one_of_one_made_of_others() -> None:
    longer = {"create": 1000 * MS, "init": 1000 * MS}
    trials = [msgspec.structs.replace(t, lengths_ns={**t.lengths_ns, **longer}) for t in selftest()]
    recovery = judge(trials)
    bounds = {phase: one(recovery, Kind.LEAK, point=Phase.UNPACK, phase=phase).high for phase in (
        Phase.CREATE, Phase.INIT, Phase.DOWNLOAD)}  # fmt: skip
    assert bounds == {Phase.CREATE: 20 * MS, Phase.INIT: 50 * MS, Phase.DOWNLOAD: LEAK_NS}


def test_a_healthy_machine_with_few_starts_is_undecided_and_never_missed() -> None:
    recovery = judge(noisy(selftest(runs=3), 3 * MS))
    assert recovery.state is State.UNDECIDED
    assert recovery.of(State.MISSED) == ()


def test_what_is_undecided_says_how_many_starts_would_decide_it_and_they_do() -> None:
    few = noisy(selftest(runs=12), 2 * MS)
    found = judge(few)
    assert found.blocks_needed is not None
    assert found.starts_needed is not None
    assert len(few) < found.starts_needed <= found.blocks_needed * 16
    assert judge(noisy(selftest(runs=found.blocks_needed), 2 * MS)).state is State.MET


def test_starts_that_would_decide_are_of_the_arms_of_undecided_bounds() -> None:
    arm = Arm(runtime="runc", point=Phase.UNPACK, delay_ns=50 * MS)
    trials = alternating(selftest(), Phase.UNPACK, 50 * MS, 6 * MS)
    found = judge(trials)
    assert [claim.kind for claim in found.of(State.UNDECIDED)] == [Kind.EXCESS]
    assert [a for a in dict.fromkeys(t.arm for t in trials) if found.can_use(a)] == [Arm(runtime="runc"), arm]
    assert found.blocks_needed is not None
    assert found.starts_needed == len(trials) + (found.blocks_needed - 30) * 5


def test_without_any_interval_about_twenty_starts_of_each_arm_are_asked_for() -> None:
    arm = Arm(runtime="runc", point=Phase.UNPACK, delay_ns=20 * MS)
    assert one(judge([trial(arm, 0), trial(Arm(runtime="runc"), 0)]), Kind.BOUNDARY).blocks_needed == 20


def test_a_median_outside_its_bound_by_a_hair_is_undecided() -> None:
    (point,) = {Phase.RESPOND}
    trials = [trial(t.arm, t.block, position=t.position, late_ns=MS + (t.block % 7 - 3) * MS // 10)
              for t in selftest(runs=6) if t.arm.point in {point, None}]  # fmt: skip
    assert one(judge(trials), Kind.BOUNDARY).state is State.UNDECIDED


def test_each_look_spends_its_share_and_what_one_decided_stays() -> None:
    trials = selftest()
    late = [*trials, *(trial(t.arm, t.block + 30, position=t.position, found=1.0 if t.arm.is_control else 0.9)
            for t in trials)]  # fmt: skip
    found = judge(late, (len(trials), len(late)), 2)
    assert found.state is State.MET
    assert found.claims == judge(trials, (len(trials),), 2).claims  # with the intervals that decided
    once = one(judge(trials), Kind.EXCESS, point=Phase.UNPACK, delay_ns=50 * MS).estimate
    twice = one(judge(trials, (len(trials),), 2), Kind.EXCESS, point=Phase.UNPACK, delay_ns=50 * MS).estimate
    assert once is not None
    assert twice is not None
    assert (once.level, twice.level) == (1 - 2 * FALSE_MET, 1 - FALSE_MET)


def test_every_bound_but_the_counted_ones_has_its_share_of_the_false_alarms() -> None:
    """With one bound all of `FALSE_MISSED` is its own: 7 of 7 above have a chance of 0.8 % each way."""
    arm = Arm(runtime="runc", point=Phase.RESPOND, delay_ns=20 * MS)
    alone = [trial(arm, block, late_ns=2 * MS, lengths_ns={}) for block in range(7)]
    recovery = judge(alone)
    assert [claim.kind for claim in recovery.claims if claim.estimate] == [Kind.CONTAINED, Kind.BOUNDARY, Kind.TAIL]
    assert one(recovery, Kind.BOUNDARY).state is State.UNDECIDED  # four bounds share: 0.25 % each
    more = [trial(arm, block, late_ns=2 * MS, lengths_ns={}) for block in range(9)]
    assert one(judge(more), Kind.BOUNDARY).state is State.MISSED
    assert 0.5**9 < FALSE_MISSED / 4 < 0.5**7


def test_failed_trials_are_counted_and_named_and_never_averaged() -> None:
    arm = Arm(runtime="runc", point=Phase.UNPACK, delay_ns=20 * MS)
    broken = TruthTrial(block=0, position=1, arm=arm, source="trace", failure="never_ready: no answer")
    recovery = judge([trial(Arm(runtime="runc"), 0), trial(arm, 0), broken])
    contained = one(recovery, Kind.CONTAINED).estimate
    assert contained is not None
    assert (contained.n, recovery.starts) == (1, 3)
    assert recovery.failures == ("runc unpack: never_ready: no answer",)


def test_an_arm_in_which_nothing_started_is_undecided_and_not_met() -> None:
    arm = Arm(runtime="runc", point=Phase.UNPACK, delay_ns=50 * MS)
    broken = [TruthTrial(block=b, position=1, arm=arm, source="trace", failure="exited") for b in range(30)]
    recovery = judge([*(t for t in selftest() if t.arm != arm), *broken])
    found = one(recovery, Kind.EXCESS, point=Phase.UNPACK, delay_ns=50 * MS)
    assert (found.state, found.estimate, found.blocks_needed) == (State.UNDECIDED, None, None)
    assert recovery.state is State.UNDECIDED


def test_nothing_measured_is_nothing_met() -> None:
    assert judge([]).state is State.UNDECIDED


def test_what_was_injected_is_what_was_stamped_in_the_arms_own_phase() -> None:
    arm = Arm(runtime="runc", point=Phase.UNPACK, delay_ns=20 * MS)
    stamps = (Stamp(phase=Phase.UNPACK, start_ns=0, end_ns=21), Stamp(phase=Phase.RESPOND, start_ns=0, end_ns=5))
    assert injected_ns(trial(arm, 0, stamps=stamps)) == 21


def test_what_an_injector_waited_too_long_is_not_taken_for_an_excess() -> None:
    longer = [
        msgspec.structs.replace(
            t,
            stamps=tuple(msgspec.structs.replace(s, start_ns=s.start_ns - 9 * MS) for s in t.stamps),
            span_start_ns=None if t.span_start_ns is None else t.span_start_ns - 9 * MS,
            lengths_ns={n: v + 9 * MS * (n == str(t.arm.point)) for n, v in t.lengths_ns.items()},
        )
        if t.arm.point in {Phase.UNPACK, None}
        else t
        for t in selftest()
    ]
    recovery = judge(longer)
    assert states(recovery, Kind.EXCESS) | states(recovery, Kind.SLOPE) == {State.MET}


def with_runtime(t: TruthTrial, runtime: str, slower_ns: int) -> TruthTrial:
    """The same start by another runtime, whose phases all take longer."""
    slower: TruthTrial = msgspec.structs.replace(
        t,
        arm=Arm(runtime=runtime, point=t.arm.point, delay_ns=t.arm.delay_ns),
        lengths_ns={name: length + slower_ns for name, length in t.lengths_ns.items()},
    )
    return slower


def test_runtimes_are_judged_together_each_against_its_own_controls() -> None:
    recovery = judge([*selftest(), *(with_runtime(t, "crun", 40 * MS) for t in selftest())])
    assert (recovery.runtimes, recovery.state) == (("runc", "crun"), State.MET)


def test_the_method_names_these_bounds() -> None:
    assert (BOUNDARY_NS, TAIL_NS, LEAK_NS) == (1 * MS, 5 * MS, 3 * MS)
