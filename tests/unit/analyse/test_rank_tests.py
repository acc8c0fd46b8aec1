"""Exact rank tests and unpaired estimates, against enumeration by hand, scipy and symmetry."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from coldstart.analyse.compare import (
    MAX_EXACT,
    rank_sum_counts,
    rank_sum_critical_rank,
    signed_rank_tails,
    unpaired_ratio,
    unpaired_shift,
)

NUMBERS = st.lists(st.integers(-20, 20), min_size=1, max_size=9)
TIMES = st.lists(st.floats(1, 1e6), min_size=2, max_size=12)


def enumerated(differences: list[float]) -> list[float]:
    """Both tails over all signs of the ranks as they are; zeros are ranked and have no sign."""
    ranks = stats.rankdata(np.abs(differences))
    signed = [rank for rank, value in zip(ranks, differences, strict=True) if value != 0]
    seen = sum(rank for rank, value in zip(ranks, differences, strict=True) if value > 0)
    sums = [sum(itertools.compress(signed, chosen)) for chosen in itertools.product((0, 1), repeat=len(signed))]
    return [
        sum(total >= seen - 1e-9 for total in sums) / len(sums),
        sum(total <= seen + 1e-9 for total in sums) / len(sums),
    ]


def tails(differences: list[float] | np.ndarray[Any, Any]) -> list[float]:
    return list(signed_rank_tails(np.asarray(differences, dtype=np.float64)))


def test_ten_pairs_that_are_all_slower_have_the_smallest_tail_there_is() -> None:
    assert tails(np.arange(1.0, 11.0)) == pytest.approx([2**-10, 1.0])


@pytest.mark.parametrize(
    "differences",
    [[1.0, -2.0, 3.0], [1.0, 1.0, -1.0, 2.0], [0.0, 0.0, 1.0], [0.0, -3.0, 3.0, 3.0, 5.0], [0.0], [-1.0], [2.5] * 6],
)
def test_tails_are_those_of_all_signs_enumerated(differences: list[float]) -> None:
    assert tails(differences) == pytest.approx(enumerated(differences))


@given(NUMBERS)
def test_tails_are_those_of_all_signs_for_any_ties_and_zeros(differences: list[int]) -> None:
    values = [float(value) for value in differences]
    assert tails(values) == pytest.approx(enumerated(values))


def test_without_ties_the_tails_are_scipys_exact_ones() -> None:
    values = np.random.default_rng(7).normal(0.3, 1.0, 25)
    greater = stats.wilcoxon(values, alternative="greater", method="exact").pvalue
    less = stats.wilcoxon(values, alternative="less", method="exact").pvalue
    assert tails(values) == pytest.approx([greater, less])


@given(NUMBERS)
def test_turning_the_signs_turns_the_tails(differences: list[int]) -> None:
    values = np.array(differences, dtype=np.float64)
    assert tails(-values) == pytest.approx(tails(values)[::-1])


@given(NUMBERS, st.randoms())
def test_the_order_of_pairs_is_of_no_matter(differences: list[int], random: object) -> None:
    shuffled = list(differences)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert tails(np.array(shuffled)) == pytest.approx(tails(np.array(differences)))


def test_no_pairs_are_no_test() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        signed_rank_tails(np.array([]))


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 3), (4, 4), (5, 3)])
def test_counts_of_u_are_those_of_all_orders(m: int, n: int) -> None:
    counts = [0] * (m * n + 1)
    for first in itertools.combinations(range(m + n), m):
        others = [place for place in range(m + n) if place not in first]
        counts[sum(a > b for a in first for b in others)] += 1
    assert rank_sum_counts(m, n) == counts


@pytest.mark.parametrize(("m", "n", "level"), [(4, 4, 0.95), (6, 7, 0.95), (10, 10, 0.99), (20, 20, 0.95)])
def test_the_critical_rank_is_the_largest_whose_lower_tail_is_small_enough(m: int, n: int, level: float) -> None:
    counts, rank = rank_sum_counts(m, n), rank_sum_critical_rank(m, n, level)
    total = math.comb(m + n, m)
    assert sum(counts[:rank]) / total <= (1 - level) / 2 + 1e-9
    assert sum(counts[: rank + 1]) / total > (1 - level) / 2


def test_two_or_three_values_an_arm_have_no_interval_at_95_percent() -> None:
    assert unpaired_shift([1.0, 2.0], [3.0, 4.0, 5.0]).lower is None


def test_the_shift_is_the_median_of_all_differences_with_order_statistics_for_bounds() -> None:
    # 16 differences of two arms of 4; the critical rank is 1 (U ≤ 0 in 1 of 70 orders), so bounds are extreme.
    a, b = [1.0, 2.0, 4.0, 8.0], [11.0, 13.0, 17.0, 23.0]
    differences = sorted(y - x for x in a for y in b)
    found = unpaired_shift(a, b)
    assert (found.value, found.lower, found.upper) == (np.median(differences), differences[0], differences[-1])
    assert (found.n, found.method) == (4, "Hodges-Lehmann, exact rank sum")


def test_the_interval_holds_exactly_the_shifts_that_the_exact_test_does_not_reject() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 1, 9), rng.normal(0.5, 1, 11)
    found = unpaired_shift(a, b)
    assert found.lower is not None
    assert found.upper is not None

    def p_value(shift: float) -> float:
        return float(stats.mannwhitneyu(b - shift, a, method="exact").pvalue)

    assert p_value(found.lower + 1e-9) > 0.05 >= p_value(found.lower - 1e-9)
    assert p_value(found.upper - 1e-9) > 0.05 >= p_value(found.upper + 1e-9)


def test_many_values_are_compared_by_the_normal_approximation_which_is_close_to_the_exact_rank() -> None:
    m, n = 50, MAX_EXACT // 50
    exact = rank_sum_critical_rank(m, n, 0.95)
    found = unpaired_shift(np.arange(51.0), np.arange(51.0))
    assert found.method == "Hodges-Lehmann, approximate rank sum"
    approximate = math.floor(m * n / 2 + stats.norm.ppf(0.025) * math.sqrt(m * n * (m + n + 1) / 12) + 0.5)
    assert abs(exact - approximate) <= 2
    differences = np.sort(np.subtract.outer(np.arange(51.0), np.arange(51.0)).ravel())
    rank = rank_sum_critical_rank(51, 51, 0.95)
    assert (found.lower, found.upper) == (differences[rank - 1], differences[-rank])


@given(TIMES, TIMES)
def test_swapping_the_arms_inverts_the_ratio(a: list[float], b: list[float]) -> None:
    there, back = unpaired_ratio(a, b), unpaired_ratio(b, a)
    assert there.value == pytest.approx(1 / back.value)
    if there.lower is not None and back.upper is not None:
        assert there.lower == pytest.approx(1 / back.upper)


@given(TIMES, TIMES, st.floats(0.01, 100))
def test_a_unit_of_measure_changes_no_ratio(a: list[float], b: list[float], scale: float) -> None:
    scaled = unpaired_ratio([value * scale for value in a], [value * scale for value in b])
    assert scaled.value == pytest.approx(unpaired_ratio(a, b).value)


@pytest.mark.parametrize(("a", "b"), [([], [1.0]), ([1.0], []), ([0.0], [1.0]), ([1.0], [-1.0]), ([math.nan], [1.0])])
def test_a_ratio_of_what_is_no_time_is_refused(a: list[float], b: list[float]) -> None:
    with pytest.raises(ValueError, match="positive, finite"):
        unpaired_ratio(a, b)


def test_a_shift_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        unpaired_shift([], [1.0])
