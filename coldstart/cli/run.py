"""Measure an experiment, or one image: every sample is on the disk before the next start."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coldstart.cli._heeded import check_bases
from coldstart.cli._options import (
    Blocks,
    PassThrough,
    bases_option,
    budget_option,
    complete_run,
    container_command,
    container_options,
    export_options,
    factor_options,
    results_option,
    source_option,
    timeout_option,
)
from coldstart.cli._overrides import parse_overrides
from coldstart.errors import CorruptRunError, UsageError
from coldstart.opening import is_folder
from coldstart.units import parse_duration_ns

if TYPE_CHECKING:
    from coldstart.cli._view import View
    from coldstart.images.bases import BaseSource
    from coldstart.model.cell import Trial
    from coldstart.model.experiment import Experiment
    from coldstart.runner.place import Place
    from coldstart.runner.prepare import Prepared
    from coldstart.store.reader import StoredRun
    from coldstart.store.writer import RunWriter

DEFAULT_EXPERIMENT = "article"
# What may be said when a run is resumed.
_WITH_RESUME = {"resume", "trust", "budget", "source", "bases", "results", "as_json"}


@click.command(cls=PassThrough)
@click.argument("experiment", required=False, shell_complete=lambda _ctx, _param, start: _experiments(start))
@click.option(
    "--image", metavar="REF", help="Measure this image: a name, an archive or OCI layout, or a registry's reference."
)
@click.option(
    "--ready",
    metavar="PROBE",
    help="When it is ready: http:PORT/PATH, https:PORT/PATH or tcp:PORT (the container's own port answers), "
    "log:TEXT (it writes that), exec:COMMAND (that succeeds in it), healthcheck (its HEALTHCHECK does), notify (it "
    "sends READY=1 to $NOTIFY_SOCKET) or exit (it ends with code 0).",
)
@click.option("--platform", metavar="OS/ARCH", help="Which platform of --image.  [default: the engine's]")
@factor_options
@click.option("-n", "--runs", type=int, metavar="N", help="Measured starts of each cell.")
@click.option("-w", "--warmup", type=Blocks(), metavar="N", help="Blocks before them that are left out.")
@timeout_option
@budget_option
@source_option("Where phases come from; auto: the kernel's trace where it can be had, else the next best.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    help="Random seed for the trial order.  [default: random, stored]",
)
@container_options
@bases_option
@click.option("--resume", metavar="RUN", shell_complete=complete_run, help="Resume a run that was interrupted.")
@click.option("--from", "repeat", metavar="RUN", shell_complete=complete_run, help="Repeat a stored run, and compare.")
@click.option(
    "--trust",
    is_flag=True,
    help="With --from or --resume: use the volumes, devices, command and other container options that the stored run "
    "names, without being asked.",
)
@results_option
@export_options
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object.")
def command(experiment: str | None, repeat: str | None, **said: Any) -> None:
    """Measure EXPERIMENT (a name of the catalogue or a .toml file), or the image given with --image.

    Factors named here replace the experiment's own. Where root and the engine's executables are to be had, everything
    runs on the isolated testbed, which is started and removed if it is not up. What follows -- replaces the image's
    command.

    \b
    Examples:
      coldstart run                                              the article's comparison
      coldstart run tiers -n 6 --runtime crun                    a part of it, quickly
      coldstart run --image nginx:1.27 --ready http:80/ --runtime runc,crun -n 20
      coldstart run --image ./job.tar --ready exit -- /job --once
      coldstart run --from results/reference/20261125T095706Z-article-74bc -n 6 --tier warm
    """  # noqa: D301  click's own mark for lines that are not to be wrapped
    from coldstart.cli._finish import finish  # noqa: PLC0415  --help need not pay for it
    from coldstart.cli._view import open_view  # noqa: PLC0415
    from coldstart.runner.place import open_place  # noqa: PLC0415

    deadline_ns = _deadline_ns(said["budget"])
    exports = _exports(said)
    task = _task(experiment, repeat, said)
    check_bases(task.experiment)
    with closing(open_view()) as view:
        with (
            open_place(
                task.experiment.engine,
                asked_for=task.engine_named,
                purpose=f"run {task.experiment.name}",
                progress=view.say,
            ) as place,
            closing(task.prepared(place, view)) as prepared,
            task.writer(prepared) as writer,
        ):
            interrupted = _measure(prepared, writer, view, deadline_ns)
        view.close()
        finish(
            writer,
            exports,
            as_json=said["as_json"],
            interrupted=interrupted,
            say=view.say,
            repeats=task.repeats,
        )


@dataclass(frozen=True, kw_only=True)
class _Task:
    """What to measure, and into which run: a new one, maybe one that ``repeats`` another, or one to resume."""

    experiment: Experiment
    seed: int
    results: Path
    bases: BaseSource
    platform: str | None = None
    source: str = "auto"
    tiers_named: bool = False
    engine_named: bool = False
    runtimes_named: bool = False
    resume: Path | None = None
    repeats: StoredRun | None = None

    def prepared(self, place: Place, view: View) -> Prepared:
        """The experiment on that place."""
        from coldstart.cli._repeat import without_missing  # noqa: PLC0415  --help need not pay for it
        from coldstart.runner.prepare import prepare  # noqa: PLC0415

        experiment = self.experiment
        if self.repeats is not None and not self.runtimes_named:
            experiment = without_missing(experiment, [facts.name for facts in place.engine.runtimes()], view.say)
        return prepare(
            place,
            experiment,
            view.say,
            required_tiers=self.tiers_named or self.resume is not None,
            bases=self.bases,
            platform=self.platform,
            source=self.source,
        )

    def writer(self, prepared: Prepared) -> RunWriter:
        """The run's folder, begun or resumed.

        Raises:
            UsageError: the machine, engine or images are not those the run was begun with.
        """
        from coldstart.runner.prepare import command_line, differences  # noqa: PLC0415  --help need not pay for it
        from coldstart.store.run_id import new_run_id  # noqa: PLC0415
        from coldstart.store.writer import RunWriter  # noqa: PLC0415

        now = datetime.now(UTC)
        run_id = new_run_id(self.experiment.name, now)
        manifest = prepared.manifest(run_id=run_id, seed=self.seed, started_at=now, argv=command_line())
        if self.resume is None:
            return RunWriter.create(self.results, manifest)
        writer = RunWriter.resume(self.resume)
        if changed := differences(writer.stored.manifest, manifest):
            writer.close()
            raise UsageError(f"{self.resume} cannot be resumed here: {'; '.join(changed)}. Begin a new run.")
        return writer


def _task(name: str | None, repeat: str | None, said: dict[str, Any]) -> _Task:
    if said["trust"] and repeat is None and said["resume"] is None:
        raise UsageError("--trust is for a stored run: name it with --from or --resume, or leave --trust out.")
    if repeat is not None:
        return _repeated(name, repeat, said)
    return _new(name, said) if said["resume"] is None else _resumed(name, said)


def _repeated(name: str | None, repeat: str, said: dict[str, Any]) -> _Task:
    from coldstart.cli._consent import require_consent  # noqa: PLC0415  --help need not pay for it
    from coldstart.cli._repeat import experiment_of, stored_to_repeat  # noqa: PLC0415
    from coldstart.images.bases import BaseSource  # noqa: PLC0415
    from coldstart.plan.schedule import new_seed  # noqa: PLC0415

    run = stored_to_repeat(repeat, name, said)
    experiment, platform = experiment_of(run, said), said["platform"]
    require_consent(run.path, run.manifest.experiment, experiment, trusted=said["trust"])
    if platform is not None and experiment.image is None:
        raise UsageError("--platform goes with an image of one's own: catalogue images are for the engine's platform.")
    return _Task(
        experiment=experiment,
        # The order is chance, not treatment: the same one again would repeat its effects, and pass them off as found.
        seed=new_seed() if said["seed"] is None else said["seed"],
        results=said["results"],
        bases=BaseSource(said["bases"]),
        platform=platform,
        source=said["source"],
        tiers_named=said["tier"] is not None,
        engine_named=said["engine"] is not None,
        runtimes_named=said["runtime"] is not None,
        repeats=run,
    )


def _new(name: str | None, said: dict[str, Any]) -> _Task:
    from coldstart.images.bases import BaseSource  # noqa: PLC0415  --help need not pay for it
    from coldstart.plan.experiment import load_experiment  # noqa: PLC0415
    from coldstart.plan.overrides import ad_hoc, narrow  # noqa: PLC0415
    from coldstart.plan.schedule import new_seed  # noqa: PLC0415

    overrides = parse_overrides(said)
    if name is None and said["image"] is not None:
        experiment = ad_hoc(said["image"], overrides.ready, overrides)
    else:
        experiment = narrow(load_experiment(name or DEFAULT_EXPERIMENT), overrides)
    if said["platform"] is not None and experiment.image is None:
        raise UsageError("--platform goes with --image: catalogue images are built for the engine's own platform.")
    return _Task(
        experiment=experiment,
        seed=new_seed() if said["seed"] is None else said["seed"],
        results=said["results"],
        bases=BaseSource(said["bases"]),
        platform=said["platform"],
        source=said["source"],
        tiers_named=overrides.tier is not None,
        engine_named=overrides.engine is not None,
    )


def _resumed(name: str | None, said: dict[str, Any]) -> _Task:
    from coldstart.cli._consent import require_consent  # noqa: PLC0415  --help need not pay for it
    from coldstart.images.bases import BaseSource  # noqa: PLC0415
    from coldstart.store.reader import MANIFEST_NAME, find_run, read_manifest  # noqa: PLC0415

    others = [f"--{key.replace('_', '-')}" for key in said if key not in _WITH_RESUME and said[key] not in (None, ())]
    others = [*([name] if name else []), *others, *(["--"] if container_command() else [])]
    if others:
        raise UsageError(f"--resume continues a run as it was begun: leave out {', '.join(others)}.")
    path = find_run(said["resume"], said["results"])
    manifest = read_manifest(path).manifest
    experiment = manifest.experiment
    if manifest.comparison is not None:
        raise UsageError(f"{path} compares two contenders, side by side: it cannot be resumed. Repeat the gate.")
    if experiment.image is not None and not manifest.images:
        raise CorruptRunError(path / MANIFEST_NAME, f"is damaged: it does not describe its image {experiment.image!r}.")
    require_consent(path, experiment, experiment, trusted=said["trust"])
    return _Task(
        experiment=experiment,
        seed=manifest.seed,
        results=path.parent,
        bases=BaseSource(said["bases"]),
        source=said["source"],
        engine_named=manifest.engine.where == "user",
        platform=manifest.images[0].platform if experiment.image is not None else None,
        resume=path,
    )


def _measure(prepared: Prepared, writer: RunWriter, view: View, deadline_ns: int | None) -> bool:
    """Measure what is left of the run; whether it was interrupted."""
    from coldstart.measure.session import Prospects, measure  # noqa: PLC0415  --help need not pay for it

    stored, experiment = writer.stored, prepared.experiment
    run_id = stored.manifest.run_id
    blocks = tuple(_blocks(prepared, writer))
    if stored.repaired is not None:
        view.say(f"{stored.repaired}.")
    per_block, engine = len(prepared.cells), stored.manifest.engine
    view.say(
        f"run {run_id}: {per_block} cells, {experiment.runs} starts of each"
        + (f" after {experiment.warmup} warm-up" if experiment.warmup else "")
        + f", seed {stored.manifest.seed}, {engine.name} {engine.version} ({engine.where})"
    )
    total = per_block * (experiment.warmup + experiment.runs)
    view.begin(total, total - sum(len(block) for block in blocks))
    samples = measure(
        prepared.bench(run_id),
        blocks,
        deadline_ns=deadline_ns,
        prospects=Prospects(sum(not trial.warmup for block in blocks for trial in block), earlier=stored.samples),
        announce=view.announce,
        tell=view.say,
    )
    try:
        with closing(samples):
            for sample in samples:
                writer.append(sample)
                view.ended(sample)
    except KeyboardInterrupt:
        return True
    return False


def _blocks(prepared: Prepared, writer: RunWriter) -> Iterable[tuple[Trial, ...]]:
    from coldstart.model.repeats import MAX_ATTEMPTS  # noqa: PLC0415  --help need not pay for it
    from coldstart.plan.schedule import schedule  # noqa: PLC0415
    from coldstart.store.resume import remaining  # noqa: PLC0415

    whole = schedule(prepared.experiment, prepared.cells, writer.stored.manifest.seed)
    return remaining(writer.stored, whole, max_attempts=MAX_ATTEMPTS)


def _deadline_ns(budget: str | None) -> int | None:
    return None if budget is None else time.monotonic_ns() + parse_duration_ns(budget)


def _exports(said: dict[str, Any]) -> dict[str, Path]:
    found = {key.removeprefix("export_"): said.pop(key) for key in tuple(said) if key.startswith("export_")}
    wanted = {name: path for name, path in found.items() if path is not None}
    for name, path in wanted.items():
        if not is_folder(path.parent):  # told now, not when all is measured
            raise UsageError(f"--export-{name} {path}: there is no folder {path.parent}.")
    return wanted


def _experiments(start: str) -> list[str]:
    from coldstart.plan.experiment import catalogue  # noqa: PLC0415  only completion pays for it

    return [name for name in catalogue() if name.startswith(start)]
