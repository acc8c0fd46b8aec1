"""Other tools' rules, on samples small enough to judge by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.rivals import RIVALS, benchstat_like, hyperfine_ratio, mann_whitney, pytest_benchmark_mean

FLAT = np.array([100.0] * 4)


@pytest.mark.parametrize(("value", "called"), [(110.0, False), (110.1, True), (90.0, False)])
def test_pytest_benchmark_compares_means_with_its_percentage(value: float, called: bool) -> None:
    assert pytest_benchmark_mean(FLAT, np.array([value] * 4)) is called


def test_hyperfine_compares_the_ratio_with_its_propagated_deviation() -> None:
    """Means 100 and 112, deviations 10 each: the ratio is 1.12 ± 1.12·√(0.1² + (10/112)²) = 0.150."""
    a, b = np.array([90.0, 100.0, 110.0]), np.array([102.0, 112.0, 122.0])
    assert hyperfine_ratio(a, b) is False
    assert hyperfine_ratio(a, b + 8) is True  # 1.20 ± 0.157


def test_mann_and_whitney_want_five_percent_and_a_slower_median() -> None:
    a = np.arange(10.0)
    assert mann_whitney(a, a + 100) is True
    assert mann_whitney(a + 100, a) is False
    assert mann_whitney(a, a + 1) is False


def test_benchstat_leaves_outliers_out() -> None:
    a = np.arange(4.0)
    b = np.array([4.0, 5.0, 6.0, 7.0, -1000.0])
    assert benchstat_like(a, b) is True
    assert mann_whitney(a, b) is False


def test_every_rival_has_a_name() -> None:
    assert len(RIVALS) == 4
