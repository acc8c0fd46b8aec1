"""Paired ratios: published examples, the exact distribution, symmetry of the labels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from coldstart.analyse.compare import (
    MAX_PAIRS,
    critical_rank,
    paired_effect,
    paired_ratio,
    signed_rank_probabilities,
    walsh_averages,
)

PAIRS = st.lists(st.tuples(st.integers(1, 10**9), st.integers(1, 10**9)), min_size=6, max_size=25)


def test_the_depression_data_of_hollander_and_wolfe_give_their_published_estimate_and_interval() -> None:
    # Example 3.1 and 3.3 (also ?wilcox.test in R): estimate -0.46, bounds W(6) = -0.786 and W(40) = -0.010.
    before = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    after = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    found = paired_effect(after - before)
    logs = [math.log(bound) for bound in (found.lower, found.value, found.upper) if bound is not None]
    assert logs == pytest.approx([-0.786, -0.46, -0.010], abs=1e-9)


@pytest.mark.parametrize("n", [1, 5, 9, 12])
def test_the_signed_rank_distribution_equals_counting_every_sign(n: int) -> None:
    counted = np.zeros(n * (n + 1) // 2 + 1)
    for signs in itertools.product([0, 1], repeat=n):
        counted[sum(rank for rank, sign in enumerate(signs, 1) if sign)] += 1
    assert signed_rank_probabilities(n) == pytest.approx(counted / 2**n, abs=1e-15)


def test_the_tail_agrees_with_scipys_exact_wilcoxon_test() -> None:
    differences = np.random.default_rng(3).normal(0.4, 1, size=17)
    ranks = stats.rankdata(np.abs(differences))
    statistic = min(ranks[differences > 0].sum(), ranks[differences < 0].sum())
    two_sided = 2 * signed_rank_probabilities(17)[: int(statistic) + 1].sum()
    assert two_sided == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue, rel=1e-12)


@pytest.mark.parametrize(("n", "rank"), [(5, 0), (6, 1), (7, 3), (8, 4), (9, 6), (10, 9), (20, 53)])
def test_the_critical_rank_is_rs_qsignrank(n: int, rank: int) -> None:
    # qsignrank(0.025, n) in R: the values of Wilcoxon's table, plus one.
    assert critical_rank(n, 0.95) == rank


def test_walsh_averages_are_all_means_of_two() -> None:
    assert walsh_averages(np.array([4.0, 0.0, 2.0])).tolist() == [0, 1, 2, 2, 3, 4]


def test_a_constant_factor_is_found_without_width() -> None:
    found = paired_ratio([100, 200, 300, 400, 500, 600], [150, 300, 450, 600, 750, 900])
    assert (found.lower, found.value, found.upper) == pytest.approx((1.5, 1.5, 1.5))


def test_five_pairs_have_a_ratio_without_bounds() -> None:
    found = paired_ratio([1, 1, 1, 1, 1], [2, 2, 2, 2, 2])
    assert (round(found.value, 9), found.lower, found.upper) == (2, None, None)


def test_pairing_cancels_what_a_whole_block_shares() -> None:
    drift = np.linspace(1, 10, 12)
    found = paired_ratio(100 * drift, 110 * drift)
    assert found.upper == pytest.approx(1.1)


@given(PAIRS)
def test_swapping_the_labels_inverts_ratio_and_bounds(pairs: list[tuple[int, int]]) -> None:
    a, b = [first for first, _ in pairs], [second for _, second in pairs]
    there, back = paired_ratio(a, b), paired_ratio(b, a)
    assert (1 / back.value, 1 / back.upper, 1 / back.lower) == pytest.approx(  # type: ignore[operator]
        (there.value, there.lower, there.upper), rel=1e-9
    )


@given(PAIRS, st.sampled_from([0.001, 7.0, 1e6]))
def test_the_unit_does_not_matter(pairs: list[tuple[int, int]], unit: float) -> None:
    a, b = np.array(pairs, dtype=float).T
    assert paired_ratio(a * unit, b * unit).value == pytest.approx(paired_ratio(a, b).value, rel=1e-9)


def test_too_many_pairs_are_thinned_and_the_method_says_so() -> None:
    found = paired_ratio(np.ones(MAX_PAIRS + 100), np.full(MAX_PAIRS + 100, 2.0))
    assert (found.n, found.method) == (
        MAX_PAIRS,
        "Hodges-Lehmann, exact signed rank, 500 of 600 pairs, evenly spaced",
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [-1.0]), ([math.inf], [1.0]), ([1.0], [math.nan])],
    ids=["nothing", "lengths", "zero", "negative", "infinite", "not a number"],
)
def test_what_has_no_ratio_is_refused(a: list[float], b: list[float]) -> None:
    with pytest.raises(ValueError, match="paired ratio needs"):
        paired_ratio(a, b)


def test_no_differences_are_refused() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        paired_effect(np.array([]))
