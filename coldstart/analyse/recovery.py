"""How well injected delays were found again: every bound judged as met, missed or undecided.

The rule, which is the one that is simulated (`benchmarks/bench_fidelity.py -k rule`):

- A bound is **met** where the whole interval lies within it, **missed** where the whole interval lies outside, and
  **undecided** otherwise. A wide interval is never a finding.
- Everything has to be met for a selftest to pass. So each bound's test for *met* needs no correction for the others
  (intersection-union: Berger & Hsu 1996, Statistical Science 11(4)): one that does not hold is called met with a
  probability of `FALSE_MET` at most. One *missed* bound is enough to fail, so those tests share `FALSE_MISSED`
  (Bonferroni): a machine on which all bounds hold, be it by a hair, fails with that probability at most.
- A selftest may look several times and stop when all is decided. Both probabilities are divided by the looks planned;
  what a look has decided stays decided, with the interval that decided it. From then on arms that are in no undecided
  bound need no more starts. The controls go on in the same number per block, so that a drift of the machine is in both.
- Starts by all runtimes are judged together, each runtime's lengths taken from its own median first (aligned ranks:
  Hodges & Lehmann 1962).

Replayed on selftests put together from 3360 measured starts (`results/reference/fidelity/rule-*.json`), in 8 minutes of
starts at 0.59 s each: 198 of 200 met, 2 undecided, none missed. With the labels of the starts exchanged, so that
nothing leaks in truth: 200 met. With every phase 3 ms too long: none missed. With every phase 5 ms short at 50 ms, with
a slope of 0.9, and with 10 ms leaking into one other phase: 200 of 200 missed.

The bound of the **boundary error** is relative to what starting a process costs on this machine, measured before every
start of the same selftest: an injector is a process and cannot stamp before it runs, so a part of the error is its own
start, and how long that takes is the machine's (0.8 ms on a fast server, several ms on a board). Twice that may be the
median, for it is measured on a quiet machine and happens while an engine is at work; ten times that, one start in ten.
Neither is below 1 ms and 5 ms: a boundary that well known is good enough for any start in milliseconds. In the same way
no phase has to be known better than 3 ms, three such costs, or 2 % of it, whichever is most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from coldstart.analyse.compare import unpaired_shift
from coldstart.analyse.estimate import Estimate, median_interval
from coldstart.model.sample import Phase
from coldstart.model.truth import POINTS, Arm, TruthTrial
from coldstart.units import NS_PER_MS

FALSE_MET = 0.05
FALSE_MISSED = 0.01

BOUNDARY_NS = 1 * NS_PER_MS
BOUNDARY_COSTS = 2
TAIL_NS = 5 * NS_PER_MS
TAIL_COSTS = 10
TAIL_SHARE = 0.10
SLOPE_TOLERANCE = 0.02
LEAK_NS = 3 * NS_PER_MS
LEAK_COSTS = 3
LEAK_SHARE = 0.02
WHOLE_SHARE = 0.05  # pull, init and readiness add up their parts' noise, and each part has a bound of its own

# Where an injection meets its span: the app waits, then listens or answers, and the decompressor waits, then lets its
# output end; a wrapper or the proxy waits first.
_ENDS_WITH_SPAN = {Phase.UNPACK, Phase.APP_START, Phase.RESPOND}
INSIDE = {
    Phase.DOWNLOAD: {Phase.PULL},
    Phase.UNPACK: {Phase.PULL},
    Phase.RUNTIME_CREATE: {Phase.INIT},
    Phase.RUNTIME_START: {Phase.INIT},
    Phase.APP_START: {Phase.READINESS},
    Phase.RESPOND: {Phase.READINESS},
}
"""What holds the phase with the delay, and so grows by it too."""

_WHOLES = {Phase.PULL, Phase.INIT, Phase.READINESS}

Values = NDArray[np.float64]


class State(StrEnum):
    """What is known of a bound."""

    MET = "met"
    MISSED = "missed"
    UNDECIDED = "undecided"


class Kind(StrEnum):
    """What is bounded.

    - ``contained``: the share of spans that hold the delay injected into them.
    - ``boundary``: the median distance between the span's boundary and the injection's, at the end where the two meet,
      in ns.
    - ``boundary tail``: the share of starts in which that distance is longer than the tail's limit.
    - ``excess``: by how much the phase grew beyond what was injected, in ns.
    - ``slope``: ns found for each ns injected, over all delays and the controls.
    - ``leak``: by how much another phase grew, in ns.
    """

    CONTAINED = "contained"
    BOUNDARY = "boundary"
    TAIL = "boundary tail"
    EXCESS = "excess"
    SLOPE = "slope"
    LEAK = "leak"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One bound, judged.

    ``low`` and ``high`` are the bound, in the unit of ``estimate``, which is ``None`` where nothing was measured; its
    interval is the one that *met* is decided by. ``limit_ns`` is a boundary tail's. ``blocks_needed`` is about how many
    blocks would decide what is undecided; ``None`` where it is decided, or nothing was measured.
    """

    kind: Kind
    point: Phase
    delay_ns: int | None = None
    phase: Phase | None = None
    estimate: Estimate | None
    low: float | None = None
    high: float | None = None
    limit_ns: float | None = None
    state: State
    blocks_needed: int | None = None

    @property
    def key(self) -> tuple[Kind, Phase, int | None, Phase | None]:
        """What is the same at every look."""
        return (self.kind, self.point, self.delay_ns, self.phase)

    def is_about(self, arm: Arm) -> bool:
        """Whether starts of this arm, which is not a control, are part of its estimate."""
        return arm.point is self.point and (self.kind is not Kind.EXCESS or arm.delay_ns == self.delay_ns)


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """A selftest, judged.

    ``unattributed_median`` is the share of end-to-end under no observed leaf, over all trials; ``process_ns`` is the
    median of what starting a process cost, ``None`` where it was not measured. ``starts_needed`` is about how many
    starts would decide all that is undecided; ``None`` where nothing is, or it cannot be said.
    """

    source: str
    runtimes: tuple[str, ...] = ()
    starts: int = 0
    claims: tuple[Claim, ...] = ()
    process_ns: float | None = None
    unattributed_median: float | None
    failures: tuple[str, ...]
    starts_needed: int | None = None

    @property
    def state(self) -> State:
        """Missed if any bound is, met if all are."""
        states = {claim.state for claim in self.claims}
        if State.MISSED in states:
            return State.MISSED
        return State.MET if states == {State.MET} else State.UNDECIDED

    def of(self, state: State) -> tuple[Claim, ...]:
        """The bounds of which this is known."""
        return tuple(claim for claim in self.claims if claim.state is state)

    @property
    def blocks_needed(self) -> int | None:
        """About how many blocks those are in all."""
        return max((claim.blocks_needed for claim in self.claims if claim.blocks_needed is not None), default=None)

    def can_use(self, arm: Arm) -> bool:
        """Whether more starts of this arm can decide what is undecided."""
        return arm.is_control or any(claim.is_about(arm) for claim in self.of(State.UNDECIDED))


def judge(trials: Sequence[TruthTrial], looks: Sequence[int] = (), planned: int = 1) -> Recovery:
    """Judge the trials of one selftest.

    ``looks`` are how many trials there were at each look, of ``planned`` looks at most; none is one look at the end.
    """
    claims: dict[object, Claim] = {}
    for look in looks or (len(trials),):
        decided = {key for key, claim in claims.items() if claim.state is not State.UNDECIDED}
        found = tuple(_claims(trials[:look], max(planned, len(looks), 1)))
        claims |= {claim.key: claim for claim in found if claim.key not in decided}
    good = [trial for trial in trials if trial.failure is None]
    costs = [trial.process_ns for trial in good if trial.process_ns is not None]
    shares = [
        trial.phases.unattributed_ns / trial.phases.e2e_ns
        for trial in good
        if trial.phases is not None and trial.phases.unattributed_ns is not None
    ]
    recovery = Recovery(
        source=", ".join(sorted({trial.source for trial in good})),
        runtimes=tuple(dict.fromkeys(trial.arm.runtime for trial in trials)),
        starts=len(trials),
        claims=tuple(claims.values()),
        process_ns=float(np.median(costs)) if costs else None,
        unattributed_median=float(np.median(shares)) if shares else None,
        failures=tuple(f"{trial.arm.runtime} {trial.arm.point}: {trial.failure}" for trial in trials if trial.failure),
    )
    needed: Recovery = msgspec.structs.replace(recovery, starts_needed=_starts_needed(recovery, trials))
    return needed


def _starts_needed(recovery: Recovery, trials: Sequence[TruthTrial]) -> int | None:
    """Those there are, and as many blocks more as are needed, of the arms that can still decide something."""
    if recovery.blocks_needed is None:
        return None
    block = sum(recovery.can_use(trial.arm) for trial in trials if trial.block == trials[0].block)
    return len(trials) + max(0, recovery.blocks_needed - _blocks(trials)) * block


def _blocks(trials: Sequence[TruthTrial]) -> int:
    return len({trial.block for trial in trials})


def injected_ns(trial: TruthTrial) -> int:
    """What its injectors stamped, in its own phase."""
    return sum(stamp.end_ns - stamp.start_ns for stamp in trial.stamps if stamp.phase is trial.arm.point)


@dataclass(frozen=True, kw_only=True)
class _Question:
    """A bound and how an interval at a level is made for it."""

    kind: Kind
    point: Phase
    delay_ns: int | None = None
    phase: Phase | None = None
    low: float | None = None
    high: float | None = None
    limit_ns: float | None = None
    interval: Callable[[float], Estimate] | None


def _claims(trials: Sequence[TruthTrial], looks: int) -> Iterator[Claim]:
    """Every bound at one of so many looks."""
    questions = tuple(_questions(trials))
    unsure = sum(question.kind is not Kind.CONTAINED for question in questions)
    met, missed = FALSE_MET / looks, FALSE_MISSED / looks / max(1, unsure)
    for question in questions:
        yield _answer(question, met, missed, _blocks(trials))


def _answer(question: _Question, met: float, missed: float, blocks: int) -> Claim:
    state, near, needed = State.UNDECIDED, None, None
    if question.interval is not None:
        near, far = question.interval(1 - 2 * met), question.interval(1 - 2 * missed)
        if _within(near, question):
            state = State.MET
        elif _outside(far, question):
            state = State.MISSED
        else:
            needed = _needed(question, near, far, blocks)
    return Claim(
        kind=question.kind,
        point=question.point,
        delay_ns=question.delay_ns,
        phase=question.phase,
        estimate=near,
        low=question.low,
        high=question.high,
        limit_ns=question.limit_ns,
        state=state,
        blocks_needed=needed,
    )


def _within(found: Estimate, bound: _Question) -> bool:
    if found.lower is None or found.upper is None:
        return False
    return (bound.low is None or found.lower >= bound.low) and (bound.high is None or found.upper <= bound.high)


def _outside(found: Estimate, bound: _Question) -> bool:
    if found.lower is None or found.upper is None:
        return False
    return (bound.low is not None and found.upper < bound.low) or (bound.high is not None and found.lower > bound.high)


_FEW, _ENOUGH = 8, 20
_TO_SPARE = 1.25  # an interval's width is known from few starts as badly as anything else
_NARROW_ENOUGH = 0.6  # of the bound: then an estimate that is off by chance still leaves the interval within
_NEAREST = 0.25  # of the bound: what is nearer than that is taken to be that far off


def _needed(bound: _Question, near: Estimate, far: Estimate, blocks: int) -> int:
    """About how many blocks would decide it: widths shrink with the root of n, and the estimate stays where it is.

    But for chance: an interval that covers the middle of its bound is taken to have its truth there. Where there is no
    interval yet, or one of fewer than `_FEW`, as many as would make about twenty in each arm.
    """
    if near.lower is None or near.upper is None or near.n < _FEW:
        return math.ceil(blocks * _ENOUGH / max(1, near.n))
    low, high, value = bound.low, bound.high, near.value
    wide = ((high or 0.0) - (low or 0.0)) / (1 if low is None else 2)
    lower, upper = (near.lower if far.lower is None else far.lower), (near.upper if far.upper is None else far.upper)
    if low is not None and high is not None and near.lower <= (low + high) / 2 <= near.upper:
        ratio = (near.upper - near.lower) / 2 / (_NARROW_ENOUGH * wide)
    elif high is not None and value > high:
        ratio = (value - lower) / max(value - high, _NEAREST * wide)
    elif low is not None and value < low:
        ratio = (upper - value) / max(low - value, _NEAREST * wide)
    elif low is None or (high is not None and high - value < value - low):
        ratio = (near.upper - value) / max((high or 0.0) - value, _NEAREST * wide)
    else:
        ratio = (value - near.lower) / max(value - low, _NEAREST * wide)
    return math.ceil(blocks * max(1.0, ratio**2) * _TO_SPARE)


def _questions(trials: Sequence[TruthTrial]) -> Iterator[_Question]:
    table = _Table(trials)
    for point in table.points:
        yield _contained(table, point)
        yield from _boundary(table, point)
        yield _slope(table, point)
        for delay_ns in table.delays_ns(point):
            yield _excess(table, point, delay_ns)
        yield from _leaks(table, point)


def _contained(table: _Table, point: Phase) -> _Question:
    held = [_is_contained(trial) for trial in table.own(point)]
    share = sum(held) / len(held) if held else 0.0

    def interval(level: float) -> Estimate:
        return Estimate(value=share, lower=share, upper=share, level=level, n=len(held), method="counted")

    return _Question(kind=Kind.CONTAINED, point=point, low=1.0, interval=interval if held else None)


def _boundary(table: _Table, point: Phase) -> Iterator[_Question]:
    errors = np.array([_boundary_error_ns(trial) for trial in table.own(point) if _is_seen(trial)], dtype=np.float64)
    cost_ns = table.process_ns or 0.0
    limit_ns = max(TAIL_NS, TAIL_COSTS * cost_ns)
    late, n = int((errors > limit_ns).sum()), len(errors)

    def tail(level: float) -> Estimate:
        """The share's interval by Clopper and Pearson (1934)."""
        alpha = (1 - level) / 2
        lower = float(stats.beta.ppf(alpha, late, n - late + 1)) if late else 0.0
        upper = float(stats.beta.ppf(1 - alpha, late + 1, n - late)) if late < n else 1.0
        return Estimate(value=late / n, lower=lower, upper=upper, level=level, n=n, method="Clopper-Pearson")

    yield _Question(
        kind=Kind.BOUNDARY,
        point=point,
        high=max(BOUNDARY_NS, BOUNDARY_COSTS * cost_ns),
        interval=(lambda level: median_interval(errors, level)) if n else None,
    )
    yield _Question(kind=Kind.TAIL, point=point, high=TAIL_SHARE, limit_ns=limit_ns, interval=tail if n else None)


def _excess(table: _Table, point: Phase, delay_ns: int) -> _Question:
    own, controls = table.aligned(point, delay_ns, point)
    bound_ns = _phase_bound_ns(table, table.lengths(point, delay_ns, point))
    return _Question(
        kind=Kind.EXCESS,
        point=point,
        delay_ns=delay_ns,
        low=-bound_ns,
        high=bound_ns,
        interval=_shift(own, controls),
    )


def _slope(table: _Table, point: Phase) -> _Question:
    """Theil and Sen's slope of length over delay.

    What was stamped beyond the delay asked for is taken off first, so that all starts of an arm have the same delay:
    pairs within an arm say nothing of the slope, and are no longer part of it.
    """
    delays, lengths = table.lines(point)

    def interval(level: float) -> Estimate:
        value, _, lower, upper = stats.theilslopes(lengths, delays, alpha=level)
        return Estimate(
            value=float(value), lower=float(lower), upper=float(upper), level=level, n=len(lengths), method="Theil-Sen"
        )

    enough = len(set(delays.tolist())) > 1
    return _Question(
        kind=Kind.SLOPE,
        point=point,
        low=1 - SLOPE_TOLERANCE,
        high=1 + SLOPE_TOLERANCE,
        interval=interval if enough else None,
    )


def _leaks(table: _Table, point: Phase) -> Iterator[_Question]:
    for phase in Phase:
        if phase is point or phase in INSIDE[point]:
            continue
        own, controls = table.aligned(point, None, phase)
        if own.size and controls.size:
            share = WHOLE_SHARE if phase in _WHOLES else LEAK_SHARE
            bound_ns = _phase_bound_ns(table, table.lengths(None, None, phase), share)
            yield _Question(
                kind=Kind.LEAK,
                point=point,
                phase=phase,
                low=-bound_ns,
                high=bound_ns,
                interval=_shift(own, controls),
            )


def _shift(own: Values, controls: Values) -> Callable[[float], Estimate] | None:
    if not (own.size and controls.size):
        return None
    return lambda level: unpaired_shift(controls, own, level)


def _phase_bound_ns(table: _Table, lengths: Values, share: float = LEAK_SHARE) -> float:
    of_phase = share * float(np.median(lengths)) if lengths.size else 0.0
    return max(LEAK_NS, LEAK_COSTS * (table.process_ns or 0.0), of_phase)


def _is_seen(trial: TruthTrial) -> bool:
    return bool(trial.stamps) and trial.span_start_ns is not None and trial.span_end_ns is not None


def _boundary_error_ns(trial: TruthTrial) -> int:
    (stamp,) = trial.stamps
    assert trial.span_start_ns is not None
    assert trial.span_end_ns is not None
    if trial.arm.point in _ENDS_WITH_SPAN:
        return abs(trial.span_end_ns - stamp.end_ns)
    return abs(trial.span_start_ns - stamp.start_ns)


def _is_contained(trial: TruthTrial, slack_ns: int = 1000) -> bool:
    """The source's stamps have six decimals, so 1 µs is tolerated. A span that was not seen holds nothing."""
    if trial.span_start_ns is None or trial.span_end_ns is None or not trial.stamps:
        return False
    return all(
        trial.span_start_ns <= stamp.start_ns + slack_ns and stamp.end_ns <= trial.span_end_ns + slack_ns
        for stamp in trial.stamps
    )


class _Table:
    """The good trials by runtime, point and delay, and the lengths of their phases."""

    def __init__(self, trials: Sequence[TruthTrial]) -> None:
        self._arms: dict[Arm, list[TruthTrial]] = {}
        for trial in trials:
            kept = self._arms.setdefault(trial.arm, [])
            if trial.failure is None:
                kept.append(trial)
        self.runtimes = list(dict.fromkeys(arm.runtime for arm in self._arms))
        self.points = [point for point in POINTS if any(arm.point is point for arm in self._arms)]
        costs = [t.process_ns for kept in self._arms.values() for t in kept if t.process_ns is not None]
        self.process_ns = float(np.median(costs)) if costs else None

    def delays_ns(self, point: Phase) -> list[int]:
        """What was injected there."""
        return sorted({arm.delay_ns for arm in self._arms if arm.point is point})

    def own(self, point: Phase | None, delay_ns: int | None = None, runtime: str | None = None) -> list[TruthTrial]:
        """The good trials with a delay there, or the controls; of one delay and runtime, or all."""
        return [
            trial
            for arm, kept in self._arms.items()
            if arm.point is point
            and (delay_ns is None or arm.delay_ns == delay_ns)
            and (runtime is None or arm.runtime == runtime)
            for trial in kept
        ]

    def lengths(self, point: Phase | None, delay_ns: int | None, phase: Phase, runtime: str | None = None) -> Values:
        """How long a phase took in them."""
        found = [trial.lengths_ns.get(str(phase)) for trial in self.own(point, delay_ns, runtime)]
        return np.array([length for length in found if length is not None], dtype=np.float64)

    def aligned(self, point: Phase, delay_ns: int | None, phase: Phase) -> tuple[Values, Values]:
        """The phase with a delay at the point, and in the controls, each runtime's less its median over both.

        Where the phase is the one with the delay, it is less what was injected.
        """
        own, controls = [], []
        for runtime in self.runtimes:
            with_delay = np.array(
                [
                    trial.lengths_ns[str(phase)] - (injected_ns(trial) if phase is point else 0)
                    for trial in self.own(point, delay_ns, runtime)
                    if str(phase) in trial.lengths_ns
                ],
                dtype=np.float64,
            )
            without = self.lengths(None, None, phase, runtime)
            if with_delay.size and without.size:
                middle = np.median(np.concatenate([with_delay, without]))
                own.append(with_delay - middle)
                controls.append(without - middle)
        empty: Values = np.empty(0)
        return np.concatenate([empty, *own]), np.concatenate([empty, *controls])

    def lines(self, point: Phase) -> tuple[Values, Values]:
        """Delays, and the phase's lengths had they been exact, controls included, each runtime's less its median."""
        delays: list[float] = []
        lengths: list[float] = []
        for runtime in self.runtimes:
            trials = [*self.own(None, None, runtime), *self.own(point, None, runtime)]
            seen = [trial for trial in trials if str(point) in trial.lengths_ns]
            rests = [trial.lengths_ns[str(point)] - injected_ns(trial) for trial in seen]
            middle = float(np.median(rests)) if rests else 0.0
            delays.extend(trial.arm.delay_ns for trial in seen)
            lengths.extend(rest - middle + trial.arm.delay_ns for rest, trial in zip(rests, seen, strict=True))
        return np.array(delays, dtype=np.float64), np.array(lengths, dtype=np.float64)
