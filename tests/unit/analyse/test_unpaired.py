"""The weaker rule: stored or imported times of two sides that share no block."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldstart.analyse.gate import Call, Decision
from coldstart.analyse.unpaired import Arms, judge_unpaired
from coldstart.model.rule import Rule

MS = 1e6
RULE = Rule()
Values = np.ndarray[Any, Any]


def spread(n: int, around_ms: float) -> Values:
    """Times near ``around_ms``, no two the same."""
    return around_ms * MS * (1 + np.linspace(-0.0005, 0.0005, n))


def arms(candidate_ms: float, n: int = 10, m: int = 10, **fields: Any) -> Arms:
    """Baselines of 100 ms, and so many candidates of another time."""
    said = {"name": "cell", "baseline_ns": spread(n, 100), "candidate_ns": spread(m, candidate_ms), **fields}
    return Arms(**said)


def decision(one: Arms, rule: Rule = RULE) -> Decision:
    (found,) = judge_unpaired([one], rule)
    return found


@pytest.mark.parametrize(
    ("candidate_ms", "call", "reason"),
    [
        (120, Call.REGRESSION, "slower by more than +5.0%"),
        (100, Call.OK, "not slower by more than +5.0%"),
        (80, Call.OK, "not slower by more than +5.0%"),
        (105, Call.INCONCLUSIVE, "10 and 10 starts do not tell whether it is slower by more than +5.0%"),
    ],
)
def test_all_there_is_is_looked_at_once(candidate_ms: float, call: Call, reason: str) -> None:
    found = decision(arms(candidate_ms))
    assert (found.call, found.n) == (call, 10)
    assert found.reason.startswith(reason)


def test_the_smallest_counts_that_can_tell_are_those_whose_extreme_order_is_rare_enough() -> None:
    # Of 5 and 5 values 1 of C(10, 5) = 252 orders is the extreme one, p = 0.004; of 4 and 4 one of 70, p = 0.014.
    assert decision(arms(200, 5, 5)).call is Call.REGRESSION
    few = decision(arms(200, 4, 4))
    assert (few.call, few.reason) == (Call.INCONCLUSIVE, "4 and 4 starts are too few to tell anything at 0.01")


def test_sides_may_differ_in_their_number_of_starts() -> None:
    found = decision(arms(120, 30, 8))
    assert (found.call, found.n) == (Call.REGRESSION, 8)


def test_a_level_is_shared_by_holm_among_the_cells() -> None:
    # Two cells of 5 and 5 starts, p = 1/252 = 0.00397 each: at 0.0079 the smaller is below half of it only by itself.
    rule = Rule(alpha=0.0079)
    assert decision(arms(200, 5, 5), rule).call is Call.REGRESSION
    both = judge_unpaired([arms(200, 5, 5), arms(200, 5, 5)], rule)
    assert [one.call for one in both] == [Call.INCONCLUSIVE] * 2
    assert both[0].reason == "5 and 5 starts are too few to tell anything at 0.0079"
    # At 0.008 the first is rejected at 0.004, and the second then at the whole level.
    assert {one.call for one in judge_unpaired([arms(200, 5, 5)] * 2, Rule(alpha=0.008))} == {Call.REGRESSION}


def test_a_cell_that_regressed_by_failing_leaves_its_share_of_the_level_to_the_others() -> None:
    failed = arms(100, 5, 5, candidate_failed=2)
    found = judge_unpaired([failed, arms(200, 5, 5)], Rule(alpha=0.0079))
    assert [one.call for one in found] == [Call.REGRESSION, Call.REGRESSION]


@pytest.mark.parametrize(
    ("failures", "call", "reason"),
    [
        ({"candidate_failed": 2}, Call.REGRESSION, "2 starts of the candidate failed"),
        ({"candidate_failed": 1}, Call.INCONCLUSIVE, "a start of the candidate failed and none of the baseline: that"),
        ({"baseline_failed": 1}, Call.OK, "not slower"),
        ({"baseline_failed": 2}, Call.INVALID, "starts of the baseline failed too: 2, of the candidate 0"),
        (
            {"baseline_failed": 1, "candidate_failed": 1},
            Call.INVALID,
            "starts of the baseline failed too: 1, of the candidate 1",
        ),
    ],
)
def test_failures_count(failures: dict[str, int], call: Call, reason: str) -> None:
    found = decision(arms(100, **failures))
    assert found.call is call
    assert found.reason.startswith(reason)
    assert found.by_failures is (call in {Call.REGRESSION, Call.INVALID})
    assert (found.candidate_failed, found.baseline_failed) == (
        failures.get("candidate_failed", 0),
        failures.get("baseline_failed", 0),
    )


def test_a_slower_candidate_that_failed_once_is_a_regression_by_its_times() -> None:
    found = decision(arms(120, candidate_failed=1))
    assert (found.call, found.by_failures, found.reason) == (Call.REGRESSION, False, "slower by more than +5.0%")


@pytest.mark.parametrize("sides", [(0, 10), (10, 0), (0, 0)])
def test_a_side_without_times_decides_nothing(sides: tuple[int, int]) -> None:
    found = decision(arms(120, *sides))
    assert (found.call, found.n, found.ratio, found.shift_ns) == (Call.INCONCLUSIVE, 0, None, None)


def test_a_cell_may_tolerate_more_and_the_floor_is_a_share_of_the_baselines_median() -> None:
    assert decision(arms(120, max_slowdown=0.3)).call is Call.OK
    floored = decision(arms(108, floor_ns=10 * MS))
    assert floored.call is Call.INCONCLUSIVE
    assert floored.reason.startswith("not slower by more than +10.0%, but this probe cannot resolve +5.0%: ")
    assert floored.tolerated == pytest.approx(0.1)
    assert decision(arms(120, floor_ns=10 * MS)).call is Call.REGRESSION
    assert decision(arms(100, floor_ns=5 * MS)).call is Call.OK
    undecided = decision(arms(110, floor_ns=10 * MS, floor_is_bound=True)).reason
    assert "10 and 10 starts do not tell" in undecided
    assert "this probe cannot resolve +5.0%" in undecided
    assert "measure again to know" in undecided
    assert decision(arms(108, floor_ns=5 * MS)).tolerated == 0.05


def test_estimates_come_with_the_level_of_the_test() -> None:
    found = decision(arms(120), Rule(alpha=0.02))
    assert found.ratio is not None
    assert found.shift_ns is not None
    assert (found.ratio.level, found.shift_ns.level) == (0.96, 0.96)
    assert found.ratio.value == pytest.approx(1.2, rel=0.01)
    assert found.shift_ns.value == pytest.approx(20 * MS, rel=0.01)


@pytest.mark.parametrize("spoilt", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(spoilt: float) -> None:
    with pytest.raises(ValueError, match="cell: times must be positive, finite"):
        judge_unpaired([arms(100, candidate_ns=np.array([spoilt]))], RULE)


@given(st.lists(st.floats(50, 200), min_size=6, max_size=30), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_starts_and_the_unit_of_times_mean_nothing(times_ms: list[float], random: Any) -> None:
    first, second = np.array(times_ms[::2]) * MS, np.array(times_ms[1::2]) * MS
    shuffled = second.copy()
    random.shuffle(shuffled)
    plain = decision(Arms(name="cell", baseline_ns=first, candidate_ns=second))
    assert decision(Arms(name="cell", baseline_ns=first[::-1], candidate_ns=shuffled)).call is plain.call
    assert decision(Arms(name="cell", baseline_ns=first * 8, candidate_ns=second * 8)).call is plain.call
