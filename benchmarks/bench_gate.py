"""How often the gate is wrong, and what it finds: simulated, on real pairs of a start against itself, and with delays.

    pytest benchmarks/bench_gate.py -k simulated                              minutes of CPU, no engine
    pytest benchmarks/bench_gate.py -k "bank or rivals" --aa-pairs 10000      7 hours, alone on the machine
    pytest benchmarks/bench_gate.py -k power --ab-gates 40                    2 to 3 hours, alone on the machine
    pytest benchmarks/bench_gate.py -k power-answer-20 --ab-gates 40          one treatment of them

Each writes a JSON file to ``gate/`` under ``--cold-results``, the bank its error rates to ``calibration/`` there, too;
the rule is `coldstart.analyse.gate.judge`, whole. The bank and the gates of ``power`` are kept as they are measured,
and the same command goes on where it was stopped.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.rivals import RIVALS
from coldstart import __version__
from coldstart.analyse.calibration import Bank, calibrate, host_class, merged, rates
from coldstart.analyse.contamination import SentinelTest, examine
from coldstart.analyse.contest import bank_of, series_of
from coldstart.analyse.estimate import Estimate
from coldstart.analyse.gate import Call, Series, judge
from coldstart.model.cell import Network, Tier
from coldstart.model.experiment import Experiment
from coldstart.model.host import HostFacts
from coldstart.model.options import ContainerOptions
from coldstart.model.probe import ProbeSpec
from coldstart.model.rule import Rule
from coldstart.model.run import SCHEMA_VERSION
from coldstart.model.sample import Sample
from coldstart.model.timeline import phases_of
from coldstart.plan.experiment import load_experiment
from coldstart.plan.schedule import new_seed
from coldstart.pytest_plugin import VIRTUAL, replay_rounds
from coldstart.report.calibration import calibration_path
from coldstart.runner.contest import Contest, prepare_contest
from coldstart.runner.gating import run_gate, run_pairs
from coldstart.runner.place import Place, open_place
from coldstart.runner.prepare import command_line, prepare
from coldstart.runner.recording import record_run
from coldstart.store.files import write_atomically
from coldstart.store.frames import tidy
from coldstart.store.reader import StoredRun, open_run
from coldstart.store.run_id import new_run_id
from coldstart.store.writer import RunWriter

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

Values = NDArray[np.float64]
Keep = Callable[[str, object], None]

SEED = 20261125
SIMULATED_GATES = 1000
PART = 100  # pairs that a kill may cost
SIZES = (10, 20, 40)

pytestmark = pytest.mark.benchmark(timer=VIRTUAL, group="gate")


class Treatment(NamedTuple):
    """What makes the candidate slower, and how readiness is seen: the server's variable with the delay, in ns."""

    delay: str
    ready: str = "http:8080/"
    variant: str = "scratch"


TREATMENTS = {
    "listen": Treatment("INJECT_APP_START_NS"),
    "answer": Treatment("INJECT_RESPOND_NS"),
    "log": Treatment("INJECT_APP_START_NS", "log:listening"),
    "exec": Treatment("INJECT_APP_START_NS", "exec:/inject check"),
    "healthcheck": Treatment("INJECT_APP_START_NS", "healthcheck", "checked"),
}
POWERS = (
    *(("listen", 0.20), ("listen", 0.10), ("answer", 0.20), ("answer", 0.10), ("log", 0.20), ("log", 0.10)),
    *(("exec", 0.20), ("exec", 1.00), ("healthcheck", 0.20), ("healthcheck", 3.00)),
)
"""Treatments and how much of the start's median they add: two probes are too coarse for 20 %, and have to say so."""


class PowerGate(msgspec.Struct, frozen=True, kw_only=True):
    """One measured gate of a start against a slower one."""

    delay_ns: int
    call: Call
    pairs: int
    ratio: Estimate | None
    attempts: int
    requeued: int
    failed: int
    contaminated: tuple[str, ...]
    sentinels: tuple[SentinelTest, ...]
    tolerated: float | None = None
    reason: str = ""


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Keep:
    """Writes a record to ``gate/NAME.json``."""

    def kept(name: str, record: object) -> None:
        folder = Path(request.config.getoption("--cold-results")) / "gate"
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{name}.json", msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")

    return kept


def noise(kind: str, rng: np.random.Generator, n: int) -> tuple[Values, Values]:
    """Two arms of one start's times, in ns, with the same distribution: ``n`` blocks, one after the other."""
    common = np.zeros(n)
    spread = 0.07
    if kind == "heavy tails":
        a, b = (spread / 1.7 * rng.standard_t(3, n) for _ in range(2))
    elif kind == "outliers":
        a, b = (spread * rng.standard_normal(n) + 0.5 * (rng.random(n) < 0.05) for _ in range(2))
    else:
        a, b = (spread * rng.standard_normal(n) for _ in range(2))
    if kind == "autocorrelated":
        common = _autoregressive(rng, n, 0.5) * 0.10
        a, b = a + 0.3 * _autoregressive(rng, n, 0.5) * spread, b + 0.3 * _autoregressive(rng, n, 0.5) * spread
    if kind == "drifting":
        common = np.linspace(0, 0.5, n)
    return 180e6 * np.exp(common + a), 180e6 * np.exp(common + b)


@pytest.mark.parametrize("kind", ["normal", "heavy tails", "outliers", "autocorrelated", "drifting"])
def bench_simulated(benchmark: BenchmarkFixture, keep: Keep, kind: str) -> None:
    """The shipped rule on 1000 simulated gates of each kind of noise: as is, at the limit, and 10 and 20 % slower."""
    rule, rng = Rule(), np.random.default_rng([SEED, *kind.encode()])
    calls = {slowdown: _simulated(kind, rule, rng, slowdown) for slowdown in (0.0, 0.05, 0.10, 0.20)}
    counts = {slowdown: rates(found) for slowdown, found in calls.items()}
    by_pairs = {slowdown: _found_by(found, rule) for slowdown, found in calls.items()}
    record = {"seed": SEED, "rule": rule, "rates_at_slowdown": counts, "regressions_called_by_pairs": by_pairs}
    keep(f"simulated-{kind.replace(' ', '-')}", record)
    replay_rounds(benchmark, [count.regressions for count in counts.values()])
    for slowdown, count in counts.items():
        _say(f"{kind}, {slowdown:+.0%}: {count.regressions} of {count.gates} called, {count.inconclusive} inconclusive")
    for slowdown in (0.0, 0.05):
        assert counts[slowdown].lower <= rule.alpha, f"{kind}: more false alarms than {rule.alpha:g} at {slowdown:+.0%}"


def bench_bank(benchmark: BenchmarkFixture, request: pytest.FixtureRequest, keep: Keep, tmp_path: Path) -> None:
    """A/A pairs of a warm start, on the host's network and on the bridge: the rule's error rates on this machine.

    They are banked in parts: what the file has already is kept, and more is added until there are as many as wanted.
    """
    experiment, wanted = load_experiment("calibrate"), request.config.getoption("--aa-pairs")
    results = Path(request.config.getoption("--cold-results"))
    banked = _banked(results / "gate" / "bank.json")
    banks, runs = banked.banks, list(banked.runs)
    with open_place(experiment.engine, asked_for=False, purpose="gate", progress=_say) as place:
        while (missing := wanted - min((len(bank.baseline_ns) for bank in banks), default=0)) > 0:
            run = _paired(place, experiment, experiment, tmp_path, min(PART, missing))
            if banked.host is not None and host_class(banked.host) != host_class(run.manifest.host):
                pytest.fail(f"the bank is another machine's ({host_class(banked.host)}): use another --cold-results")
            banks = merged([*banks, *bank_of([(run.manifest, tidy(run))])])
            runs.append(run.manifest.run_id)
            found = calibrate(
                banks,
                Rule(),
                host_class=host_class(run.manifest.host),
                version=__version__,
                runs=tuple(runs),
                schema_version=SCHEMA_VERSION,
            )
            keep("bank", {"host": run.manifest.host, "engine": run.manifest.engine, "runs": runs, "banks": banks})
            path = calibration_path(results, found.host_class)  # where reports and gates look for it
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
            for cell in found.cells:
                _say(f"{cell.cell}: {cell.pairs} pairs, {cell.as_shipped}, {cell.without_tolerance}, {cell.at_limit}")
    replay_rounds(benchmark, [round(value) for bank in banks for value in bank.baseline_ns])
    assert banks


def bench_rivals(benchmark: BenchmarkFixture, request: pytest.FixtureRequest, keep: Keep) -> None:
    """Other tools' rules and ours on the same banked pairs: false alarms, and what is found of 10 and 20 %."""
    path = Path(request.config.getoption("--cold-results")) / "gate" / "bank.json"
    banks = _banked(path).banks
    assert banks, f"{path}: no pairs; measure them first with -k bank"
    table = [
        {"rule": name, "pairs": n, "slowdown": slowdown, **_share(banks, name, n, slowdown)}
        for name in (*RIVALS, "coldstart gate")
        for n in SIZES
        for slowdown in (0.0, 0.05, 0.10, 0.20)
    ]
    keep("rivals", table)
    replay_rounds(benchmark, [len(table)])
    for row in table:
        _say(f"{row['rule']}, n = {row['pairs']}, {row['slowdown']:+.0%}: {row['called']} of {row['windows']}")
    assert table


@pytest.mark.parametrize(
    ("kind", "slowdown"), POWERS, ids=[f"power-{kind}-{round(100 * slowdown)}" for kind, slowdown in POWERS]
)
def bench_power(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, keep: Keep, tmp_path: Path, kind: str, slowdown: float
) -> None:
    """Whole gates, measured, of an app against itself with a delay that is so much of the start's median.

    They are banked: those that the file has already are kept, and more are added until there are as many as wanted.
    """
    wanted, rule, name = request.config.getoption("--ab-gates"), Rule(), f"power-{kind}-{round(100 * slowdown)}"
    treatment = TREATMENTS[kind]
    gates = _banked_gates(Path(request.config.getoption("--cold-results")) / "gate" / f"{name}.json")
    with open_place(("docker",), asked_for=False, purpose="gate", progress=_say) as place:
        if len(gates) < wanted:
            plain = _inject_experiment(treatment, 0)
            delay_ns = round(slowdown * _median_ns(place, plain, tmp_path))
            slower = _inject_experiment(treatment, delay_ns)
        for number in range(len(gates), wanted):
            run = _gated(place, plain, slower, rule, tmp_path)
            assert run.manifest.comparison is not None
            (decision,) = judge(series_of(tidy(run), run.manifest.comparison.pairs, rule), rule)
            counts = _counts(run)
            gates.append(
                PowerGate(
                    delay_ns=delay_ns,
                    call=decision.call,
                    pairs=decision.n,
                    ratio=decision.ratio,
                    tolerated=decision.tolerated,
                    reason=decision.reason,
                    **counts,
                )
            )
            calls = [(gate.call, gate.pairs) for gate in gates]
            said = {"kind": kind, "slowdown": slowdown, "ready": treatment.ready, "rule": rule, "version": __version__}
            counted = {"calls": Counter(str(gate.call) for gate in gates), "rates": rates(calls)}
            keep(name, {**said, **counted, "called_by_pairs": _found_by(calls, rule), "gates": gates})
            _say(f"{name}, gate {number + 1} of {wanted}: {decision.call} after {decision.n} pairs, {decision.reason}")
    replay_rounds(benchmark, [gate.pairs for gate in gates])
    assert gates


def _found_by(calls: list[tuple[Call, int]], rule: Rule) -> dict[int, int]:
    """How many gates had called a regression by each look."""
    return {look: sum(call is Call.REGRESSION and n <= look for call, n in calls) for look in rule.looks}


def _simulated(kind: str, rule: Rule, rng: np.random.Generator, slowdown: float) -> list[tuple[Call, int]]:
    calls = []
    for _ in range(SIMULATED_GATES):
        a, b = noise(kind, rng, rule.looks[-1])
        (decision,) = judge([Series(name=kind, baseline_ns=a, candidate_ns=b * (1 + slowdown))], rule)
        calls.append((decision.call, decision.n))
    return calls


def _autoregressive(rng: np.random.Generator, n: int, phi: float) -> Values:
    values = np.empty(n)
    last = rng.standard_normal()
    for place, shock in enumerate(rng.standard_normal(n) * np.sqrt(1 - phi**2)):
        last = phi * last + shock
        values[place] = last
    return values


def _share(banks: list[Bank], name: str, n: int, slowdown: float) -> dict[str, int]:
    """In how many windows of ``n`` pairs, one after the other, the rule calls a regression."""
    called = windows = 0
    rule = Rule(looks=tuple(look for look in Rule().looks if look <= n))
    whole = Rule()
    shipped: Rule = msgspec.structs.replace(rule, alpha=whole.alpha_at_look * len(rule.looks))  # the shipped levels
    for bank in banks:
        series = bank.series(slowdown)
        for start in range(0, series.n - n + 1, n):
            a, b = series.baseline_ns[start : start + n], series.candidate_ns[start : start + n]
            windows += 1
            if name in RIVALS:
                called += RIVALS[name](a, b)
            else:
                (decision,) = judge([msgspec.structs.replace(series, baseline_ns=a, candidate_ns=b)], shipped)
                called += decision.call is Call.REGRESSION
    return {"called": called, "windows": windows}


def _inject_experiment(treatment: Treatment, delay_ns: int) -> Experiment:
    base = load_experiment("calibrate")
    env = ("INJECT_SAYS=listening", *((f"{treatment.delay}={delay_ns}",) if delay_ns else ()))
    made: Experiment = msgspec.structs.replace(
        base,
        workload=("inject",),
        variant=(treatment.variant,),
        ready=ProbeSpec.parse(treatment.ready),
        tier=(Tier.WARM,),
        network=(Network.BRIDGE,),
        options=ContainerOptions(env=env),
    )
    return made


def _median_ns(place: Place, experiment: Experiment, results: Path) -> float:
    """The baseline's median over 20 starts, which the delay is a share of."""
    with closing(prepare(place, msgspec.structs.replace(experiment, runs=20), _say)) as prepared:
        run = record_run(prepared, results)
    values = [phases.e2e_ns for sample in run.samples if (phases := phases_of(sample)) is not None]
    return float(np.median(values))


def _paired(place: Place, baseline: Experiment, candidate: Experiment, results: Path, pairs: int) -> StoredRun:
    with closing(prepare_contest(place, baseline, candidate, _say)) as contest, _writer(contest, results) as writer:
        run_pairs(contest, writer, pairs, deadline_ns=None, announce=_ignore, ended=_progress())
    return open_run(writer.path)


def _gated(place: Place, baseline: Experiment, candidate: Experiment, rule: Rule, results: Path) -> StoredRun:
    with (
        closing(prepare_contest(place, baseline, candidate, _ignore)) as contest,
        _writer(contest, results, rule) as writer,
    ):
        run_gate(contest, writer, rule, deadline_ns=None, announce=_ignore, ended=_ignore, tell=_ignore)
    return open_run(writer.path)


def _writer(contest: Contest, results: Path, rule: Rule | None = None) -> RunWriter:
    seed, now = new_seed(), datetime.now(UTC)
    manifest = contest.manifest(
        run_id=new_run_id("gate", now), seed=seed, started_at=now, argv=command_line(), rule=rule
    )
    return RunWriter.create(results, manifest)


def _counts(run: StoredRun) -> dict[str, Any]:
    """How the starts of a gate ended, and whether it was disturbed: kept in every denominator."""
    contamination = examine(tidy(run))
    return {
        "attempts": contamination.attempts,
        "requeued": contamination.requeued,
        "failed": sum(sample.outcome.is_failure for sample in run.samples),
        "contaminated": contamination.reasons,
        "sentinels": contamination.sentinels,
    }


class Banked(msgspec.Struct, frozen=True, kw_only=True):
    """``bank.json``: where its pairs were measured, in which runs, and the pairs."""

    host: HostFacts | None = None
    runs: tuple[str, ...] = ()
    banks: list[Bank] = []


def _banked(path: Path) -> Banked:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Banked)
    except FileNotFoundError:
        return Banked()


def _banked_gates(path: Path) -> list[PowerGate]:
    try:
        return msgspec.convert(msgspec.json.decode(path.read_bytes())["gates"], list[PowerGate])
    except FileNotFoundError:
        return []


def _progress() -> Callable[[Sample], None]:
    blocks: set[int] = set()

    def ended(sample: Sample) -> None:
        if sample.trial.block not in blocks and sample.trial.block % 50 == 0:
            _say(f"block {sample.trial.block}")
        blocks.add(sample.trial.block)

    return ended


def _ignore(_told: object) -> None:
    """What a gate tells while it goes on is told by its verdict."""


def _say(text: str) -> None:
    sys.__stderr__.write(f"{text}\n")  # type: ignore[union-attr]  # past pytest's capture: it takes minutes
