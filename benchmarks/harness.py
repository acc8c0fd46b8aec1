"""What the harnesses share: a clock that shows what it is told, and cold starts of a given list of cells."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from coldstart.cli._view import open_view
from coldstart.measure.session import measure
from coldstart.model.cell import Cell
from coldstart.model.experiment import Experiment
from coldstart.model.sample import Sample
from coldstart.plan.schedule import block_of, new_seed
from coldstart.runner.place import open_place
from coldstart.runner.prepare import command_line, prepare
from coldstart.store.run_id import new_run_id
from coldstart.store.writer import RunWriter
from coldstart.units import NS_PER_S

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture


class VirtualTimer:
    """A timer for pytest-benchmark, in seconds, that moves only when told to."""

    __name__ = "cold_start_phase"  # what pytest-benchmark's output calls it

    def __init__(self) -> None:
        self._now_ns = 0

    def __call__(self) -> float:
        """Seconds since the last `reset`."""
        return self._now_ns / NS_PER_S

    def advance(self, ns: int) -> None:
        """Let ``ns`` pass."""
        self._now_ns += ns

    def reset(self) -> None:
        """Back to 0, so that no digit of the next round is lost."""
        self._now_ns = 0


VIRTUAL = VirtualTimer()


def replay_rounds(benchmark: BenchmarkFixture, values_ns: Sequence[int]) -> None:
    """Make the values the benchmark's rounds; its timer has to be `VIRTUAL`."""
    waiting = iter(values_ns)
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: VIRTUAL.advance(next(waiting)), setup=VIRTUAL.reset, rounds=len(values_ns), iterations=1
    )


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A stored run: ``untimed_ns`` is what each sample took beside its timed window and its wait for quiet."""

    path: Path
    samples: tuple[Sample, ...]
    untimed_ns: tuple[int, ...]
    digests: dict[tuple[str, str], str]

    def of(self, cell: Cell) -> tuple[Sample, ...]:
        """The cell's samples, without warm-up."""
        return tuple(sample for sample in self.samples if sample.trial.cell == cell and not sample.trial.warmup)

    def digest(self, cell: Cell) -> str:
        """The digest of the cell's image."""
        return self.digests[cell.image_key]


def measure_cells(cells: Sequence[Cell], *, runs: int, results: Path) -> Measured:
    """One warm-up block and ``runs`` measured ones of exactly these cells, stored under ``results``."""
    experiment = _experiment(cells, runs)
    with (
        ExitStack() as stack,
        closing(open_view()) as view,
        open_place(experiment.engine, asked_for=False, purpose="benchmarks", progress=view.say) as place,
    ):
        prepared = stack.enter_context(closing(prepare(place, experiment, view.say, required_tiers=True)))
        seed, now = new_seed(), datetime.now(UTC)
        run_id = new_run_id(experiment.name, now, seed)
        manifest = prepared.manifest(run_id=run_id, seed=seed, started_at=now, argv=command_line())
        blocks = [block_of(experiment, cells, seed, block) for block in range(experiment.warmup + runs)]
        samples: list[Sample] = []
        untimed_ns: list[int] = []
        with RunWriter.create(results, manifest) as writer:
            view.begin(len(cells) * len(blocks), 0)
            begun_ns = time.monotonic_ns()
            for sample in measure(prepared.bench(run_id), blocks, announce=view.announce):
                writer.append(sample)
                ended_ns = time.monotonic_ns()
                untimed_ns.append(ended_ns - begun_ns - sample.harness.quiet_wait_ns - _timed_ns(sample))
                samples.append(sample)
                view.ended(sample)
                begun_ns = time.monotonic_ns()
    return Measured(
        path=writer.path,
        samples=tuple(samples),
        untimed_ns=tuple(untimed_ns),
        digests={key: image.digest or image.image_id for key, image in prepared.images.items()},
    )


def _experiment(cells: Sequence[Cell], runs: int) -> Experiment:
    """An experiment with every level that the cells have; which of their crossings are measured, the blocks say."""
    return Experiment(
        name="benchmarks",
        description="cells of the pytest-benchmark harnesses",
        engine=tuple(dict.fromkeys(cell.engine for cell in cells)),
        runtime=tuple(dict.fromkeys(cell.runtime for cell in cells)),
        workload=tuple(dict.fromkeys(cell.workload for cell in cells)),
        variant=tuple(dict.fromkeys(cell.variant for cell in cells)),
        tier=tuple(dict.fromkeys(cell.tier for cell in cells)),
        network=tuple(dict.fromkeys(cell.network for cell in cells)),
        runs=runs,
        warmup=1,
    )


def _timed_ns(sample: Sample) -> int:
    """From the sample's first instant to its last."""
    if not sample.spans:
        return 0
    return max(span.end_ns for span in sample.spans) - min(span.start_ns for span in sample.spans)
