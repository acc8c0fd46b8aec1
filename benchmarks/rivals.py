"""Rules that other tools judge a slowdown by, as functions of two samples: to be held beside the gate's own.

Each takes the baseline's and the candidate's times, in any unit, and says whether it would report a regression.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]
RivalRule = Callable[[Values, Values], bool]


def pytest_benchmark_mean(a: Values, b: Values) -> bool:
    """``--benchmark-compare-fail=mean:10%``: the mean is more than a tenth above."""
    return bool(b.mean() > 1.10 * a.mean())


def hyperfine_ratio(a: Values, b: Values) -> bool:
    """Hyperfine's comparison: the ratio of means less its propagated standard deviation is above 1."""
    ratio = b.mean() / a.mean()
    deviation = ratio * np.hypot(a.std(ddof=1) / a.mean(), b.std(ddof=1) / b.mean())
    return bool(ratio - deviation > 1)


def mann_whitney(a: Values, b: Values) -> bool:
    """Two-sided p below 0.05, and slower."""
    return bool(stats.mannwhitneyu(a, b).pvalue < 0.05 and np.median(b) > np.median(a))


def benchstat_like(a: Values, b: Values) -> bool:
    """Outliers beyond 1.5 interquartile ranges removed, then the same test, as benchstat did up to 2022."""
    return mann_whitney(_without_outliers(a), _without_outliers(b))


def _without_outliers(values: Values) -> Values:
    low, high = np.quantile(values, [0.25, 0.75])
    margin = 1.5 * (high - low)
    kept: Values = values[(values >= low - margin) & (values <= high + margin)]
    return kept


RIVALS: dict[str, RivalRule] = {
    "pytest-benchmark mean:10%": pytest_benchmark_mean,
    "hyperfine mean ± deviation": hyperfine_ratio,
    "Mann-Whitney p < .05": mann_whitney,
    "benchstat-like": benchstat_like,
}
