"""Two arms measured side by side: how many times as long one takes as the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from coldstart.analyse.estimate import LEVEL, Estimate

MAX_EXACT = 2500  # differences of two arms: of 50 values each
MAX_PAIRS = 500  # 125 250 Walsh averages: their number is quadratic, and more pairs no longer change a verdict


def paired_ratio(
    a: Sequence[float] | NDArray[np.float64], b: Sequence[float] | NDArray[np.float64], level: float = LEVEL
) -> Estimate:
    """How many times ``a`` the arm ``b`` takes, from pairs (``a[i]``, ``b[i]``) of the same block.

    With d = ln b - ln a, the value is exp(Hodges-Lehmann estimate of d) and the interval inverts the exact
    distribution of Wilcoxon's signed-rank statistic (Hollander, Wolfe & Chicken, Nonparametric Statistical Methods,
    3.2 and 3.3). At 95 % bounds need 6 pairs. Of more than `MAX_PAIRS` pairs, that many evenly spaced ones are used,
    and ``method`` says so.

    Raises:
        ValueError: no pairs, lengths differ, or a value that is not positive: a ratio of it would mean nothing.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.size == 0:
        raise ValueError(f"a paired ratio needs as many values of one arm as of the other: {first.size}, {second.size}")
    if not (np.isfinite(first).all() and np.isfinite(second).all() and (first > 0).all() and (second > 0).all()):
        raise ValueError("a paired ratio needs positive, finite values")
    return paired_effect(np.log(second) - np.log(first), level)


def paired_effect(log_ratios: NDArray[np.float64], level: float = LEVEL) -> Estimate:
    """As `paired_ratio`, from the differences of logarithms themselves.

    Raises:
        ValueError: there are none.
    """
    return _as_ratio(paired_shift(log_ratios, level))


def paired_shift(differences: NDArray[np.float64], level: float = LEVEL) -> Estimate:
    """By how much the second arm exceeds the first, from differences of pairs: Hodges-Lehmann, exact signed rank.

    Raises:
        ValueError: there are none.
    """
    if differences.size == 0:
        raise ValueError("nothing to compare: no pairs")
    used = _thinned(differences)
    walsh = walsh_averages(used)
    rank = critical_rank(len(used), level)
    thinned = "" if len(used) == len(differences) else f", {len(used)} of {len(differences)} pairs, evenly spaced"
    return Estimate(
        value=float(np.median(walsh)),
        lower=float(walsh[rank - 1]) if rank else None,
        upper=float(walsh[len(walsh) - rank]) if rank else None,
        level=level,
        n=len(used),
        method=f"Hodges-Lehmann, exact signed rank{thinned}",
    )


def unpaired_ratio(
    a: Sequence[float] | NDArray[np.float64], b: Sequence[float] | NDArray[np.float64], level: float = LEVEL
) -> Estimate:
    """How many times ``a`` the arm ``b`` takes, from independent values; weaker than pairs, which share their noise.

    Raises:
        ValueError: an arm is empty, or a value is not positive: a ratio of it would mean nothing.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    for arm in (first, second):
        if not (arm.size and np.isfinite(arm).all() and (arm > 0).all()):
            raise ValueError("a ratio needs positive, finite values of both arms")
    return _as_ratio(unpaired_shift(np.log(first), np.log(second), level))


def unpaired_shift(
    a: Sequence[float] | NDArray[np.float64], b: Sequence[float] | NDArray[np.float64], level: float = LEVEL
) -> Estimate:
    """By how much values of ``b`` exceed those of ``a``: Hodges-Lehmann, interval from the rank-sum distribution.

    The estimate is the median of all differences, its bounds are their order statistics (Hollander, Wolfe & Chicken,
    4.2 and 4.3; R's ``wilcox.test(b, a, conf.int = TRUE)``): exact up to `MAX_EXACT` differences, by the normal
    approximation beyond. ``n`` is the smaller arm's. Of more than `MAX_PAIRS` values of an arm, that many evenly spaced
    ones are used.

    Raises:
        ValueError: an arm is empty.
    """
    first, second = (_thinned(np.asarray(arm, dtype=np.float64)) for arm in (a, b))
    if not (first.size and second.size):
        raise ValueError("nothing to compare: an arm has no values")
    differences = np.sort(np.subtract.outer(second, first).ravel())
    rank = rank_sum_critical_rank(first.size, second.size, level)
    kind = "exact" if differences.size <= MAX_EXACT else "approximate"
    return Estimate(
        value=float(np.median(differences)),
        lower=float(differences[rank - 1]) if rank else None,
        upper=float(differences[-rank]) if rank else None,
        level=level,
        n=min(first.size, second.size),
        method=f"Hodges-Lehmann, {kind} rank sum",
    )


@lru_cache(maxsize=64)
def rank_sum_critical_rank(m: int, n: int, level: float) -> int:
    """The largest r with P(U < r) ≤ (1 - level)/2 for Mann and Whitney's U of ``m`` and ``n`` values; 0 if none is."""
    tail = (1 - level) / 2
    if m * n > MAX_EXACT:
        spread = math.sqrt(m * n * (m + n + 1) / 12)
        return max(0, math.floor(m * n / 2 + stats.norm.ppf(tail) * spread + 0.5))
    counts = rank_sum_counts(m, n)
    allowed, seen = Fraction(tail + 1e-12) * sum(counts), 0
    for rank, count in enumerate(counts):
        seen += count
        if seen > allowed:
            return rank
    return len(counts)


def rank_sum_counts(m: int, n: int) -> list[int]:
    """In how many orders of ``m`` and ``n`` values U is 0, 1 … m·n: the coefficients of a Gaussian binomial."""
    counts = [1] + [0] * (m * n)
    for step in range(1, m + 1):
        for u in range(m * n, n + step - 1, -1):
            counts[u] -= counts[u - n - step]
        for u in range(step, m * n + 1):
            counts[u] += counts[u - step]
    return counts


def walsh_averages(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """All n(n + 1)/2 means of two values, a value with itself included, sorted."""
    upper = np.triu_indices(len(values))
    return np.sort((values[upper[0]] + values[upper[1]]) / 2)


@lru_cache(maxsize=64)
def critical_rank(n: int, level: float) -> int:
    """The largest r with P(T⁺ < r) ≤ (1 - level)/2 for the signed-rank statistic of ``n`` pairs; 0 if there is none.

    The bounds of the interval are the r-th smallest and r-th largest Walsh average.
    """
    below = np.cumsum(signed_rank_probabilities(n))
    # The last term absorbs rounding, so that a tail of exactly (1 - level)/2 counts as small enough.
    return int(np.searchsorted(below, (1 - level) / 2 + 1e-12, side="right"))


def signed_rank_probabilities(n: int) -> NDArray[np.float64]:
    """P(T⁺ = t) for t = 0 … n(n + 1)/2 under symmetry: rank by rank, each in the sum or not with probability 1/2."""
    probabilities = np.zeros(n * (n + 1) // 2 + 1)
    probabilities[0] = 1.0
    for rank in range(1, n + 1):
        with_rank = np.zeros_like(probabilities)
        with_rank[rank:] = probabilities[:-rank]
        probabilities = (probabilities + with_rank) / 2
    return probabilities


def signed_rank_tails(differences: NDArray[np.float64]) -> tuple[float, float]:
    """P(T⁺ ≥ t) and P(T⁺ ≤ t) of Wilcoxon's signed-rank statistic, exact, if differences are symmetric about 0.

    The first is small where they are mostly positive. Equal sizes share their mean rank, and the distribution is that
    of random signs on the ranks as they are; zeros are ranked and have no sign (Pratt 1959; Hollander, Wolfe & Chicken,
    3.1, comment 11).

    Raises:
        ValueError: there are none.
    """
    if differences.size == 0:
        raise ValueError("nothing to test: no pairs")
    doubled = np.rint(2 * stats.rankdata(np.abs(differences))).astype(np.intp)  # mean ranks are halves at most
    ranks = doubled[differences != 0]
    total = int(doubled[differences > 0].sum())
    if len(np.unique(doubled)) == len(doubled) == len(ranks):
        probabilities, total = _tie_free(len(ranks)), total // 2
    else:
        probabilities = _sums_of_random_signs(ranks)
    return float(probabilities[total:].sum()), float(probabilities[: total + 1].sum())


@lru_cache(maxsize=64)
def _tie_free(n: int) -> NDArray[np.float64]:
    return signed_rank_probabilities(n)


def _sums_of_random_signs(ranks: NDArray[np.intp]) -> NDArray[np.float64]:
    probabilities = np.zeros(int(ranks.sum()) + 1)
    probabilities[0] = 1.0
    for rank in ranks:
        with_rank = np.zeros_like(probabilities)
        with_rank[rank:] = probabilities[: len(probabilities) - rank]
        probabilities = (probabilities + with_rank) / 2
    return probabilities


def _as_ratio(shift: Estimate) -> Estimate:
    """A shift of logarithms as the ratio it stands for."""
    bounds = {side: None if (at := getattr(shift, side)) is None else float(np.exp(at)) for side in ("lower", "upper")}
    ratio: Estimate = msgspec.structs.replace(shift, value=float(np.exp(shift.value)), **bounds)
    return ratio


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(values) <= MAX_PAIRS:
        return values
    return values[np.linspace(0, len(values) - 1, MAX_PAIRS).round().astype(np.intp)]
