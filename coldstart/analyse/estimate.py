"""One sample of numbers: an estimate never travels without its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.95


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A number with its confidence interval, in the unit of what was estimated.

    ``lower`` and ``upper`` are ``None`` where ``n`` is too small for an interval at ``level``; an exact figure, such
    as a size, has both equal to ``value``. ``method`` names how the interval was made.
    """

    value: float
    lower: float | None
    upper: float | None
    level: float
    n: int
    method: str


def exact(value: float) -> Estimate:
    """A figure without uncertainty: a count or a size."""
    return Estimate(value=value, lower=value, upper=value, level=1.0, n=1, method="exact")


def median_interval(values: Sequence[float] | NDArray[np.float64], level: float = LEVEL) -> Estimate:
    """The median and the shortest symmetric pair of order statistics that covers it with at least ``level``.

    Distribution-free: the number of values below the true median is Binomial(n, 1/2) (Conover, Practical
    Nonparametric Statistics, 3rd ed., 3.2). At 95 % this needs n ≥ 6; below that there are no bounds.

    Raises:
        ValueError: no values, or one that is not a finite number.
    """
    ordered = np.sort(_checked(values))
    n = len(ordered)
    # Bounds are the r-th smallest and r-th largest; r is the largest rank with P(Bin(n, 1/2) < r) ≤ (1 - level)/2.
    rank = int(stats.binom.ppf((1 - level) / 2, n, 0.5))
    return Estimate(
        value=float(np.median(ordered)),
        lower=float(ordered[rank - 1]) if rank >= 1 else None,
        upper=float(ordered[n - rank]) if rank >= 1 else None,
        level=level,
        n=n,
        method="order statistics",
    )


def mean_interval(values: Sequence[float] | NDArray[np.float64], level: float = LEVEL) -> Estimate:
    """The arithmetic mean with Student's t interval; bounds from n = 2 on.

    Approximate where values are far from normal: use it where a claim is a mean, else the median.

    Raises:
        ValueError: no values, or one that is not a finite number.
    """
    sample = _checked(values)
    n = len(sample)
    mean = float(np.mean(sample))
    half = float(stats.t.ppf((1 + level) / 2, n - 1) * np.std(sample, ddof=1) / math.sqrt(n)) if n > 1 else None
    return Estimate(
        value=mean,
        lower=None if half is None else mean - half,
        upper=None if half is None else mean + half,
        level=level,
        n=n,
        method="Student t",
    )


def quartiles(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """First and third quartile, linear between order statistics (type 7 of Hyndman & Fan 1996, R's default).

    Raises:
        ValueError: no values, or one that is not a finite number.
    """
    lower, upper = np.quantile(_checked(values), [0.25, 0.75])
    return float(lower), float(upper)


def _checked(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        raise ValueError("nothing to estimate from: no values")
    if not np.isfinite(sample).all():
        raise ValueError("values must be finite numbers")
    return sample
