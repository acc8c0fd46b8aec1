"""The gate's rule: paired starts of a baseline and a candidate to one verdict, with error rates fixed beforehand.

The rule that is simulated and calibrated is `judge`, whole, and it is what the command line runs.

For each pair of starts d = ln(candidate) - ln(baseline), less the logarithm of the slowdown that is tolerated. After
`Rule.looks` pairs each, the exact signed-rank test asks whether d is above 0 (a regression) or below (within what is
tolerated), at ``alpha`` divided among the looks; whoever is still undecided after the last look stays so. Several
series (cells, metrics) share the level by Holm's procedure, at each look among those it has not rejected yet, and
separately for the two questions (Maurer & Bretz 2013, Multiple testing in group sequential trials using graphical
approaches).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from coldstart.analyse.compare import paired_effect, paired_shift, signed_rank_tails
from coldstart.analyse.estimate import Estimate
from coldstart.analyse.floor import unresolved_text
from coldstart.model.rule import Rule

FAILURES_THAT_REGRESS = 2
BASELINE_FAILURES_THAT_INVALIDATE = 2

Values = NDArray[np.float64]


class Call(StrEnum):
    """What the rule says of a series, and of all of them."""

    REGRESSION = "regression"
    OK = "ok"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"  # the baseline fails too: there is nothing to compare with


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """What one cell's pairs gave, in the order of their blocks: only blocks in which both sides were timed.

    ``floor_ns`` is the least slowdown that counts: what the measurement itself may be off by (see
    `coldstart.analyse.floor`). The failures are blocks in which a side failed: the candidate alone, the baseline alone,
    or both. ``max_slowdown`` overrides the rule's.
    """

    name: str
    baseline_ns: Values
    candidate_ns: Values
    floor_ns: float = 0.0
    floor_is_bound: bool = False
    candidate_failed: int = 0
    baseline_failed: int = 0
    both_failed: int = 0
    max_slowdown: float | None = None

    @property
    def n(self) -> int:
        """Pairs."""
        return len(self.baseline_ns)


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The rule's call on one series.

    ``n`` pairs were looked at (of sides that are not paired, the smaller one's starts); ``tolerated`` is the slowdown
    that was allowed, by the rule or by the floor. ``ratio`` is the candidate's time over the baseline's and
    ``shift_ns`` the difference, with the two-sided intervals that go with the one-sided level of a look; ``None``
    without pairs. ``by_failures`` says that failures decided, and no time; ``is_final`` that more pairs would change
    nothing, as where an inconclusive one is within what the probe can resolve.
    """

    name: str
    call: Call
    reason: str
    n: int
    tolerated: float
    ratio: Estimate | None
    shift_ns: Estimate | None
    candidate_failed: int
    baseline_failed: int
    by_failures: bool = False
    is_final: bool = False


def judge(series: Sequence[Series], rule: Rule) -> tuple[Decision, ...]:
    """The rule's call on each series so far; deterministic in the pairs, so a later call repeats the earlier looks.

    Raises:
        ValueError: a time that is not positive and finite, or as many baselines as not candidates.
    """
    for one in series:
        _check(one)
    calls: dict[int, tuple[Call, int]] = {
        index: (call, one.n) for index, one in enumerate(series) if (call := _by_failures(one)) is not None
    }
    for look in rule.looks if series else ():
        _look(series, rule, look, calls)
    return tuple(_decision(one, rule, *calls.get(index, (None, one.n))) for index, one in enumerate(series))


def overall(decisions: Sequence[Decision]) -> Call:
    """One verdict: a regression anywhere is one; else invalid anywhere; ``ok`` only if all are."""
    calls = {decision.call for decision in decisions}
    for call in (Call.REGRESSION, Call.INVALID, Call.INCONCLUSIVE):
        if call in calls:
            return call
    return Call.OK if calls else Call.INVALID


def is_settled(decisions: Sequence[Decision], rule: Rule) -> bool:
    """Whether more pairs would change nothing: one verdict is out, or the last look is done."""
    if overall(decisions) is not Call.INCONCLUSIVE:
        return True
    return all(decision.is_final or decision.n >= rule.looks[-1] for decision in decisions)


def asked(one: Series, rule: Rule) -> float:
    """The slowdown that was to be tolerated."""
    return rule.max_slowdown if one.max_slowdown is None else one.max_slowdown


def floor(one: Series, rule: Rule) -> float:
    """What the floor is of the baseline's median, by the pairs of the first look: the same at every later one."""
    if one.n == 0 or one.floor_ns <= 0:
        return 0.0
    return one.floor_ns / float(np.median(one.baseline_ns[: rule.looks[0]]))


def tolerated(one: Series, rule: Rule) -> float:
    """The tolerated slowdown: what was asked, or the floor if that is more; then nothing is ``ok``."""
    return max(asked(one, rule), floor(one, rule))


def _look(series: Sequence[Series], rule: Rule, look: int, calls: dict[int, tuple[Call, int]]) -> None:
    if 0.5**look > rule.alpha_at_look / len(series):
        return  # too small to reject anything
    due = [index for index, one in enumerate(series) if index not in calls and one.n >= look]
    tails = {index: _tails(series[index], rule, look) for index in due}
    regressed = sum(call is Call.REGRESSION for call, _ in calls.values())
    for index in holm({index: tails[index][0] for index in due}, rule.alpha_at_look, len(series) - regressed):
        calls[index] = (Call.REGRESSION, look)
    fine = sum(call in {Call.OK, Call.INCONCLUSIVE} for call, _ in calls.values())
    candidates = {index: tails[index][1] for index in due if index not in calls and not series[index].candidate_failed}
    for index in holm(candidates, rule.alpha_at_look, len(series) - fine):
        is_resolved = floor(series[index], rule) <= asked(series[index], rule)
        calls[index] = (Call.OK if is_resolved else Call.INCONCLUSIVE, look)


def holm(p_values: dict[int, float], alpha: float, family: int) -> list[int]:
    """Which of them are rejected at ``alpha``, of a ``family`` in which the others have not been (Holm 1979)."""
    rejected: list[int] = []
    for index, p_value in sorted(p_values.items(), key=lambda item: item[1]):
        if p_value > alpha / (family - len(rejected)):
            break
        rejected.append(index)
    return rejected


def _tails(one: Series, rule: Rule, n: int) -> tuple[float, float]:
    return signed_rank_tails(_log_ratios(one, n) - math.log1p(tolerated(one, rule)))


def _log_ratios(one: Series, n: int) -> Values:
    ratios: Values = np.log(one.candidate_ns[:n]) - np.log(one.baseline_ns[:n])
    return ratios


def _by_failures(one: Series) -> Call | None:
    """What failures decide by themselves, whatever the times are."""
    if one.both_failed or (one.baseline_failed and one.candidate_failed):
        return Call.INVALID
    if one.baseline_failed >= BASELINE_FAILURES_THAT_INVALIDATE:
        return Call.INVALID
    return Call.REGRESSION if one.candidate_failed >= FAILURES_THAT_REGRESS else None


def _decision(one: Series, rule: Rule, call: Call | None, n: int) -> Decision:
    used = n if call is not None and not _by_failures(one) else _looked_at(one, rule)
    level = 1 - 2 * rule.alpha_at_look
    verdict = call or Call.INCONCLUSIVE
    shift = one.candidate_ns[:used] - one.baseline_ns[:used]
    ratio = paired_effect(_log_ratios(one, used), level) if used else None
    return Decision(
        name=one.name,
        call=verdict,
        reason=_reason(one, rule, call, used, ratio),
        n=used,
        tolerated=tolerated(one, rule),
        ratio=ratio,
        shift_ns=paired_shift(shift, level) if used else None,
        candidate_failed=one.candidate_failed + one.both_failed,
        baseline_failed=one.baseline_failed + one.both_failed,
        by_failures=_by_failures(one) is not None,
        is_final=call is not None,
    )


def _looked_at(one: Series, rule: Rule) -> int:
    """An undecided series is shown with all its pairs up to the last look."""
    return min(one.n, rule.looks[-1])


def _reason(one: Series, rule: Rule, call: Call | None, n: int, ratio: Estimate | None) -> str:
    bound = f"{tolerated(one, rule):+.1%}"
    if call is Call.INVALID:
        return (
            f"the baseline failed too: it alone in {one.baseline_failed} blocks, the candidate alone in "
            f"{one.candidate_failed}, both in {one.both_failed}"
        )
    if call is Call.REGRESSION:
        by_failing = f"the candidate failed in {one.candidate_failed} blocks in which the baseline did not"
        return by_failing if _by_failures(one) is call else f"slower by more than {bound}"
    if call is Call.OK:
        return f"not slower by more than {bound}"
    if call is Call.INCONCLUSIVE:
        return f"not slower by more than {bound}, but {_unresolved(one, rule)}"
    return _undecided(one, rule, n, ratio)


def _undecided(one: Series, rule: Rule, n: int, ratio: Estimate | None) -> str:
    if n < rule.looks[0]:
        return f"{n} pairs are too few: the first look is at {rule.looks[0]}"
    if one.candidate_failed:
        return "the candidate failed once where the baseline did not: that is never ok"
    text = f"{n} pairs do not tell whether it is slower by more than {tolerated(one, rule):+.1%}{range_text(ratio)}"
    return f"{text}; {_unresolved(one, rule)}" if floor(one, rule) > asked(one, rule) else text


def _unresolved(one: Series, rule: Rule) -> str:
    return unresolved_text(asked(one, rule), floor(one, rule), is_bound=one.floor_is_bound)


def range_text(ratio: Estimate | None) -> str:
    """`` (-1.0% to +3.0%)``: a ratio's interval as slowdowns; nothing where it has none."""
    if ratio is None or ratio.lower is None or ratio.upper is None:
        return ""
    return f" ({ratio.lower - 1:+.1%} to {ratio.upper - 1:+.1%})"


def _check(one: Series) -> None:
    if one.baseline_ns.shape != one.candidate_ns.shape:
        raise ValueError(f"{one.name}: {one.baseline_ns.size} baselines and {one.candidate_ns.size} candidates")
    check_times(one.name, one.baseline_ns, one.candidate_ns)


def check_times(name: str, *sides_ns: Values) -> None:
    """Times of a series called ``name`` are what a ratio can be made of.

    Raises:
        ValueError: one is not positive and finite.
    """
    for values in sides_ns:
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise ValueError(f"{name}: times must be positive, finite numbers")
