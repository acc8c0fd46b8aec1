"""A selftest as it goes: when it looks, and when it ends."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import groupby

import msgspec
import pytest

from coldstart.analyse.recovery import Kind, State
from coldstart.model.sample import Phase
from coldstart.model.truth import Arm, TruthTrial
from coldstart.runner.selftesting import Conducted, conduct, look_blocks
from coldstart.truth.plan import Design
from tests.unit.analyse.test_recovery import MS, alternating, noisy, selftest

S = 1_000_000_000
ARMS = [t.arm for t in selftest(runs=1)]


def run(
    trials: list[TruthTrial], runs: int, *, deadline_s: int | None = None, tell: Callable[[str], None] = lambda _: None
) -> Conducted:
    """As if every start took one second; a start whose arm the design leaves out does not take place."""
    now_ns, design = 0, Design(ARMS)

    def timed() -> Iterator[TruthTrial]:
        nonlocal now_ns
        for _, block in groupby(trials, lambda trial: trial.block):
            chosen = set(design.arms)
            for trial in block:
                if trial.arm in chosen:
                    now_ns += S
                    yield trial

    deadline_ns = None if deadline_s is None else deadline_s * S
    return conduct(timed(), design, runs, deadline_ns=deadline_ns, tell=tell, now_ns=lambda: now_ns)


def disturbed(runs: int, point: Phase, spread_ns: int) -> list[TruthTrial]:
    """Blocks in which the phase itself differs by so much from start to start where a delay is injected into it."""
    rng = random.Random(1)  # noqa: S311  noise, not a secret
    return [
        msgspec.structs.replace(t, lengths_ns=t.lengths_ns | {str(point): t.lengths_ns[str(point)] + extra})
        if t.arm.point is point
        else t
        for t in selftest(runs=runs)
        for extra in [round(rng.gauss(0, spread_ns))]
    ]


@pytest.mark.parametrize(
    ("runs", "looks"),
    [(1, (1,)), (12, (12,)), (14, (14,)), (15, (10, 15)), (40, (10, 20, 40)), (60, (10, 20, 40, 60))],
)
def test_it_looks_after_doublings_and_at_the_end(runs: int, looks: tuple[int, ...]) -> None:
    assert look_blocks(runs) == looks


def test_it_ends_as_soon_as_everything_is_decided() -> None:
    conducted = run(selftest(runs=40), 40)
    assert conducted.looks == (10 * 16, 20 * 16)  # ten are too few to bound a tail by one runtime
    assert (len(conducted.trials), conducted.measured_ns) == (320, 320 * S)
    assert conducted.judged().state is State.MET


def test_after_a_look_only_the_controls_and_the_arms_of_undecided_bounds_go_on() -> None:
    conducted = run(disturbed(40, Phase.UNPACK, 12 * MS), 40)
    assert conducted.looks == (160, 320, 320 + 20 * 6)  # ten blocks decide no tail; unpack is undecided after twenty
    late = {trial.arm for trial in conducted.trials if trial.block >= 20}
    assert {arm.point for arm in late} == {None, Phase.UNPACK}
    assert {claim.point for claim in conducted.judged().of(State.UNDECIDED)} == {Phase.UNPACK}


def test_an_excess_that_is_undecided_alone_wants_its_own_delay_only() -> None:
    conducted = run(alternating(selftest(runs=40), Phase.UNPACK, 50 * MS, 6 * MS), 40)
    undecided = conducted.judged().of(State.UNDECIDED)
    assert {(claim.kind, claim.delay_ns) for claim in undecided} == {(Kind.EXCESS, 50 * MS)}
    late = {(trial.arm.point, trial.arm.delay_ns) for trial in conducted.trials if trial.block >= 20}
    assert late == {(None, 0), (Phase.UNPACK, 50 * MS)}


def test_it_ends_with_its_last_block_undecided() -> None:
    conducted = run(noisy(selftest(runs=15), 9 * MS), 15)
    assert (conducted.looks, conducted.planned_looks) == ((160, 240), 2)
    assert conducted.judged().state is State.UNDECIDED


def test_a_deadline_is_a_look_even_within_a_block() -> None:
    conducted = run(noisy(selftest(runs=40), 9 * MS), 40, deadline_s=173)
    assert (conducted.looks, len(conducted.trials)) == ((160, 173), 173)
    assert conducted.planned_looks == 3


def test_what_ends_by_itself_is_looked_at_once() -> None:
    conducted = run(selftest(runs=3), 3, deadline_s=10_000)
    assert conducted.looks == (48,)


def test_a_first_block_in_which_nothing_started_is_the_last() -> None:
    broken = [
        TruthTrial(block=block, position=0, arm=arm, source="trace", failure="exited: no")
        for block in range(9)
        for arm in ARMS
    ]
    conducted = run(broken, 9)
    assert len(conducted.trials) == 16


def test_ctrl_c_keeps_what_there_is() -> None:
    def cut() -> Iterator[TruthTrial]:
        yield from selftest(runs=1)[:5]
        raise KeyboardInterrupt

    conducted = conduct(cut(), Design(ARMS), 40, deadline_ns=None, tell=lambda _: None)
    assert (conducted.interrupted, len(conducted.trials), conducted.looks) == (True, 5, (5,))


def test_progress_says_how_many_failed_and_how_long_it_can_take() -> None:
    said: list[str] = []
    trials = selftest(runs=2)
    trials[3] = msgspec.structs.replace(trials[3], failure="exited: no")
    run(trials, 2, tell=said.append)
    assert said[:2] == ["[15/32] 1 failed, at most 17 s left", "[16/32] 1 failed, at most 16 s left"]
    said.clear()
    run(trials, 2, deadline_s=20, tell=said.append)
    assert said[1] == "[16/32] 1 failed, at most 4 s left"


def test_the_arms_of_a_block_are_those_of_the_plan() -> None:
    assert ARMS.count(Arm(runtime="runc")) == 4
