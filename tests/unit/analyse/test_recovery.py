"""Recovery of injected delays, judged on trials made by hand."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from coldstart.analyse.recovery import (
    BOUNDARY_MEDIAN_NS,
    LEAK_NS,
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
    arm: Arm, block: int, *, late_ns: int = 0, found: float = 1.0, leak: dict[str, int] | None = None, **fields: Any
) -> TruthTrial:
    """A start whose own phase grew by ``found`` times what was injected ``late_ns`` after the span's boundary."""
    noise = random.Random(f"{arm}/{block}")  # noqa: S311  noise, not a secret
    lengths = {name: value * MS + noise.randrange(-20_000, 20_000) for name, value in BASE.items()}
    for name, extra in (leak or {}).items():
        lengths[name] += extra
    stamps: tuple[Stamp, ...] = ()
    made: dict[str, Any] = {}
    if arm.point is not None:
        grown = round(arm.delay_ns * found)
        lengths[str(arm.point)] += grown
        lengths[INSIDE[str(arm.point)]] += grown
        start_ns, end_ns = 1000 * MS, 1000 * MS + lengths[str(arm.point)]
        at_end = arm.point in {Phase.UNPACK, Phase.APP_START, Phase.RESPOND}
        begin_ns = end_ns - arm.delay_ns - late_ns if at_end else start_ns + late_ns
        stamps = (Stamp(phase=arm.point, start_ns=begin_ns, end_ns=begin_ns + arm.delay_ns),)
        made = {"span_start_ns": start_ns, "span_end_ns": end_ns}
    made |= {"block": block, "position": 0, "arm": arm, "source": "trace", "stamps": stamps, "lengths_ns": lengths}
    return TruthTrial(**(made | fields))


def selftest(delays: tuple[int, ...] = (20 * MS, 200 * MS), runs: int = 12, **fields: Any) -> list[TruthTrial]:
    arms = [Arm(runtime="runc")] + [
        Arm(runtime="runc", point=point, delay_ns=delay) for point in POINTS for delay in delays
    ]
    return [trial(arm, block, **({} if arm.is_control else fields)) for block in range(runs) for arm in arms]


def test_a_source_that_is_right_passes_in_everything() -> None:
    recovery = judge(selftest())
    assert recovery.passed
    assert (len(recovery.arms), len(recovery.slopes)) == (12, 6)
    assert {(arm.n, arm.contained, arm.failed) for arm in recovery.arms} == {(12, 12, 0)}


def test_a_boundary_that_is_off_is_told_by_how_much() -> None:
    arms = judge(selftest(late_ns=2 * MS)).arms
    assert {round(arm.boundary_median_ns / MS, 1) for arm in arms} == {2.0}
    assert not any(arm.passed for arm in arms)


@pytest.mark.parametrize("point", POINTS)
def test_every_injection_is_judged_where_it_meets_its_span(point: Phase) -> None:
    arm = Arm(runtime="runc", point=point, delay_ns=20 * MS)
    (found,) = judge([trial(arm, 0, late_ns=300_000), trial(Arm(runtime="runc"), 0)]).arms
    assert found.boundary_median_ns == 300_000


def test_an_injection_outside_its_span_is_not_contained() -> None:
    arm = Arm(runtime="runc", point=Phase.UNPACK, delay_ns=20 * MS)
    early = trial(arm, 0, late_ns=-5_000)
    (found,) = judge([early, trial(Arm(runtime="runc"), 0)]).arms
    assert (found.n, found.contained) == (1, 0)


def test_the_microsecond_that_a_stamp_is_rounded_by_is_no_escape() -> None:
    arm = Arm(runtime="runc", point=Phase.UNPACK, delay_ns=20 * MS)
    (found,) = judge([trial(arm, 0, late_ns=-1_000), trial(Arm(runtime="runc"), 0)]).arms
    assert found.contained == 1


def test_a_phase_that_finds_half_of_it_fails_in_excess_and_slope() -> None:
    recovery = judge(selftest(found=0.5))
    assert not any(arm.passed for arm in recovery.arms)
    assert not any(slope.passed for slope in recovery.slopes)
    assert recovery.slopes[0].slope.value == pytest.approx(0.5, abs=0.01)


def test_a_slope_just_outside_the_tolerance_fails() -> None:
    assert [slope.passed for slope in judge(selftest(found=1.03)).slopes] == [False] * 6
    assert [slope.passed for slope in judge(selftest(found=1.005)).slopes] == [True] * 6


def test_time_that_leaks_into_another_phase_is_found_there() -> None:
    leaks = judge(selftest(leak={"create": 5 * MS})).leaks
    assert {leak.phase for leak in leaks if not leak.passed} == {Phase.CREATE}
    (leak,) = {round(leak.shift.value / MS) for leak in leaks if leak.phase is Phase.CREATE}
    assert leak == 5


def test_a_phase_is_not_asked_whether_it_leaked_into_itself_or_what_it_is_part_of() -> None:
    pairs = {(leak.point, leak.phase) for leak in judge(selftest()).leaks}
    assert (Phase.UNPACK, Phase.PULL) not in pairs
    assert (Phase.UNPACK, Phase.UNPACK) not in pairs
    assert {(Phase.UNPACK, Phase.DOWNLOAD), (Phase.UNPACK, Phase.INIT), (Phase.RESPOND, Phase.APP_START)} <= pairs


def test_the_bound_of_a_leak_is_a_share_of_a_long_phase() -> None:
    trials = [
        TruthTrial(
            **{f: getattr(t, f) for f in t.__struct_fields__} | {"lengths_ns": {**t.lengths_ns, "create": 1000 * MS}}
        )
        for t in selftest()
    ]
    bounds = {leak.phase: leak.bound_ns for leak in judge(trials).leaks}
    assert (bounds[Phase.CREATE], bounds[Phase.INIT]) == (20 * MS, LEAK_NS)


def test_what_cannot_be_decided_has_failed() -> None:
    recovery = judge(selftest(runs=3))
    assert {leak.shift.lower for leak in recovery.leaks if leak.shift.n < 6} <= {None}
    assert not recovery.passed


def test_failed_trials_are_counted_and_told_and_never_averaged() -> None:
    arm = Arm(runtime="runc", point=Phase.UNPACK, delay_ns=20 * MS)
    broken = TruthTrial(block=0, position=1, arm=arm, source="trace", failure="never_ready: no answer")
    recovery = judge([trial(Arm(runtime="runc"), 0), trial(arm, 0), broken])
    (found,) = recovery.arms
    assert (found.n, found.failed) == (1, 1)
    assert recovery.failures == ("runc unpack: never_ready: no answer",)


def test_a_start_whose_span_was_not_seen_is_not_contained() -> None:
    arm = Arm(runtime="runc", point=Phase.UNPACK, delay_ns=20 * MS)
    unseen = trial(arm, 0, span_start_ns=None, span_end_ns=None)
    (found,) = judge([trial(Arm(runtime="runc"), 0), unseen]).arms
    assert (found.n, found.contained, found.passed) == (1, 0, False)


def test_nothing_measured_is_nothing_passed() -> None:
    assert not judge([]).passed


def test_what_was_injected_is_what_was_stamped_in_the_arms_own_phase() -> None:
    arm = Arm(runtime="runc", point=Phase.UNPACK, delay_ns=20 * MS)
    stamps = (Stamp(phase=Phase.UNPACK, start_ns=0, end_ns=21), Stamp(phase=Phase.RESPOND, start_ns=0, end_ns=5))
    assert injected_ns(trial(arm, 0, stamps=stamps)) == 21


def test_runtimes_are_compared_with_their_own_control_arm() -> None:
    crun = [
        msgspec.structs.replace(
            t,
            arm=Arm(runtime="crun", point=t.arm.point, delay_ns=t.arm.delay_ns),
            lengths_ns={name: length + 7 * MS for name, length in t.lengths_ns.items()},
        )
        for t in selftest()
    ]
    recovery = judge([*selftest(), *crun])
    assert {leak.runtime for leak in recovery.leaks if leak.passed} == {"runc", "crun"}
    assert all(leak.passed for leak in recovery.leaks)


def test_bounds_are_those_of_the_method() -> None:
    assert (BOUNDARY_MEDIAN_NS, LEAK_NS) == (1 * MS, 3 * MS)


def test_a_block_is_compared_with_the_mean_of_its_controls() -> None:
    arm = Arm(runtime="runc", point=Phase.UNPACK, delay_ns=20 * MS)
    controls = [
        msgspec.structs.replace(trial(Arm(runtime="runc"), 0), lengths_ns={"create": length}) for length in (10, 30)
    ]
    own = msgspec.structs.replace(trial(arm, 0), lengths_ns={"create": 25, "unpack": 1})
    (leak,) = judge([*controls, own]).leaks
    assert leak.shift.value == 5.0
