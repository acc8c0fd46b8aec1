"""Arms of a selftest and their order."""

from __future__ import annotations

from coldstart.model.truth import POINTS, Arm
from coldstart.truth.plan import Design, arms


def test_each_runtime_has_every_delay_at_every_point_once_and_four_controls() -> None:
    found = arms(("runc", "crun"), (5, 20))
    assert [arm.runtime for arm in found if arm.is_control] == ["runc"] * 4 + ["crun"] * 4
    assert [(a.point, a.delay_ns) for a in found if a.runtime == "crun" and not a.is_control] == [
        (point, delay) for point in POINTS for delay in (5, 20)
    ]


def test_more_delays_than_four_have_as_many_controls() -> None:
    assert sum(arm.is_control for arm in arms(("runc",), (1, 2, 3, 4, 5))) == 5


def test_every_block_has_every_arm_once_in_an_order_of_its_own() -> None:
    chosen = arms(("runc",), (5, 20))
    first, second = Design(chosen).blocks(2, seed=1)
    assert sorted(map(str, first)) == sorted(map(str, second)) == sorted(map(str, chosen))
    assert first != second


def test_the_same_seed_gives_the_same_order() -> None:
    chosen = arms(("runc",), (5,))
    assert list(Design(chosen).blocks(3, seed=7)) == list(Design(chosen).blocks(3, seed=7))
    assert list(Design(chosen).blocks(3, seed=7)) != list(Design(chosen).blocks(3, seed=8))


def test_a_narrowed_design_leaves_arms_out_of_the_blocks_to_come() -> None:
    design = Design(arms(("runc",), (5, 20)))
    blocks = design.blocks(2, seed=1)
    first = next(blocks)
    design.narrow(lambda arm: arm.is_control or arm.delay_ns == 20)
    second = next(blocks)
    assert sorted(map(str, second)) == sorted(str(arm) for arm in first if arm.delay_ns != 5)
    assert sorted(map(str, second)) == sorted(map(str, design.arms))


def test_a_control_arm_is_one_without_a_point() -> None:
    assert Arm(runtime="runc").is_control
