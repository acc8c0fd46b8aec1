"""Other tools' rules, on samples small enough to judge by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.rivals import RIVALS, Values, benchstat_like, hyperfine_ratio, mann_whitney, pytest_benchmark_mean


def of(*values: float) -> Values:
    return np.array(values, dtype=np.float64)


@pytest.mark.parametrize(
    ("candidate", "called"),
    [
        (of(11, 11, 11, 11), False),  # a tenth above is allowed
        (of(11.01, 11.01, 11.01, 11.01), True),
        (of(9, 9, 9, 9), False),
        (of(10, 10, 10, 20), True),  # the mean, not the median
    ],
)
def test_pytest_benchmark_compares_means_with_its_percentage(candidate: Values, called: bool) -> None:
    assert pytest_benchmark_mean(of(10, 10, 10, 10), candidate) is called


@pytest.mark.parametrize(("mean", "called"), [(115, False), (120, True)])
def test_hyperfine_compares_the_ratio_with_its_propagated_deviation(mean: float, called: bool) -> None:
    """Means 100 and 115, deviations 10 each: 1.15 less 1.15·√(0.1² + (10/115)²) = 0.152; of 120: 1.20 less 0.156."""
    assert hyperfine_ratio(of(90, 100, 110), of(mean - 10, mean, mean + 10)) is called


def test_hyperfines_ratio_is_one_of_means() -> None:
    """The mean is 114.3, its deviation 15.1: not above 100. The median, 120, would be."""
    assert hyperfine_ratio(of(100, 100), of(120, 120, 120, 120, 120, 120, 80)) is False


@pytest.mark.parametrize(
    ("b", "called"),
    [
        (of(5, 6, 7, 8), True),  # no pair of 16 the wrong way round: p = 2/70
        (of(2.5, 6, 7, 8), False),  # two: p = 8/70
        (of(3.5, 6, 7, 8), False),  # one: p = 4/70 = 0.057
    ],
)
def test_mann_and_whitney_want_a_p_below_five_percent(b: Values, called: bool) -> None:
    assert mann_whitney(of(1, 2, 3, 4), b) is called


def test_mann_and_whitney_report_no_speed_up() -> None:
    assert mann_whitney(of(5, 6, 7, 8), of(1, 2, 3, 4)) is False


def test_mann_and_whitney_take_the_median_for_slower() -> None:
    """One stray of ten makes the mean the greater, and no slowdown."""
    a, b = np.arange(11.0, 21), np.append(np.arange(1.0, 10), 1000)
    assert mann_whitney(a, b) is False


SLOW = of(4, 5, 6, 7)


@pytest.mark.parametrize(
    ("stray", "called"),
    [
        (1000, True),
        (8, True),  # quartiles 1 and 3: beyond 3 + 1.5·2 = 6
        (6.5, True),
        (6, False),  # at the limit it is kept: of (0, 1, 2, 3, 6) two pairs of 20 or more are the wrong way round
        (5.5, False),
    ],
)
def test_benchstat_leaves_the_baselines_strays_out(stray: float, called: bool) -> None:
    assert benchstat_like(of(0, 1, 2, 3, stray), SLOW) is called


@pytest.mark.parametrize(
    ("stray", "called"),
    [
        (-1000, True),
        (0.5, True),  # quartiles 4 and 6: beyond 4 less 1.5·2 = 1
        (1, False),
        (1.5, False),
    ],
)
def test_benchstat_leaves_the_candidates_strays_out(stray: float, called: bool) -> None:
    assert benchstat_like(of(0, 0.7, 2, 3), of(stray, *SLOW)) is called


def test_every_rival_goes_by_its_own_rule() -> None:
    assert {
        "pytest-benchmark mean:10%": pytest_benchmark_mean,
        "hyperfine mean ± deviation": hyperfine_ratio,
        "Mann-Whitney p < .05": mann_whitney,
        "benchstat-like": benchstat_like,
    } == RIVALS
