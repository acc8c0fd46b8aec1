"""Estimates: hand-computed cases, agreement with scipy, and what must not change them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from coldstart.analyse.estimate import exact, mean_interval, median_interval, quartiles

SAMPLES = st.lists(st.integers(1, 10**9), min_size=6, max_size=40)


def test_six_values_are_bounded_by_their_extremes() -> None:
    found = median_interval([30, 10, 60, 20, 50, 40])
    assert (found.lower, found.value, found.upper, found.n) == (10, 35, 60, 6)


@pytest.mark.parametrize("n", range(1, 6))
def test_a_median_of_fewer_than_six_has_no_bounds(n: int) -> None:
    found = median_interval(list(range(n)))
    assert (found.lower, found.upper) == (None, None)


def test_nine_values_are_bounded_by_the_second_and_eighth() -> None:
    # P(Bin(9, 1/2) <= 1) = 10/512 = 0.0195 <= 0.025 < 46/512: tabulated in Conover, table A3.
    found = median_interval([1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert (found.lower, found.upper) == (2, 8)


def test_twenty_values_are_bounded_by_the_sixth_and_fifteenth() -> None:
    found = median_interval(list(range(1, 21)))
    assert (found.lower, found.value, found.upper) == (6, 10.5, 15)


@pytest.mark.parametrize("n", [6, 10, 25, 100, 1000])
def test_the_median_interval_covers_at_least_its_level_and_the_next_shorter_does_not(n: int) -> None:
    found = median_interval(list(range(1, n + 1)))
    assert found.lower is not None
    rank = int(found.lower)
    covers = [1 - 2 * sum(math.comb(n, k) for k in range(r)) / 2**n for r in (rank, rank + 1)]
    assert covers[0] >= 0.95 > covers[1]


def test_the_median_interval_agrees_with_scipys_quantile_test() -> None:
    values = np.random.default_rng(1).lognormal(size=53)
    found = median_interval(values)
    scipys: Any = stats.quantile_test(values, p=0.5).confidence_interval(0.95)
    assert (found.lower, found.upper) == (scipys.low, scipys.high)


def test_a_lower_level_needs_fewer_values() -> None:
    assert median_interval([1, 2, 3, 4, 5], level=0.9).lower == 1


def test_the_mean_interval_is_students_by_hand() -> None:
    # mean 4, s = 2, n = 3, t(0.975, 2) = 4.302653: 4 -+ 4.302653 * 2 / sqrt(3) = 4 -+ 4.968276
    found = mean_interval([2, 4, 6])
    assert (found.lower, found.value, found.upper) == pytest.approx((-0.968276, 4, 8.968276), abs=1e-5)


def test_the_mean_interval_agrees_with_scipys_t_test() -> None:
    values = np.random.default_rng(2).normal(10, 3, size=20)
    found = mean_interval(values, level=0.99)
    scipys = stats.ttest_1samp(values, 0).confidence_interval(0.99)
    assert (found.lower, found.upper) == pytest.approx((scipys.low, scipys.high), rel=1e-12)


def test_a_single_value_has_a_mean_without_bounds() -> None:
    found = mean_interval([7])
    assert (found.value, found.lower, found.upper) == (7, None, None)


def test_quartiles_are_rs_default_type_seven() -> None:
    assert quartiles([1, 2, 3, 4, 5, 6]) == (2.25, 4.75)


def test_an_exact_figure_is_its_own_interval() -> None:
    found = exact(0.25)
    assert (found.lower, found.value, found.upper, found.method) == (0.25, 0.25, 0.25, "exact")


@pytest.mark.parametrize(
    ("estimate", "bad"), list(itertools.product([median_interval, mean_interval, quartiles], [[], [1.0, math.nan]]))
)
def test_nothing_and_not_a_number_are_refused(estimate: object, bad: list[float]) -> None:
    with pytest.raises(ValueError, match=r"no values|finite"):
        estimate(bad)  # type: ignore[operator]


@given(SAMPLES, st.integers(0, 10**9))
def test_a_shift_moves_the_median_and_both_bounds(sample: list[int], shift: int) -> None:
    before, after = median_interval(sample), median_interval([value + shift for value in sample])
    assert (after.lower, after.value, after.upper) == (
        before.lower + shift,  # type: ignore[operator]
        before.value + shift,
        before.upper + shift,  # type: ignore[operator]
    )


@given(SAMPLES, st.sampled_from([2, 4, 1024]))
def test_a_scale_stretches_the_mean_and_both_bounds(sample: list[int], scale: int) -> None:
    before, after = mean_interval(sample), mean_interval([value * scale for value in sample])
    scaled = [bound * scale for bound in (before.lower, before.value, before.upper) if bound is not None]
    assert [after.lower, after.value, after.upper] == pytest.approx(scaled, rel=1e-9, abs=1e-3)


@given(SAMPLES, st.randoms())
def test_order_does_not_matter(sample: list[int], random: object) -> None:
    shuffled = list(sample)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert median_interval(shuffled) == median_interval(sample)


@given(SAMPLES)
def test_the_median_lies_within_its_bounds(sample: list[int]) -> None:
    found = median_interval(sample)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower <= found.value <= found.upper
