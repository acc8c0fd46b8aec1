"""How often the gate's rule is wrong on a machine: replayed on banked pairs of a start against itself.

The pairs of a bank are taken in the order they were measured, in windows that follow one another and do not overlap:
each window is one gate, which ends where the rule ends it, and the next begins there. Autocorrelation, drift and heavy
tails are those of the machine.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from scipy import stats

from coldstart.analyse.compare import critical_rank, walsh_averages
from coldstart.analyse.floor import RESOLUTIONS_THAT_COUNT, floor_ns
from coldstart.analyse.gate import Call, Series, Values, judge, tolerated
from coldstart.model.host import HostFacts
from coldstart.model.rule import Rule

POWER = 0.95
_BOUND_LEVEL = 0.95
_GIB = 1024**3


class Bank(msgspec.Struct, frozen=True, kw_only=True):
    """A cell's pairs of a start against itself, in the order they were measured, ns.

    ``floor_ns`` is that of all pairs together; a gate's is by its own first starts, so ``resolutions_ns`` has what the
    probe could not see before each baseline's start, ``None`` where nobody polled. Banks of before 0.2 have none.
    ``attempts`` starts were made for them, of which some were requeued (`Outcome.is_requeued`) and some ``failed``.
    """

    cell: str
    baseline_ns: tuple[float, ...]
    candidate_ns: tuple[float, ...]
    floor_ns: float
    attempts: int
    requeued: int
    failed: int
    resolutions_ns: tuple[float | None, ...] = ()

    @property
    def known_resolutions_ns(self) -> tuple[float | None, ...]:
        """One for each pair; those of an old bank are alike, and make up its floor."""
        return self.resolutions_ns or (self.floor_ns / RESOLUTIONS_THAT_COUNT,) * len(self.baseline_ns)

    def series(self, slowdown: float = 0.0) -> Series:
        """The pairs as a gate sees them, the candidate slower by ``slowdown``."""
        return Series(
            name=self.cell,
            baseline_ns=np.array(self.baseline_ns, dtype=np.float64),
            candidate_ns=np.array(self.candidate_ns, dtype=np.float64) * (1 + slowdown),
            floor_ns=self.floor_ns,
        )


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Of ``gates`` whole gates, how many called a regression, and how many ended inconclusive.

    ``lower`` and ``upper`` are one-sided 95 % bounds of the share of regressions (Clopper and Pearson 1934), 0 and 1
    where there was no gate. ``median_pairs`` is how many pairs a gate took.
    """

    gates: int
    regressions: int
    inconclusive: int
    median_pairs: float | None
    lower: float
    upper: float


class PowerPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The smallest slowdown that a look at ``n`` pairs finds in 95 % of ``windows``; ``None`` without a window."""

    n: int
    slowdown: float | None
    windows: int


class CellCalibration(msgspec.Struct, frozen=True, kw_only=True):
    """One cell's error rates.

    ``as_shipped`` judges the pairs as a gate does; ``without_tolerance`` at a tolerated slowdown of 0, and ``at_limit``
    with exactly the rule's slowdown injected: there every regression called is a false alarm, too.
    """

    cell: str
    pairs: int
    attempts: int
    requeued: int
    failed: int
    spread: float
    autocorrelation: float
    as_shipped: Rates
    without_tolerance: Rates
    at_limit: Rates
    power: tuple[PowerPoint, ...]


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """A host class's error rates, cell by cell, and all cells together."""

    schema_version: int
    host_class: str
    coldstart_version: str
    runs: tuple[str, ...]
    rule: Rule
    cells: tuple[CellCalibration, ...]

    @property
    def together(self) -> Rates:
        """The shipped rule over all cells."""
        return combined([cell.as_shipped for cell in self.cells])


def calibrate(
    banks: Sequence[Bank], rule: Rule, *, host_class: str, version: str, runs: tuple[str, ...], schema_version: int
) -> Calibration:
    """The error rates of ``rule`` on these banks."""
    return Calibration(
        schema_version=schema_version,
        host_class=host_class,
        coldstart_version=version,
        runs=runs,
        rule=rule,
        cells=tuple(_calibrated(bank, rule) for bank in banks if bank.baseline_ns),
    )


def merged(banks: Iterable[Bank]) -> list[Bank]:
    """Banks of the same cell as one, pairs in the order of the banks."""
    found: dict[str, Bank] = {}
    for bank in banks:
        before = found.get(bank.cell)
        found[bank.cell] = bank if before is None else _joined(before, bank)
    return list(found.values())


def host_class(host: HostFacts) -> str:
    """A name for machines whose noise is alike: processor, CPUs, memory, filesystem and cgroup; safe in file names."""
    parts = (
        host.machine,
        host.board or host.cpu_model or "unknown",
        f"{host.cpus}cpu",
        f"{round(host.memory_bytes / _GIB)}GiB",
        host.filesystem or "unknown",
        host.cgroup,
    )
    digest = hashlib.sha256("/".join(parts).encode()).hexdigest()[:6]
    readable = re.sub(r"[^a-z0-9]+", "-", f"{parts[0]} {parts[1]} {parts[2]}".lower()).strip("-")[:48]
    return f"{readable}-{digest}"


def replay(series: Series, rule: Rule, resolutions_ns: Sequence[float | None] = ()) -> tuple[tuple[Call, int], ...]:
    """One gate after the other over the pairs: each one's call, and how many pairs it took.

    Each gate's floor is by the ``resolutions_ns`` of its own pairs up to the first look; without them, the series'.

    A gate is begun only where pairs for its last look are left, or the last ones would be those that end early.
    """
    found: list[tuple[Call, int]] = []
    start, most = 0, rule.looks[-1]
    while start + most <= series.n:
        window = _window(series, start, most, resolutions_ns[start : start + rule.looks[0]])
        (decision,) = judge([window], rule)
        taken = decision.n if decision.call is not Call.INCONCLUSIVE else most
        found.append((decision.call, taken))
        start += taken
    return tuple(found)


def rates(calls: Iterable[tuple[Call, int]]) -> Rates:
    """Counts of calls."""
    calls = list(calls)
    return _rates(
        len(calls),
        sum(call is Call.REGRESSION for call, _ in calls),
        sum(call is Call.INCONCLUSIVE for call, _ in calls),
        float(np.median([taken for _, taken in calls])) if calls else None,
    )


def combined(parts: Sequence[Rates]) -> Rates:
    """Counts of several cells together; the pairs a gate took are those of the cell that took most."""
    return _rates(
        sum(part.gates for part in parts),
        sum(part.regressions for part in parts),
        sum(part.inconclusive for part in parts),
        max((part.median_pairs for part in parts if part.median_pairs is not None), default=None),
    )


def smallest_found(series: Series, rule: Rule, n: int, resolutions_ns: Sequence[float | None] = ()) -> PowerPoint:
    """The smallest slowdown of the candidate that a look at ``n`` pairs calls a regression in 95 % of the windows.

    A look calls one where the lower bound of the ratio is above what is tolerated; so each window has a smallest
    slowdown of its own, by which its bound falls short. Looks before ``n`` are left out, which only helps the rule.
    ``resolutions_ns`` as for `replay`.
    """
    rank = critical_rank(n, 1 - 2 * rule.alpha_at_look)
    found: list[float] = []
    for start in range(0, series.n - n + 1, n):
        window = _window(series, start, n, resolutions_ns[start : start + rule.looks[0]])
        logs: Values = np.log(window.candidate_ns) - np.log(window.baseline_ns)
        if rank:
            short = np.log1p(tolerated(window, rule)) - walsh_averages(logs)[rank - 1]
            found.append(max(0.0, float(np.expm1(short))))
    slowdown = float(np.quantile(found, POWER, method="inverted_cdf")) if found else None
    return PowerPoint(n=n, slowdown=slowdown, windows=len(found))


def _joined(first: Bank, second: Bank) -> Bank:
    return Bank(
        cell=first.cell,
        baseline_ns=(*first.baseline_ns, *second.baseline_ns),
        candidate_ns=(*first.candidate_ns, *second.candidate_ns),
        floor_ns=max(first.floor_ns, second.floor_ns),
        attempts=first.attempts + second.attempts,
        requeued=first.requeued + second.requeued,
        failed=first.failed + second.failed,
        resolutions_ns=(*first.known_resolutions_ns, *second.known_resolutions_ns),
    )


def _rates(gates: int, regressions: int, inconclusive: int, median_pairs: float | None) -> Rates:
    lower, upper = 0.0, 1.0
    if regressions:
        lower = float(stats.beta.ppf(1 - _BOUND_LEVEL, regressions, gates - regressions + 1))
    if regressions < gates:
        upper = float(stats.beta.ppf(_BOUND_LEVEL, regressions + 1, gates - regressions))
    return Rates(
        gates=gates,
        regressions=regressions,
        inconclusive=inconclusive,
        median_pairs=median_pairs,
        lower=lower,
        upper=upper,
    )


def _calibrated(bank: Bank, rule: Rule) -> CellCalibration:
    series, resolutions_ns = bank.series(), bank.known_resolutions_ns
    logs: Values = np.log(series.candidate_ns) - np.log(series.baseline_ns)
    exact: Rule = msgspec.structs.replace(rule, max_slowdown=0.0)
    return CellCalibration(
        cell=bank.cell,
        pairs=series.n,
        attempts=bank.attempts,
        requeued=bank.requeued,
        failed=bank.failed,
        spread=float(np.std(logs, ddof=1)) if series.n > 1 else 0.0,
        autocorrelation=_lag_one(logs),
        as_shipped=rates(replay(series, rule, resolutions_ns)),
        without_tolerance=rates(replay(msgspec.structs.replace(series, floor_ns=0.0), exact)),
        at_limit=rates(replay(bank.series(rule.max_slowdown), rule, resolutions_ns)),
        power=tuple(smallest_found(series, rule, n, resolutions_ns) for n in rule.looks),
    )


def _window(series: Series, start: int, length: int, resolutions_ns: Sequence[float | None]) -> Series:
    window: Series = msgspec.structs.replace(
        series,
        baseline_ns=series.baseline_ns[start : start + length],
        candidate_ns=series.candidate_ns[start : start + length],
        floor_ns=floor_ns(resolutions_ns) if resolutions_ns else series.floor_ns,
    )
    return window


def _lag_one(values: Values) -> float:
    centred = values - values.mean()
    total = float((centred**2).sum())
    return float((centred[1:] * centred[:-1]).sum()) / total if total > 0 else 0.0
