"""How well injected delays were found again: trial by trial, between arms, over all delays, and in other phases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from coldstart.analyse.compare import paired_shift
from coldstart.analyse.estimate import LEVEL, Estimate
from coldstart.model.sample import Phase
from coldstart.model.truth import POINTS, Arm, TruthTrial
from coldstart.units import NS_PER_MS

BOUNDARY_MEDIAN_NS = 1 * NS_PER_MS
BOUNDARY_P95_NS = 5 * NS_PER_MS
SLOPE_TOLERANCE = 0.02
LEAK_NS = 3 * NS_PER_MS
LEAK_SHARE = 0.02

# Where an injection meets its span: the app waits, then listens or answers, and the decompressor waits, then lets its
# output end; a wrapper or the proxy waits first.
_ENDS_WITH_SPAN = {Phase.UNPACK, Phase.APP_START, Phase.RESPOND}
_INSIDE = {
    Phase.DOWNLOAD: {Phase.PULL},
    Phase.UNPACK: {Phase.PULL},
    Phase.RUNTIME_CREATE: {Phase.INIT},
    Phase.RUNTIME_START: {Phase.INIT},
    Phase.APP_START: {Phase.READINESS},
    Phase.RESPOND: {Phase.READINESS},
}


class ArmRecovery(msgspec.Struct, frozen=True, kw_only=True):
    """One arm. Times in ns.

    ``contained`` counts trials whose span holds the injection, of ``n``. ``boundary_median_ns`` and
    ``boundary_p95_ns`` are of the distance between the span's boundary and the injection's, at the end where the two
    meet. ``excess`` is by how much the phase grew against the control arm beyond what was injected, paired by block:
    its interval should hold 0. The intervals of a selftest's arms hold together at 95 % (Bonferroni): at 95 % each, one
    in twenty would miss the truth by chance alone.
    """

    runtime: str
    point: Phase
    delay_ns: int
    n: int
    failed: int
    contained: int
    boundary_median_ns: float
    boundary_p95_ns: float
    excess: Estimate | None

    @property
    def passed(self) -> bool:
        """Whether every figure is within its bound; an interval that cannot be made is a failure."""
        return (
            self.n > 0
            and self.contained == self.n
            and self.boundary_median_ns <= BOUNDARY_MEDIAN_NS
            and self.boundary_p95_ns <= BOUNDARY_P95_NS
            and self.excess is not None
            and self.excess.lower is not None
            and self.excess.upper is not None
            and self.excess.lower <= 0 <= self.excess.upper
        )


class Slope(msgspec.Struct, frozen=True, kw_only=True):
    """ns that a phase grew for each ns injected into it, over all delays and the control arm (Theil-Sen)."""

    runtime: str
    point: Phase
    slope: Estimate

    @property
    def passed(self) -> bool:
        """Whether the whole interval is within `SLOPE_TOLERANCE` of 1."""
        lower, upper = self.slope.lower, self.slope.upper
        return lower is not None and upper is not None and abs(lower - 1) <= SLOPE_TOLERANCE >= abs(upper - 1)


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    """By how much another phase grew where a delay was injected, against the block's controls, all delays together."""

    runtime: str
    point: Phase
    phase: Phase
    shift: Estimate
    bound_ns: float

    @property
    def passed(self) -> bool:
        """Whether the whole interval is within the bound: undecided is failed."""
        lower, upper = self.shift.lower, self.shift.upper
        return lower is not None and upper is not None and -self.bound_ns <= lower and upper <= self.bound_ns


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """A selftest, judged. ``unattributed`` is the share of end-to-end under no observed leaf, over all trials."""

    source: str
    arms: tuple[ArmRecovery, ...]
    slopes: tuple[Slope, ...]
    leaks: tuple[Leak, ...]
    unattributed_median: float | None
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything is within its bound."""
        return (
            bool(self.arms)
            and all(arm.passed for arm in self.arms)
            and all(slope.passed for slope in self.slopes)
            and all(leak.passed for leak in self.leaks)
        )


def judge(trials: Sequence[TruthTrial]) -> Recovery:
    """Judge the trials of one selftest, of one source each."""
    good = [trial for trial in trials if trial.failure is None]
    runtimes = list(dict.fromkeys(trial.arm.runtime for trial in trials))
    arms = sorted({trial.arm for trial in trials if not trial.arm.is_control}, key=lambda arm: _order(arm, runtimes))
    level = 1 - (1 - LEVEL) / max(1, len(arms))
    points = list(dict.fromkeys((arm.runtime, arm.point) for arm in arms))
    shares = [
        trial.phases.unattributed_ns / trial.phases.e2e_ns
        for trial in good
        if trial.phases is not None and trial.phases.unattributed_ns is not None
    ]
    return Recovery(
        source=", ".join(sorted({trial.source for trial in good})),
        arms=tuple(_arm(arm, trials, level) for arm in arms),
        slopes=tuple(s for runtime, point in points if point and (s := _slope(runtime, point, good)) is not None),
        leaks=tuple(leak for runtime, point in points if point for leak in _leaks(runtime, point, good)),
        unattributed_median=float(np.median(shares)) if shares else None,
        failures=tuple(f"{trial.arm.runtime} {trial.arm.point}: {trial.failure}" for trial in trials if trial.failure),
    )


def injected_ns(trial: TruthTrial) -> int:
    """What its injectors stamped, in its own phase."""
    return sum(stamp.end_ns - stamp.start_ns for stamp in trial.stamps if stamp.phase is trial.arm.point)


def _arm(arm: Arm, trials: Sequence[TruthTrial], level: float) -> ArmRecovery:
    assert arm.point is not None
    own = [trial for trial in trials if trial.arm == arm]
    seen = [trial for trial in own if trial.failure is None and trial.stamps and trial.span_start_ns is not None]
    errors = [_boundary_error_ns(trial) for trial in seen]
    excesses = _paired(own, _controls(trials, arm.runtime), str(arm.point), minus_injected=True)
    return ArmRecovery(
        runtime=arm.runtime,
        point=arm.point,
        delay_ns=arm.delay_ns,
        n=len([trial for trial in own if trial.failure is None]),
        failed=len([trial for trial in own if trial.failure is not None]),
        contained=sum(_is_contained(trial) for trial in seen),
        boundary_median_ns=float(np.median(errors)) if errors else float("inf"),
        boundary_p95_ns=float(np.quantile(errors, 0.95)) if errors else float("inf"),
        excess=paired_shift(excesses, level) if excesses.size else None,
    )


def _boundary_error_ns(trial: TruthTrial) -> int:
    (stamp,) = trial.stamps
    assert trial.span_start_ns is not None
    assert trial.span_end_ns is not None
    if trial.arm.point in _ENDS_WITH_SPAN:
        return abs(trial.span_end_ns - stamp.end_ns)
    return abs(trial.span_start_ns - stamp.start_ns)


def _is_contained(trial: TruthTrial, slack_ns: int = 1000) -> bool:
    """The source's stamps have six decimals: 1 µs is no escape."""
    assert trial.span_start_ns is not None
    assert trial.span_end_ns is not None
    return all(
        trial.span_start_ns <= stamp.start_ns + slack_ns and stamp.end_ns <= trial.span_end_ns + slack_ns
        for stamp in trial.stamps
    )


def _slope(runtime: str, point: Phase, good: Sequence[TruthTrial]) -> Slope | None:
    own = [trial for trial in good if trial.arm.runtime == runtime and (trial.arm.point in {point, None})]
    pairs = [(injected_ns(trial), trial.lengths_ns[str(point)]) for trial in own if str(point) in trial.lengths_ns]
    injected = np.array([pair[0] for pair in pairs], dtype=np.float64)
    if len(set(injected.round(-6))) < 2:
        return None
    lengths = np.array([pair[1] for pair in pairs], dtype=np.float64)
    value, _, lower, upper = stats.theilslopes(lengths, injected, alpha=LEVEL)
    estimate = Estimate(
        value=float(value), lower=float(lower), upper=float(upper), level=LEVEL, n=len(pairs), method="Theil-Sen"
    )
    return Slope(runtime=runtime, point=point, slope=estimate)


def _leaks(runtime: str, point: Phase, good: Sequence[TruthTrial]) -> Iterable[Leak]:
    own = [trial for trial in good if trial.arm.runtime == runtime and trial.arm.point is point]
    controls = _controls(good, runtime)
    for phase in Phase:
        if phase is point or phase in _INSIDE[point]:
            continue
        shifts = _paired(own, controls, str(phase), minus_injected=False)
        lengths = [
            trial.lengths_ns[str(phase)]
            for block in controls.values()
            for trial in block
            if str(phase) in trial.lengths_ns
        ]
        if shifts.size and lengths:
            bound_ns = max(LEAK_NS, LEAK_SHARE * float(np.median(lengths)))
            yield Leak(runtime=runtime, point=point, phase=phase, shift=paired_shift(shifts), bound_ns=bound_ns)


def _controls(trials: Iterable[TruthTrial], runtime: str) -> dict[int, list[TruthTrial]]:
    """The control starts of each block."""
    found: dict[int, list[TruthTrial]] = {}
    for trial in trials:
        if trial.arm.is_control and trial.arm.runtime == runtime and trial.failure is None:
            found.setdefault(trial.block, []).append(trial)
    return found


def _paired(
    own: Iterable[TruthTrial], controls: dict[int, list[TruthTrial]], phase: str, *, minus_injected: bool
) -> NDArray[np.float64]:
    """Block by block: the mean of the phase in these trials, less its mean in the block's controls."""
    of_block: dict[int, list[float]] = {}
    for trial in own:
        if trial.failure is None and phase in trial.lengths_ns:
            grown = trial.lengths_ns[phase] - minus_injected * injected_ns(trial)
            of_block.setdefault(trial.block, []).append(grown)
    return np.array(
        [
            float(np.mean(grown)) - float(np.mean(base))
            for block, grown in sorted(of_block.items())
            if (base := [one.lengths_ns[phase] for one in controls.get(block, []) if phase in one.lengths_ns])
        ],
        dtype=np.float64,
    )


def _order(arm: Arm, runtimes: list[str]) -> tuple[int, int, int]:
    assert arm.point is not None
    return (runtimes.index(arm.runtime), POINTS.index(arm.point), arm.delay_ns)
