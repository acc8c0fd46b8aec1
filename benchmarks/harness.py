"""What the harnesses share: cold starts of a given list of cells."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from coldstart.cli._view import open_view
from coldstart.model.cell import Cell, Trial
from coldstart.model.experiment import Experiment
from coldstart.model.sample import Sample
from coldstart.plan.schedule import block_of
from coldstart.runner.place import open_place
from coldstart.runner.prepare import prepare
from coldstart.runner.recording import record_run


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
        samples: list[Sample] = []
        untimed_ns: list[int] = []
        begun_ns = time.monotonic_ns()

        def ended(sample: Sample) -> None:
            nonlocal begun_ns
            ended_ns = time.monotonic_ns()
            untimed_ns.append(ended_ns - begun_ns - sample.harness.quiet_wait_ns - _timed_ns(sample))
            samples.append(sample)
            view.ended(sample)
            begun_ns = time.monotonic_ns()

        def blocks_of(seed: int) -> list[tuple[Trial, ...]]:
            return [block_of(experiment, cells, seed, block) for block in range(experiment.warmup + runs)]

        view.begin(len(cells) * (experiment.warmup + runs), 0)
        run = record_run(prepared, results, blocks_of=blocks_of, announce=view.announce, ended=ended)
    return Measured(
        path=run.path,
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
