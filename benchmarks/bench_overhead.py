"""What the suite itself costs: each figure beside the bound it has to keep, as a ratio where machines differ.

pytest benchmarks/bench_overhead.py                            the first two: half a minute
pytest benchmarks/bench_overhead.py --whole                    and scripts/bench from end to end
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest

from benchmarks.harness import measure_cells
from coldstart.model.cell import Cell, Tier
from coldstart.model.sample import Outcome
from coldstart.pytest_plugin import VIRTUAL, replay_rounds
from coldstart.store.reader import newest_run, open_run
from coldstart.units import NS_PER_MS, NS_PER_S

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).resolve().parents[1]
VERSION_LIMIT = 8.0  # times a bare interpreter
UNTIMED_LIMIT_NS = 300 * NS_PER_MS
WHOLE_LIMIT_NS = 8 * 60 * NS_PER_S
LEAST_STARTS = 6
_PAIRS = 30

pytestmark = pytest.mark.benchmark(timer=VIRTUAL, group="overhead")


def bench_version(benchmark: BenchmarkFixture) -> None:
    """``coldstart --version`` against a bare interpreter, in alternation."""
    bare_ns, version_ns = [], []
    for _ in range(_PAIRS):
        bare_ns.append(_spent_ns([sys.executable, "-I", "-S", "-c", "pass"]))
        version_ns.append(_spent_ns([str(Path(sys.executable).with_name("coldstart")), "--version"]))
    ratio = median(version_ns) / median(bare_ns)
    _replay(benchmark, version_ns, bare_ms=median(bare_ns) / NS_PER_MS, ratio=ratio, limit=VERSION_LIMIT)
    assert ratio <= VERSION_LIMIT


def bench_untimed_part_of_a_warm_trial(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Reset, proof, teardown and store; the wait for quiet apart."""
    cells = [
        Cell(engine="docker", runtime=runtime, workload="hello", variant="alpine", tier=Tier.WARM)
        for runtime in ("runc", "crun")
    ]
    measured = measure_cells(cells, runs=20, results=tmp_path)
    spent_ns = [
        untimed
        for untimed, sample in zip(measured.untimed_ns, measured.samples, strict=True)
        if sample.outcome is Outcome.OK and not sample.trial.warmup
    ]
    _replay(benchmark, spent_ns, median_ms=median(spent_ns) / NS_PER_MS, limit_ms=UNTIMED_LIMIT_NS / NS_PER_MS)
    assert median(spent_ns) <= UNTIMED_LIMIT_NS


def bench_scripts_bench(benchmark: BenchmarkFixture, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """``scripts/bench`` on a machine that is set up: every cell of ``article`` at n >= 6, and the report."""
    if not request.config.getoption("--whole"):
        pytest.skip("takes minutes: ask for it with --whole")
    begin_ns = time.monotonic_ns()
    subprocess.run([str(ROOT / "scripts" / "bench")], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    spent_ns = time.monotonic_ns() - begin_ns
    run = open_run(newest_run(tmp_path / "results"))
    starts = Counter(s.trial.cell for s in run.samples if s.outcome is Outcome.OK and not s.trial.warmup)
    _replay(
        benchmark,
        [spent_ns],
        cells=len(starts),
        starts_a_cell=min(starts.values()),
        limit_s=WHOLE_LIMIT_NS / NS_PER_S,
    )
    assert (tmp_path / "reports" / run.manifest.run_id / "index.html").is_file()
    assert (len(starts), min(starts.values()) >= LEAST_STARTS) == (24, True)
    assert spent_ns <= WHOLE_LIMIT_NS


def _spent_ns(argv: list[str]) -> int:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    begin_ns = time.monotonic_ns()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.monotonic_ns() - begin_ns


def _replay(benchmark: BenchmarkFixture, values_ns: list[int], **facts: float) -> None:
    """The values as the benchmark's rounds; the facts in its JSON and, for who looks on, in the log."""
    benchmark.extra_info.update(facts)
    replay_rounds(benchmark, values_ns)
    sys.stderr.write(f"\n{benchmark.name}: {json.dumps(facts)}\n")
