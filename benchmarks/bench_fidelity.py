"""How true the phases are here: injected delays recovered, fallbacks against the trace, the trace's own cost.

    pytest benchmarks/bench_fidelity.py -k "not rule"                         an hour, alone on the machine
    pytest benchmarks/bench_fidelity.py -k rule                               minutes of CPU, no engine
    pytest benchmarks/bench_fidelity.py --cold-results results/reference      and keep what it found for publication

Each writes a JSON file to ``fidelity/`` under ``--cold-results``: all that was observed, and the figures made of it.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from benchmarks.replay import WRONGS, pace_s, replayed
from coldstart.analyse.compare import paired_ratio
from coldstart.analyse.estimate import median_interval
from coldstart.analyse.recovery import State, injected_ns, judge
from coldstart.measure.trial import Stage
from coldstart.model.cell import Cell, Network, Tier, Trial
from coldstart.model.experiment import Experiment
from coldstart.model.sample import Outcome, Phase, Sample, Source, Span
from coldstart.model.timeline import covered_ns, phases_of
from coldstart.model.truth import TruthTrial
from coldstart.plan.schedule import new_seed
from coldstart.pytest_plugin import VIRTUAL, replay_rounds
from coldstart.report.recovery import claim_text
from coldstart.runner.place import open_place
from coldstart.runner.prepare import Prepared, prepare
from coldstart.runner.truth import open_workbench
from coldstart.trace import connector
from coldstart.truth.plan import Design, arms
from coldstart.truth.workbench import run_blocks
from coldstart.units import NS_PER_MS

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

DELAYS_NS = tuple(ms * NS_PER_MS for ms in (5, 20, 50, 200))
DEFAULT_NS = tuple(ms * NS_PER_MS for ms in (50, 200))
SEED = 20261126
DEFAULT_RUNS = 40
STARTS_S = 8 * 60  # the default's nine minutes, less a minute of set-up
COST_LIMIT = 1.03
MAX_ATTEMPTS = 3

Keep = Callable[[str, object], None]

pytestmark = pytest.mark.benchmark(timer=VIRTUAL, group="fidelity")


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Keep:
    """Writes a record to ``fidelity/NAME.json``."""

    def kept(name: str, record: object) -> None:
        folder = Path(request.config.getoption("--cold-results")) / "fidelity"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")

    return kept


@pytest.fixture
def prepared() -> Iterator[Prepared]:
    """Hello/alpine in tiers absent and warm, both runtimes, with the kernel's trace."""
    experiment = Experiment(
        name="fidelity",
        runtime=("runc", "crun"),
        workload=("hello",),
        variant=("alpine",),
        tier=(Tier.ABSENT, Tier.WARM),
        network=(Network.BRIDGE, Network.HOST),
        runs=1,
    )
    with (
        open_place(experiment.engine, asked_for=False, purpose="fidelity", progress=_say) as place,
        closing(prepare(place, experiment, _say, required_tiers=True, source="trace")) as made,
    ):
        place.engine.sweep()
        yield made


def bench_recovery(benchmark: BenchmarkFixture, request: pytest.FixtureRequest, keep: Keep) -> None:
    """Delays of 5, 20, 50 and 200 ms in six places of starts by runc and crun."""
    runs, seed = request.config.getoption("--truth-runs"), new_seed()
    chosen = arms(("runc", "crun"), DELAYS_NS)
    trials: list[TruthTrial] = []
    with open_workbench(("runc", "crun"), "trace", _say) as place:
        for trial in run_blocks(place.workbench, Design(chosen).blocks(runs, seed)):
            trials.append(trial)
            if len(trials) % len(chosen) == 0:
                _say(f"block {trial.block + 1} of {runs}")
        host, engine, runtimes = place.host, place.engine, place.runtimes
    recovery = judge(trials)
    facts = {"seed": seed, "runs": runs, "host": host, "engine": engine, "runtimes": runtimes}
    keep("recovery", {**facts, "state": recovery.state, "recovery": recovery})
    keep("recovery-trials", trials)
    replay_rounds(benchmark, [injected_ns(trial) for trial in trials if trial.stamps])
    benchmark.extra_info.update({"state": recovery.state, "unattributed_median": recovery.unattributed_median})
    for state in (State.MISSED, State.UNDECIDED):
        for claim in recovery.of(state):
            _say(f"{state}: {claim_text(claim)}")
    _say(f"{recovery.state}: {len(recovery.of(State.MET))} of {len(recovery.claims)} bounds are met")


@pytest.mark.parametrize("kind", list(WRONGS))
def bench_rule(benchmark: BenchmarkFixture, request: pytest.FixtureRequest, keep: Keep, kind: str) -> None:
    """The shipped rule on selftests put together from the measured trials: as they are, and with a known fault.

    Each has the default's design, its blocks drawn with replacement from the measured ones at the pace at which they
    were measured, and goes on and ends as the command does.
    """
    path = Path(request.config.getoption("--cold-results")) / "fidelity" / "recovery-trials.json"
    trials = msgspec.json.decode(path.read_bytes(), type=list[TruthTrial])
    rng, wrong = np.random.default_rng([SEED, *kind.encode()]), WRONGS[kind]
    wanted = request.config.getoption("--rule-selftests")
    starts, ended, undecided = [], Counter[str](), Counter[str]()
    for _ in range(wanted):
        conducted = replayed(trials, rng, wrong, DEFAULT_NS, DEFAULT_RUNS, STARTS_S)
        recovery = conducted.judged()
        starts.append(len(conducted.trials))
        ended[str(recovery.state)] += 1
        undecided.update(claim_text(claim).partition(":")[0] for claim in recovery.of(State.UNDECIDED))
    record = {
        "seed": SEED,
        "blocks_at_most": DEFAULT_RUNS,
        "starts_of_a_block": len(arms(("runc", "crun"), DEFAULT_NS)),
        "seconds_of_starts_at_most": STARTS_S,
        "seconds_of_a_start": pace_s(trials),
        "selftests": wanted,
        "ended": {str(state): ended[state] for state in State},
        "starts": {"median": float(np.median(starts)), "most": max(starts)},
        "most_often_undecided": dict(undecided.most_common(5)),
    }
    keep(f"rule-{kind.replace(',', '').replace(' ', '-')}", record)
    replay_rounds(benchmark, starts)
    _say(f"{kind}: {', '.join(f'{ended[state]} {state}' for state in State)} of {wanted}")


def bench_trace_cost(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, prepared: Prepared, keep: Keep
) -> None:
    """Pairs of a start that is traced and one that is not, in random order, on the host's network."""
    pairs = request.config.getoption("--cost-pairs")
    traced = prepared.bench("fidelity")
    plain = replace(traced, sources=traced.sources[1:], source_profile="engine")
    order = random.Random(new_seed())  # noqa: S311  an order, not a secret
    times: dict[str, list[int]] = {"traced": [], "plain": []}
    stages = {"traced": Stage(traced), "plain": Stage(plain)}
    cell = _cell("crun", Tier.WARM, Network.HOST)
    for pair in range(pairs):
        names = ["traced", "plain"]
        order.shuffle(names)
        found = {name: _e2e_ns(stages[name], Trial(block=pair, position=0, cell=cell)) for name in names}
        if None not in found.values():
            for name, value in found.items():
                times[name].append(value or 0)
        if (pair + 1) % 50 == 0:
            _say(f"pair {pair + 1} of {pairs}")
    ratio = paired_ratio(times["plain"], times["traced"])
    keep("trace-cost", {"pairs": len(times["plain"]), "ratio": ratio, "limit": COST_LIMIT, "times_ns": times})
    replay_rounds(benchmark, times["traced"])
    benchmark.extra_info.update({"ratio": ratio.value, "upper": ratio.upper, "limit": COST_LIMIT})
    _say(f"traced / plain: {ratio.value:.4f} ({ratio.lower} to {ratio.upper})")
    assert ratio.upper is not None
    assert ratio.upper <= COST_LIMIT


def bench_fallbacks(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, prepared: Prepared, keep: Keep
) -> None:
    """Every source watches the same starts: what each fallback reads against the trace, phase by phase."""
    runs = request.config.getoption("--truth-runs")
    with ExitStack() as stack:
        proc = connector.open_source(prepared.place.engine.daemons)
        stack.callback(proc.close)
        bench = prepared.bench("fidelity")
        stage = Stage(replace(bench, sources=(*bench.sources, proc)))
        samples = [
            sample
            for block in range(runs)
            for runtime in ("runc", "crun")
            for tier in (Tier.ABSENT, Tier.WARM)
            if (sample := _sample(stage, Trial(block=block, position=0, cell=_cell(runtime, tier, Network.BRIDGE))))
        ]
    errors = _errors_ns(samples)
    table = {
        key: {
            "n": len(values),
            "median_ns": median_interval(values),
            "p05_ns": float(np.quantile(values, 0.05)),
            "p95_ns": float(np.quantile(values, 0.95)),
        }
        for key, values in sorted(errors.items())
    }
    keep("fallbacks", {"starts": len(samples), "error_against_trace": table})
    replay_rounds(benchmark, [abs(round(value)) for values in errors.values() for value in values])
    for key, row in table.items():
        median: Any = row["median_ns"]
        _say(f"{key}: {median.value / NS_PER_MS:+.2f} ms ({row['p05_ns']} to {row['p95_ns']} ns), n = {row['n']}")
    assert errors


def _errors_ns(samples: list[Sample]) -> dict[str, list[float]]:
    """Length by each source minus length by the trace, of each phase that both saw."""
    errors: dict[str, list[float]] = {}
    for sample in samples:
        for phase in Phase:
            lengths: dict[Source, int] = {}
            for source in Source:
                spans = [span for span in sample.spans if span.phase is phase and span.source is source]
                if spans:
                    whole = _hull(spans)
                    lengths[source] = covered_ns(spans, within=whole)
            if Source.TRACE in lengths:
                for source, length in lengths.items():
                    if source is not Source.TRACE:
                        errors.setdefault(f"{phase} by {source}", []).append(length - lengths[Source.TRACE])
    return errors


def _hull(spans: list[Span]) -> Span:
    """A span from the first start to the last end."""
    hull: Span = msgspec.structs.replace(
        spans[0], start_ns=min(span.start_ns for span in spans), end_ns=max(span.end_ns for span in spans)
    )
    return hull


def _cell(runtime: str, tier: Tier, network: Network) -> Cell:
    return Cell(engine="docker", runtime=runtime, workload="hello", variant="alpine", tier=tier, network=network)


def _sample(stage: Stage, trial: Trial) -> Sample | None:
    for attempt in range(MAX_ATTEMPTS):
        sample = stage.run(msgspec.structs.replace(trial, attempt=attempt))
        if sample.outcome is Outcome.OK:
            return sample
    return None


def _e2e_ns(stage: Stage, trial: Trial) -> int | None:
    sample = _sample(stage, trial)
    phases = phases_of(sample) if sample is not None else None
    return phases.e2e_ns if phases is not None else None


def _say(text: str) -> None:
    sys.__stderr__.write(f"{text}\n")  # type: ignore[union-attr]  # past pytest's capture: it takes minutes
