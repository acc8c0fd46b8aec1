"""Real cold starts as pytest-benchmark rows: measured once, in randomised blocks, then replayed row by row.

Every selected row's cell starts once in each block, so that rows can be compared; the run is stored under ``results/``
like any other, and ``coldstart report`` shows it. What pytest-benchmark times is a virtual clock that each round moves
by one sample's phase: its rounds are the samples, to the ns, and ``--benchmark-json``, ``--benchmark-save`` and
``--benchmark-compare`` work as ever.

    pytest benchmarks/bench_init.py --cold-runs 20 --benchmark-save init
    pytest benchmarks/bench_init.py --cold-runs 20 --benchmark-compare
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.harness import Measured, measure_cells
from coldstart.images.catalogue import catalogue
from coldstart.model.cell import Cell, Tier
from coldstart.model.timeline import phases_of
from coldstart.pytest_plugin import replay_rounds
from coldstart.testbed import executables

WORKLOAD = "hello"

Replay = Callable[[Cell, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many starts make a row."""
    group = parser.getgroup("coldstart")
    group.addoption("--cold-runs", type=int, default=10, metavar="N", help="Measured cold starts a row (default 10).")
    group.addoption("--truth-runs", type=int, default=20, metavar="N", help="Starts of each arm with a known delay.")
    group.addoption("--rule-selftests", type=int, default=500, metavar="N", help="Selftests that are replayed.")
    group.addoption("--cost-pairs", type=int, default=400, metavar="N", help="Pairs of a traced and a plain start.")
    group.addoption("--aa-pairs", type=int, default=200, metavar="N", help="Pairs of a start against itself, a cell.")
    group.addoption(
        "--ab-gates", type=int, default=10, metavar="N", help="Whole gates of a start against a slower one."
    )
    group.addoption(
        "--faults", type=int, default=40, metavar="N", help="Faults to inject into runs, banked ones counted."
    )
    group.addoption("--fuzz-inputs", type=int, default=100_000, metavar="N", help="Wrong inputs, banked ones counted.")
    group.addoption("--fault-kind", default="", metavar="TEXT", help="Only faults whose kind contains this.")
    group.addoption("--whole", action="store_true", help="Time scripts/bench from end to end, too.")
    group.addoption(
        "--cold-results", type=Path, default=Path("results"), metavar="DIR", help="Where the run is stored."
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A row for every runtime this machine has and every variant of the workload."""
    if "cell" not in metafunc.fixturenames:
        return
    tier = Tier(metafunc.module.TIER)
    runtimes = executables.runtimes({}, executables.search_path())
    cells = [
        Cell(engine="docker", runtime=runtime, workload=WORKLOAD, variant=variant, tier=tier)
        for variant in catalogue()[WORKLOAD].variants
        for runtime in runtimes
    ]
    metafunc.parametrize("cell", cells, ids=[f"{cell.runtime}-{cell.variant}" for cell in cells])


@pytest.fixture(scope="session")
def measured(request: pytest.FixtureRequest) -> Measured:
    """The samples of every selected row, measured when the first row wants them."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    cells = _selected(request.session.items)
    with capture.global_and_fixture_disabled():
        return measure_cells(
            cells, runs=request.config.getoption("--cold-runs"), results=request.config.getoption("--cold-results")
        )


@pytest.fixture
def replay(measured: Measured, benchmark: BenchmarkFixture) -> Replay:
    """Replays a cell's samples of one phase as the benchmark's rounds."""

    def replayed(cell: Cell, column: str) -> None:
        samples = [sample for sample in measured.of(cell) if phases_of(sample) is not None]
        values = [value for sample in samples if (value := getattr(phases_of(sample), column)) is not None]
        if not values:
            pytest.fail(f"{cell.key}: no start succeeded, see {measured.path}", pytrace=False)
        benchmark.group = column.removesuffix("_ns")
        benchmark.extra_info.update(
            {
                "phase": column,
                "tier": str(cell.tier),
                "runtime": cell.runtime,
                "variant": cell.variant,
                "image": measured.digest(cell),
                "source": samples[0].source,
                "starts": len(values),
                "failed": len(measured.of(cell)) - len(samples),
                "run": str(measured.path),
            }
        )
        replay_rounds(benchmark, values)

    return replayed


def _selected(items: Sequence[Any]) -> tuple[Cell, ...]:
    found = (item.callspec.params.get("cell") for item in items if hasattr(item, "callspec"))
    return tuple(dict.fromkeys(cell for cell in found if cell is not None))
