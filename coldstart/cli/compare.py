"""How do two runs, two levels of a factor, or two contenders differ, phase by phase?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from coldstart.cli._extras import can_report
from coldstart.cli._options import complete_run, results_option
from coldstart.cli._stored import opened
from coldstart.errors import MissingExtraError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from coldstart.analyse.contest import PhaseEffect
    from coldstart.store.reader import StoredRun

_FACTORS = ("runtime", "workload", "variant", "tier", "network", "engine")


@click.command()
@click.argument("run", nargs=-1, required=True, shell_complete=complete_run)
@click.option("--by", "factor", type=click.Choice(_FACTORS), help="Compare the levels of a factor within one RUN.")
@click.option("--against", metavar="LEVEL", help="With --by: the level to compare with.  [default: the run's first]")
@click.option("--markdown", is_flag=True, help="A Markdown table.")
@click.option("--json", "as_json", is_flag=True, help="The effects as one JSON array.")
@results_option
def command(
    run: tuple[str, ...], factor: str | None, against: str | None, *, markdown: bool, as_json: bool, results: Path
) -> None:
    """Effects with 95 % intervals, per cell and phase: of the second RUN against the first, or within one RUN.

    Within a run starts are paired by block, which shares out what drifts; two runs are unpaired, which is weaker. One
    RUN of a gate is compared as the gate did: candidate against baseline.
    """
    if not can_report():
        raise MissingExtraError("a comparison", "report")
    import msgspec  # noqa: PLC0415  --help need not pay for it

    from coldstart.cli._console import stdout_console  # noqa: PLC0415
    from coldstart.report.comparison import effects_table  # noqa: PLC0415
    from coldstart.report.document import Section  # noqa: PLC0415
    from coldstart.report.markdown import render_section  # noqa: PLC0415
    from coldstart.report.terminal import print_section  # noqa: PLC0415

    stored = [opened(name, results) for name in run]
    effects = _effects(stored, factor, against)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(effects), indent=2).decode())
        return
    section = Section(anchor="compare", title="Comparison", blocks=(effects_table(effects),))
    if markdown:
        click.echo(render_section(section))
    else:
        print_section(stdout_console(), section)


def _effects(stored: list[StoredRun], factor: str | None, against: str | None) -> tuple[PhaseEffect, ...]:
    """What was asked for.

    Raises:
        UsageError: another number of runs than goes with it, or they have no cell in common.
        UnknownNameError: no such level.
    """
    from coldstart.analyse.contest import factor_effects, phase_effects, run_effects  # noqa: PLC0415
    from coldstart.model.timeline import common_profile  # noqa: PLC0415
    from coldstart.store.frames import tidy  # noqa: PLC0415

    if against is not None and factor is None:
        raise UsageError("--against names a level of the factor in --by: name that, too.")
    if len(stored) == 1:
        (only,) = stored
        if factor is not None:
            only.manifest.refuse_mixed_sides()
            levels = [str(level) for level in getattr(only.manifest.experiment, factor)]
            if against is not None and against not in levels:
                raise UnknownNameError(factor, against, levels, f"run {only.manifest.run_id}")
            return _some(factor_effects(tidy(only), factor, against or levels[0]), f"no two levels of {factor}")
        if only.manifest.comparison is None:
            raise UsageError("one run, and nothing to compare in it: name a second run, or a factor with --by.")
        return _some(phase_effects(tidy(only), only.manifest.comparison.pairs), "no block with both sides")
    if len(stored) != 2 or factor is not None:
        raise UsageError("compare two runs, or the levels of one run's factor with --by.")
    for run in stored:
        run.manifest.refuse_mixed_sides()
    profile = common_profile([sample for run in stored for sample in run.samples])
    first, second = (tidy(run, profile) for run in stored)
    for what, one, other in (
        ("host", *(run.manifest.host.host_id for run in stored)),
        ("experiment", *(run.manifest.experiment.name for run in stored)),
    ):
        if one != other:
            click.echo(f"coldstart: the runs are of different {what}s ({one}, {other}).", err=True)
    _note_packing(*stored)
    return _some(run_effects(first, second), "no cell that both runs timed")


def _note_packing(ours: StoredRun, theirs: StoredRun) -> None:
    from coldstart.model.image import packed_otherwise  # noqa: PLC0415  --help need not pay for it

    known = {(image.workload, image.variant): image for image in ours.manifest.images}
    for image in theirs.manifest.images:
        namesake = known.get((image.workload, image.variant))
        if namesake is not None and (note := packed_otherwise(namesake, image)) is not None:
            click.echo(f"coldstart: {note}.", err=True)


def _some(effects: tuple[PhaseEffect, ...], lacking: str) -> tuple[PhaseEffect, ...]:
    if not effects:
        raise UsageError(f"there is nothing to compare: {lacking}.")
    return effects
