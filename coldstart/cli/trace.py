"""One start, drawn as a waterfall: who did what, and when."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coldstart.cli._containers import parse_container_options
from coldstart.cli._heeded import check_bases
from coldstart.cli._options import (
    PassThrough,
    bases_option,
    container_command,
    container_options,
    source_option,
)
from coldstart.errors import MissingExtraError, NothingMeasuredError, UsageError
from coldstart.opening import is_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from coldstart.model.experiment import Experiment
    from coldstart.model.image import Image
    from coldstart.model.sample import Sample

_WORKLOAD, _VARIANT = "hello", "alpine"


@click.command(cls=PassThrough)
@click.option(
    "--image", metavar="REF", help="Start this image: a name, an archive or OCI layout, or a registry's reference."
)
@click.option("--ready", metavar="PROBE", help="When it is ready, as in coldstart run: http:PORT/PATH, log:TEXT …")
@click.option("--platform", metavar="OS/ARCH", help="Which platform of --image.  [default: the engine's]")
@click.option("--workload", metavar="NAME", help=f"Of the catalogue, or a folder.  [default: {_WORKLOAD}]")
@click.option("--variant", metavar="NAME", help=f"Of the workload.  [default: {_VARIANT}]")
@click.option("--runtime", default="runc", show_default=True, metavar="NAME", help="The OCI runtime.")
@click.option("--tier", default="absent", show_default=True, metavar="TIER", help="absent, cached or warm.")
@click.option("--network", default="bridge", show_default=True, metavar="MODE", help="bridge, host or none.")
@source_option("Where phases come from.")
@container_options
@bases_option
@click.option("--svg", type=click.Path(path_type=Path), metavar="FILE", help="Draw it there, too.")
@click.option("--json", "as_json", is_flag=True, help="The sample as one JSON object.")
def command(svg: Path | None, as_json: bool, **said: Any) -> None:
    """Start one container once and draw where its time went: engine, shim, OCI runtime, hook, entrypoint, layers.

    Nothing is stored, and a busy machine is only warned of: `coldstart run` measures. With the kernel's trace (root)
    every bar has two observed ends.
    """
    from coldstart.cli._extras import can_report  # noqa: PLC0415  --help need not pay for it
    from coldstart.cli._view import open_view  # noqa: PLC0415

    if svg is not None and not can_report():
        raise MissingExtraError("a figure", "report")
    if svg is not None and not is_folder(svg.parent):
        raise UsageError(f"--svg {svg}: there is no folder {svg.parent}.")
    if said["platform"] is not None and said["image"] is None:
        raise UsageError("--platform goes with --image: catalogue images are built for the engine's own platform.")
    experiment = _experiment(said)
    check_bases(experiment)
    with closing(open_view()) as view:
        sample, image = _start_once(experiment, said, view.say)
    _show(sample, image, as_json=as_json)
    if svg is not None:
        _draw(sample, image, svg)
        click.echo(str(svg), err=True)


def _experiment(said: dict[str, Any]) -> Experiment:
    from coldstart.model.experiment import Experiment  # noqa: PLC0415  --help need not pay for it
    from coldstart.model.probe import ProbeSpec  # noqa: PLC0415
    from coldstart.plan.levels import parse_levels, parse_networks, parse_tiers, parse_workloads  # noqa: PLC0415
    from coldstart.plan.overrides import Overrides, ad_hoc  # noqa: PLC0415

    ready = None if said["ready"] is None else ProbeSpec.parse(said["ready"])
    runtime, tier = parse_levels("runtime", said["runtime"]), parse_tiers(said["tier"])
    network = parse_networks(said["network"])
    if max(len(runtime), len(tier), len(network)) > 1:
        raise UsageError("one start has one runtime, one tier and one network; to compare some: coldstart run")
    options = parse_container_options(said, container_command())
    if said["image"] is not None:
        overrides = Overrides(
            runtime=runtime,
            tier=tier,
            network=network,
            runs=1,
            options=options,
            egress=bool(said["egress"]),
            workload=None if said["workload"] is None else (said["workload"],),
            variant=None if said["variant"] is None else (said["variant"],),
        )
        return ad_hoc(said["image"], ready, overrides)
    workloads = parse_workloads(said["workload"] or _WORKLOAD)
    return Experiment(
        name="trace",
        runtime=runtime,
        workload=workloads.names,
        folders=workloads.folders,
        variant=parse_levels("variant", said["variant"] or _VARIANT),
        tier=tier,
        network=network,
        runs=1,
        ready=ready,
        options=options,
        egress=bool(said["egress"]),
    )


def _start_once(experiment: Experiment, said: dict[str, Any], say: Callable[[str], None]) -> tuple[Sample, Image]:
    from coldstart.images.bases import BaseSource  # noqa: PLC0415  --help need not pay for it
    from coldstart.measure.session import measure  # noqa: PLC0415
    from coldstart.model.sample import Outcome  # noqa: PLC0415
    from coldstart.plan.schedule import block_of  # noqa: PLC0415
    from coldstart.runner.place import open_place  # noqa: PLC0415
    from coldstart.runner.prepare import prepare  # noqa: PLC0415

    with (
        open_place(experiment.engine, asked_for=False, purpose="trace", progress=say) as place,
        closing(
            prepare(
                place,
                experiment,
                say,
                required_tiers=True,
                bases=BaseSource(said["bases"]),
                platform=said["platform"],
                source=said["source"],
            )
        ) as prepared,
    ):
        trial = block_of(prepared.experiment, prepared.cells, 0, 0)
        bench = replace(
            prepared.bench("trace"), on_busy=lambda why: say(f"{why}. Something else may be in these times.")
        )
        *_, sample = measure(bench, [trial])
        for warning in sample.warnings:
            say(f"the engine warns: {warning}")
    if sample.outcome is not Outcome.OK:
        raise NothingMeasuredError(f"the start did not succeed: {sample.outcome}: {sample.reason}")
    return sample, prepared.images[sample.trial.cell.image_key]


def _show(sample: Sample, image: Image, *, as_json: bool) -> None:
    import msgspec  # noqa: PLC0415  --help need not pay for it

    from coldstart.model.waterfall import bars, render  # noqa: PLC0415

    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(sample), indent=2).decode())
        return
    click.echo(
        f"{sample.trial.cell.key}, source {sample.source}" + (f" ({sample.fallback})" if sample.fallback else "")
    )
    click.echo(render(bars(sample, image), width=shutil.get_terminal_size((110, 24)).columns))


def _draw(sample: Sample, image: Image, path: Path) -> None:
    from coldstart.model.waterfall import bars  # noqa: PLC0415  --help need not pay for it
    from coldstart.report.style import house_style, render  # noqa: PLC0415
    from coldstart.report.waterfall import draw  # noqa: PLC0415
    from coldstart.store.files import storing, write_atomically  # noqa: PLC0415

    with house_style():
        figure = draw(bars(sample, image), sample.trial.cell.key)
        assert figure is not None  # an ok sample has spans
        svg, _ = render(figure)
    with storing(path, "Choose another file with --svg."):
        write_atomically(path, svg)
