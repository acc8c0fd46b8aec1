"""The weaker rule: stored or imported times of a baseline and a candidate, which share no block.

What drifts between one day and another is taken for the candidate's here, which pairs would share out, so a verdict is
labelled. One look at all there is: Mann and Whitney's test of candidate against baseline·(1 + what is tolerated), at
``alpha`` one-sided, and its mirror image for *ok*; Holm's procedure among the series.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from coldstart.analyse.compare import unpaired_ratio, unpaired_shift
from coldstart.analyse.estimate import Estimate
from coldstart.analyse.floor import unresolved_text
from coldstart.analyse.gate import FAILURES_THAT_REGRESS, Call, Decision, check_times, holm, range_text
from coldstart.model.rule import Rule

Values = NDArray[np.float64]


class Arms(msgspec.Struct, frozen=True, kw_only=True):
    """What both sides gave of one cell, each in its own number of starts; the floor as in a gate's series.

    A side's failures are starts that failed, whatever the other did: nothing ties one's starts to the other's.
    """

    name: str
    baseline_ns: Values
    candidate_ns: Values
    floor_ns: float = 0.0
    floor_is_bound: bool = False
    baseline_failed: int = 0
    candidate_failed: int = 0
    max_slowdown: float | None = None

    def asked(self, rule: Rule) -> float:
        """The slowdown that was to be tolerated."""
        return rule.max_slowdown if self.max_slowdown is None else self.max_slowdown

    @property
    def floor(self) -> float:
        """What the floor is of the baseline's median."""
        if not len(self.baseline_ns) or self.floor_ns <= 0:
            return 0.0
        return self.floor_ns / float(np.median(self.baseline_ns))

    def tolerated(self, rule: Rule) -> float:
        """The tolerated slowdown: what was asked, or the floor if that is more; then nothing is ``ok``."""
        return max(self.asked(rule), self.floor)


def judge_unpaired(arms: Sequence[Arms], rule: Rule) -> tuple[Decision, ...]:
    """The rule's call on each cell: ``rule.looks`` plays no part, for all there is was measured before.

    Raises:
        ValueError: a time that is not positive and finite.
    """
    for one in arms:
        check_times(one.name, one.baseline_ns, one.candidate_ns)
    calls = {index: call for index, one in enumerate(arms) if (call := _by_failures(one)) is not None}
    by_failures = frozenset(calls)
    due = [index for index, one in enumerate(arms) if index not in calls and _smallest(one)]
    tails = {index: _tails(arms[index], rule) for index in due}
    regressed = sum(call is Call.REGRESSION for call in calls.values())
    for index in holm({index: tails[index][0] for index in due}, rule.alpha, len(arms) - regressed):
        calls[index] = Call.REGRESSION
    fine = {index: tails[index][1] for index in due if index not in calls and not arms[index].candidate_failed}
    within = holm(fine, rule.alpha, len(arms))
    for index in within:
        is_resolved = arms[index].floor <= arms[index].asked(rule)
        calls[index] = Call.OK if is_resolved else Call.INCONCLUSIVE
    return tuple(
        _decision(
            one,
            rule,
            calls.get(index, Call.INCONCLUSIVE),
            by_failures=index in by_failures,
            is_within=index in within,
            of=len(arms),
        )
        for index, one in enumerate(arms)
    )


def _tails(one: Arms, rule: Rule) -> tuple[float, float]:
    """P of a candidate so much slower, and so much faster, than what is tolerated (scipy's exact test where it can)."""
    bound_ns = one.baseline_ns * (1 + one.tolerated(rule))
    slower, faster = (
        float(stats.mannwhitneyu(one.candidate_ns, bound_ns, alternative=which).pvalue) for which in ("greater", "less")
    )
    return slower, faster


def _by_failures(one: Arms) -> Call | None:
    """What failures decide by themselves, whatever the times are."""
    if one.baseline_failed and one.candidate_failed:
        return Call.INVALID
    if one.baseline_failed >= FAILURES_THAT_REGRESS:
        return Call.INVALID
    return Call.REGRESSION if one.candidate_failed >= FAILURES_THAT_REGRESS else None


def _smallest(one: Arms) -> int:
    return min(len(one.baseline_ns), len(one.candidate_ns))


def _can_tell(one: Arms, alpha: float) -> bool:
    """Whether the most extreme order of so many starts would be rare enough."""
    return 1 / math.comb(len(one.baseline_ns) + len(one.candidate_ns), _smallest(one)) <= alpha


def _decision(one: Arms, rule: Rule, call: Call, *, by_failures: bool, is_within: bool, of: int) -> Decision:
    level, has_both = 1 - 2 * rule.alpha, _smallest(one) > 0
    ratio = unpaired_ratio(one.baseline_ns, one.candidate_ns, level) if has_both else None
    return Decision(
        name=one.name,
        call=call,
        reason=_reason(one, rule, call, ratio, by_failures=by_failures, is_within=is_within, of=of),
        n=_smallest(one),
        tolerated=one.tolerated(rule),
        ratio=ratio,
        shift_ns=unpaired_shift(one.baseline_ns, one.candidate_ns, level) if has_both else None,
        candidate_failed=one.candidate_failed,
        baseline_failed=one.baseline_failed,
        by_failures=by_failures,
        is_final=True,
    )


def _reason(
    one: Arms, rule: Rule, call: Call, ratio: Estimate | None, *, by_failures: bool, is_within: bool, of: int
) -> str:
    bound = f"{one.tolerated(rule):+.1%}"
    if call is Call.INVALID:
        return f"starts of the baseline failed too: {one.baseline_failed}, of the candidate {one.candidate_failed}"
    if call is Call.REGRESSION:
        return (
            f"{one.candidate_failed} starts of the candidate failed" if by_failures else f"slower by more than {bound}"
        )
    if call is Call.OK:
        return f"not slower by more than {bound}"
    if is_within:
        return f"not slower by more than {bound}, but {_unresolved(one, rule)}"
    return _undecided(one, rule, ratio, of)


def _undecided(one: Arms, rule: Rule, ratio: Estimate | None, of: int) -> str:
    counts = f"{len(one.baseline_ns)} and {len(one.candidate_ns)} starts"
    if not _can_tell(one, rule.alpha / of):
        return f"{counts} are too few to tell anything at {rule.alpha:g}"
    if one.candidate_failed:
        return "a start of the candidate failed and none of the baseline: that is never ok"
    text = f"{counts} do not tell whether it is slower by more than {one.tolerated(rule):+.1%}{range_text(ratio)}"
    return f"{text}; {_unresolved(one, rule)}" if one.floor > one.asked(rule) else text


def _unresolved(one: Arms, rule: Rule) -> str:
    return unresolved_text(one.asked(rule), one.floor, is_bound=one.floor_is_bound)
