"""Two arms measured side by side: how many times as long one takes as the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from coldstart.analyse.estimate import LEVEL, Estimate

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
    shift = paired_shift(log_ratios, level)
    return Estimate(
        value=float(np.exp(shift.value)),
        lower=None if shift.lower is None else float(np.exp(shift.lower)),
        upper=None if shift.upper is None else float(np.exp(shift.upper)),
        level=shift.level,
        n=shift.n,
        method=shift.method,
    )


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


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(values) <= MAX_PAIRS:
        return values
    return values[np.linspace(0, len(values) - 1, MAX_PAIRS).round().astype(np.intp)]
