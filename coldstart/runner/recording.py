"""One experiment measured into a new run, from its first block to its last: for those who are no command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from coldstart.measure.session import Prospects, measure
from coldstart.model.cell import Trial
from coldstart.model.sample import Sample
from coldstart.plan.schedule import new_seed, schedule
from coldstart.runner.prepare import Prepared, command_line
from coldstart.store.reader import StoredRun, open_run
from coldstart.store.run_id import new_run_id
from coldstart.store.writer import RunWriter

BlocksOf = Callable[[int], Iterable[tuple[Trial, ...]]]


def record_run(
    prepared: Prepared,
    results: Path,
    *,
    blocks_of: BlocksOf | None = None,
    announce: Callable[[Trial], None] = lambda _trial: None,
    ended: Callable[[Sample], None] = lambda _sample: None,
) -> StoredRun:
    """Measure into a new folder of ``results``, and read it back.

    ``blocks_of`` makes the blocks for a seed; by default they are the experiment's own schedule.

    Raises:
        StorageError: it cannot be written.
    """
    seed, now = new_seed(), datetime.now(UTC)
    run_id = new_run_id(prepared.experiment.name, now)
    manifest = prepared.manifest(run_id=run_id, seed=seed, started_at=now, argv=command_line())
    blocks = tuple(schedule(prepared.experiment, prepared.cells, seed) if blocks_of is None else blocks_of(seed))
    prospects = Prospects(sum(not trial.warmup for block in blocks for trial in block))
    with RunWriter.create(results, manifest) as writer:
        for sample in measure(prepared.bench(run_id), blocks, prospects=prospects, announce=announce):
            writer.append(sample)
            ended(sample)
    return open_run(writer.path)
