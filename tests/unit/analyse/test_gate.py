"""The gate's rule: looks, levels, several series, failures, floors, and what it is indifferent to."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldstart.analyse.compare import signed_rank_tails
from coldstart.analyse.gate import Call, Decision, Series, is_settled, judge, overall, tolerated
from coldstart.model.rule import Rule

MS = 1e6
RULE = Rule()


def series(ratios: list[float] | np.ndarray[Any, Any], **fields: Any) -> Series:
    """Pairs whose candidates take so many times as long as baselines of 100 ms."""
    values = np.asarray(ratios, dtype=np.float64)
    return Series(
        **{
            "name": "cell",
            "baseline_ns": np.full(len(values), 100 * MS),
            "candidate_ns": 100 * MS * values,
            **fields,
        }
    )


def spread(n: int, around: float) -> np.ndarray[Any, Any]:
    """Ratios near ``around``, no two the same, all on its side of any bound further than a thousandth."""
    return around * (1 + np.linspace(-0.0005, 0.0005, n))


def call_of(one: Series, rule: Rule = RULE) -> tuple[Call, int]:
    (decision,) = judge([one], rule)
    return decision.call, decision.n


def test_ten_pairs_that_are_all_slower_are_a_regression() -> None:
    assert call_of(series(spread(10, 1.2))) == (Call.REGRESSION, 10)


def test_ten_pairs_within_what_is_tolerated_are_ok() -> None:
    assert call_of(series(spread(10, 1.0))) == (Call.OK, 10)


def test_exactly_what_is_tolerated_is_no_regression_and_not_ok() -> None:
    assert call_of(series(1.05 * (1 + np.array([-1, 1] * 80) * np.linspace(0.001, 0.01, 160)))) == (
        Call.INCONCLUSIVE,
        160,
    )


def test_fewer_pairs_than_the_first_look_decide_nothing() -> None:
    (decision,) = judge([series(spread(9, 3.0))], RULE)
    assert decision.call is Call.INCONCLUSIVE
    assert decision.reason == "9 pairs are too few: the first look is at 10"


def test_a_look_needs_its_level_and_not_more() -> None:
    """At n = 10 the level of a look, 0.002, is reached by T+ = 54 (p = 2/1024 = 0.00195) and not by 53 (3/1024)."""
    for faster, expected in ((1, Call.REGRESSION), (2, Call.INCONCLUSIVE)):
        logs = math.log1p(0.05) + np.arange(1.0, 11.0) / 100
        logs[faster - 1] -= 2 * faster / 100
        assert call_of(series(np.exp(logs)))[0] is expected


def test_each_look_has_an_equal_part_of_alpha() -> None:
    assert Rule(alpha=0.05, looks=(6, 12)).alpha_at_look == 0.025
    assert RULE.alpha_at_look == pytest.approx(0.002)


def test_a_later_look_sees_what_an_earlier_one_could_not() -> None:
    noisy = np.exp(math.log1p(0.05) + np.tile([0.10, -0.04], 80) * (1 + np.linspace(0, 0.1, 160)))
    (call, n) = call_of(series(noisy))
    assert call is Call.REGRESSION
    assert n > 10
    greater, _ = signed_rank_tails(np.log(noisy[:n]) - math.log1p(0.05))
    assert greater <= 0.002


def test_what_was_decided_stays_whatever_comes_after() -> None:
    early = np.concatenate([spread(10, 1.2), spread(150, 0.5)])
    assert call_of(series(early)) == (Call.REGRESSION, 10)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 1.05, 1.1]), st.integers(1, 160))
def test_a_call_depends_on_no_pair_after_its_look(seed: int, slowdown: float, cut: int) -> None:
    rng = np.random.default_rng(seed)
    ratios = slowdown * np.exp(rng.normal(0, 0.05, 160))
    whole, part = call_of(series(ratios)), call_of(series(ratios[:cut]))
    assert part == whole if whole[0] is not Call.INCONCLUSIVE and whole[1] <= cut else part[0] is Call.INCONCLUSIVE


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_a_unit_of_measure_changes_nothing_but_the_difference(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    one = series(np.exp(rng.normal(0.04, 0.05, 40)))
    scaled = msgspec.structs.replace(one, baseline_ns=one.baseline_ns * scale, candidate_ns=one.candidate_ns * scale)
    (a,), (b,) = judge([one], RULE), judge([scaled], RULE)
    assert (a.call, a.n) == (b.call, b.n)
    assert a.ratio is not None
    assert b.ratio is not None
    assert b.ratio.value == pytest.approx(a.ratio.value)
    assert a.shift_ns is not None
    assert b.shift_ns is not None
    assert b.shift_ns.value == pytest.approx(scale * a.shift_ns.value, rel=1e-6, abs=1e-3)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.randoms())
def test_the_order_of_pairs_within_a_look_is_of_no_matter(seed: int, random: Any) -> None:
    ratios = np.exp(np.random.default_rng(seed).normal(0.06, 0.05, 10))
    order = list(range(10))
    random.shuffle(order)
    assert call_of(series(ratios[order])) == call_of(series(ratios))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.8, 1.25))
def test_without_tolerance_swapping_the_sides_swaps_the_calls(seed: int, slowdown: float) -> None:
    rule = Rule(max_slowdown=0.0)
    ratios = slowdown * np.exp(np.random.default_rng(seed).normal(0, 0.05, 40))
    there, back = call_of(series(ratios), rule), call_of(series(1 / ratios), rule)
    swapped = {Call.REGRESSION: Call.OK, Call.OK: Call.REGRESSION, Call.INCONCLUSIVE: Call.INCONCLUSIVE}
    assert back == (swapped[there[0]], there[1])


def test_a_slowdown_that_the_probe_could_not_tell_is_neither_a_regression_nor_ok() -> None:
    one = series(spread(10, 1.08), floor_ns=10 * MS)
    (decision,) = judge([one], RULE)
    assert (decision.call, decision.n, decision.is_final) == (Call.INCONCLUSIVE, 10, True)
    assert decision.reason == (
        "not slower by more than +10.0%, but this probe cannot resolve +5.0%: what it does not see of a start is up to "
        "+10.0% of the baseline. Use a tcp, http, log or notify probe, shorten the HEALTHCHECK's interval, or tolerate "
        "more with --max-slowdown 10%"
    )
    assert tolerated(one, RULE) == pytest.approx(0.10)
    assert tolerated(series(spread(10, 1.08), floor_ns=1 * MS), RULE) == 0.05
    assert tolerated(series([], floor_ns=10 * MS), RULE) == 0.05


def test_a_floor_that_is_what_is_tolerated_resolves_it() -> None:
    assert call_of(series(spread(10, 1.0), floor_ns=5 * MS)) == (Call.OK, 10)
    assert call_of(series(spread(10, 1.0), floor_ns=5.001 * MS)) == (Call.INCONCLUSIVE, 10)


def test_a_slowdown_beyond_the_floor_is_a_regression() -> None:
    assert call_of(series(spread(10, 1.2), floor_ns=10 * MS)) == (Call.REGRESSION, 10)


def test_what_more_pairs_may_still_tell_is_not_final_and_says_what_the_probe_cannot() -> None:
    (decision,) = judge([series(1.1 * (1 + np.array([-1, 1] * 10) * 0.01), floor_ns=10 * MS)], RULE)
    assert (decision.call, decision.is_final) == (Call.INCONCLUSIVE, False)
    assert "20 pairs do not tell" in decision.reason
    assert "this probe cannot resolve +5.0%" in decision.reason


def test_a_floor_that_version_0_1_stored_is_said_to_be_less() -> None:
    (decision,) = judge([series(spread(10, 1.0), floor_ns=10 * MS, floor_is_bound=True)], RULE)
    assert "so it is less; measure again to know" in decision.reason


def test_a_series_that_the_probe_cannot_resolve_is_settled_once_it_is_within_the_floor() -> None:
    unresolved, fine = series(spread(10, 1.0), floor_ns=10 * MS), series(spread(10, 1.0))
    assert is_settled(judge([unresolved], RULE), RULE)
    assert is_settled(judge([unresolved, fine], RULE), RULE)
    assert overall(judge([unresolved, fine], RULE)) is Call.INCONCLUSIVE


def test_a_series_within_its_floor_leaves_the_level_to_the_others() -> None:
    below = -(np.arange(1.0, 11.0) / 100)
    below[0] = 0.01
    barely_ok = series(np.exp(math.log1p(0.05) + below), name="barely")
    unresolved = series(spread(10, 0.9), name="coarse", floor_ns=10 * MS)
    assert [d.call for d in judge([barely_ok, unresolved], RULE)] == [Call.OK, Call.INCONCLUSIVE]


def test_the_floor_is_a_share_of_the_median_of_the_first_looks_pairs_at_every_look() -> None:
    one = series(spread(20, 1.0), floor_ns=20 * MS, baseline_ns=np.array([100 * MS] * 10 + [400 * MS] * 10))
    assert tolerated(one, RULE) == pytest.approx(0.2)


def test_a_series_may_tolerate_more_than_the_rule() -> None:
    assert call_of(series(spread(10, 1.15), max_slowdown=0.20)) == (Call.OK, 10)


def test_three_series_share_the_level_so_ten_pairs_are_too_few() -> None:
    """2^-10 is above 0.002 / 3: nothing could be rejected at the first look."""
    three = [series(spread(20, 1.2), name=str(number)) for number in range(3)]
    assert {(decision.call, decision.n) for decision in judge(three, RULE)} == {(Call.REGRESSION, 20)}
    two = judge(three[:2], RULE)
    assert {(decision.call, decision.n) for decision in two} == {(Call.REGRESSION, 10)}


def test_with_two_series_the_smaller_tail_has_to_meet_half_the_level() -> None:
    """T+ = 54 of ten pairs has p = 0.00195: enough alone, and not beside a series that is not rejected."""
    logs = math.log1p(0.05) + np.arange(1.0, 11.0) / 100
    logs[0] -= 2 / 100
    barely = series(np.exp(logs), name="barely")
    fine = series(spread(10, 1.0), name="fine")
    assert judge([barely], RULE)[0].call is Call.REGRESSION
    assert judge([barely, fine], RULE)[0].call is Call.INCONCLUSIVE


def test_once_a_series_is_rejected_the_next_has_the_whole_level() -> None:
    logs = math.log1p(0.05) + np.arange(1.0, 11.0) / 100
    logs[0] -= 2 / 100
    barely, clearly = series(np.exp(logs), name="barely"), series(spread(10, 1.3), name="clearly")
    assert [decision.call for decision in judge([barely, clearly], RULE)] == [Call.REGRESSION, Call.REGRESSION]
    below = -(np.arange(1.0, 11.0) / 100)
    below[0] = 0.01
    barely_ok = series(np.exp(math.log1p(0.05) + below), name="barely")
    assert judge([barely_ok, clearly], RULE)[0].call is Call.INCONCLUSIVE
    assert judge([barely_ok, series(spread(10, 0.9), name="ok")], RULE)[0].call is Call.OK


def test_a_series_that_lags_behind_is_looked_at_when_it_has_the_pairs() -> None:
    quick, slow = series(spread(20, 1.0), name="quick"), series(spread(12, 1.0), name="slow")
    assert [(d.call, d.n) for d in judge([quick, slow], RULE)] == [(Call.OK, 10), (Call.OK, 10)]
    late = series(spread(9, 1.0), name="late")
    assert [d.call for d in judge([quick, late], RULE)] == [Call.OK, Call.INCONCLUSIVE]


def test_a_candidate_that_failed_once_is_never_ok() -> None:
    (decision,) = judge([series(spread(160, 1.0), candidate_failed=1)], RULE)
    assert decision.call is Call.INCONCLUSIVE
    assert decision.reason == "the candidate failed once where the baseline did not: that is never ok"


def test_a_candidate_that_failed_once_may_still_be_slower() -> None:
    assert call_of(series(spread(10, 1.2), candidate_failed=1)) == (Call.REGRESSION, 10)


def test_a_candidate_that_failed_twice_is_a_regression_without_any_pair() -> None:
    (decision,) = judge([series([], candidate_failed=2)], RULE)
    assert (decision.call, decision.n, decision.ratio, decision.shift_ns) == (Call.REGRESSION, 0, None, None)
    assert decision.reason == "the candidate failed in 2 blocks in which the baseline did not"


@pytest.mark.parametrize(
    "failures",
    [{"both_failed": 1}, {"baseline_failed": 2}, {"baseline_failed": 1, "candidate_failed": 1}],
)
def test_a_baseline_that_fails_too_leaves_nothing_to_compare_with(failures: dict[str, int]) -> None:
    (decision,) = judge([series(spread(160, 1.0), **failures)], RULE)
    assert decision.call is Call.INVALID
    assert decision.reason.startswith("the baseline failed too")


def test_a_baseline_that_failed_once_loses_that_block_only() -> None:
    assert call_of(series(spread(10, 1.0), baseline_failed=1)) == (Call.OK, 10)


def test_failures_are_counted_for_each_side() -> None:
    (decision,) = judge([series([1.0], baseline_failed=1, candidate_failed=0, both_failed=2)], RULE)
    assert (decision.baseline_failed, decision.candidate_failed) == (3, 2)


def test_an_undecided_series_is_shown_with_all_its_pairs_up_to_the_last_look() -> None:
    noisy = 1.05 * (1 + np.array([-1, 1] * 100) * np.linspace(0.001, 0.01, 200))
    (decision,) = judge([series(noisy)], RULE)
    assert (decision.call, decision.n) == (Call.INCONCLUSIVE, 160)
    assert decision.reason.startswith("160 pairs do not tell whether it is slower by more than +5.0% (")


def test_the_interval_is_the_one_that_goes_with_the_level_of_a_look() -> None:
    (decision,) = judge([series(spread(10, 1.2))], RULE)
    assert decision.ratio is not None
    assert decision.ratio.level == pytest.approx(0.996)
    assert decision.ratio.lower is not None
    assert decision.ratio.lower > 1.05
    assert decision.shift_ns is not None
    assert decision.shift_ns.value == pytest.approx(20 * MS, rel=0.01)


def decision(call: Call, n: int = 10, *, is_final: bool | None = None) -> Decision:
    return Decision(
        name="x",
        call=call,
        reason="",
        n=n,
        tolerated=0.05,
        ratio=None,
        shift_ns=None,
        candidate_failed=0,
        baseline_failed=0,
        is_final=call is not Call.INCONCLUSIVE if is_final is None else is_final,
    )


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([], Call.INVALID),
        ([Call.OK, Call.OK], Call.OK),
        ([Call.OK, Call.INCONCLUSIVE], Call.INCONCLUSIVE),
        ([Call.INVALID, Call.INCONCLUSIVE], Call.INVALID),
        ([Call.INVALID, Call.REGRESSION, Call.OK], Call.REGRESSION),
    ],
)
def test_one_verdict_is_made_of_all(calls: list[Call], expected: Call) -> None:
    assert overall([decision(call) for call in calls]) is expected


@pytest.mark.parametrize(
    ("decisions", "settled"),
    [
        ([decision(Call.REGRESSION), decision(Call.INCONCLUSIVE)], True),
        ([decision(Call.OK), decision(Call.INCONCLUSIVE, 80)], False),
        ([decision(Call.OK), decision(Call.INCONCLUSIVE, 160)], True),
        ([decision(Call.OK), decision(Call.INCONCLUSIVE, 80, is_final=True)], True),
        ([decision(Call.OK)], True),
    ],
)
def test_it_is_settled_once_more_pairs_would_change_nothing(decisions: list[Decision], settled: bool) -> None:
    assert is_settled(decisions, RULE) is settled


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"candidate_ns": np.array([1.0])}, "10 baselines and 1 candidates"),
        ({"baseline_ns": np.zeros(10)}, "positive, finite"),
        ({"candidate_ns": np.full(10, np.nan)}, "positive, finite"),
        ({"candidate_ns": np.full(10, -1.0)}, "positive, finite"),
    ],
)
def test_what_is_no_time_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        judge([series(spread(10, 1.0), **fields)], RULE)


def test_nothing_to_judge_has_no_decisions() -> None:
    assert judge([], RULE) == ()
