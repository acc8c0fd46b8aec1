"""How often would a gate be wrong on this machine? Measured, by comparing a start with itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coldstart.cli import _heeded as heeded
from coldstart.cli._contenders import rule_of
from coldstart.cli._extras import can_report
from coldstart.cli._options import (
    PassThrough,
    bases_option,
    budget_option,
    container_options,
    factor_options,
    results_option,
    source_option,
    timeout_option,
)
from coldstart.cli._overrides import parse_overrides
from coldstart.cli._stored import opened
from coldstart.errors import EXIT_INTERRUPTED, MissingExtraError, NothingMeasuredError, UsageError
from coldstart.units import parse_duration_ns

if TYPE_CHECKING:
    from coldstart.analyse.calibration import Bank, Calibration
    from coldstart.cli._view import View
    from coldstart.model.experiment import Experiment
    from coldstart.model.rule import Rule
    from coldstart.runner.contest import Contest
    from coldstart.store.reader import StoredRun
    from coldstart.store.writer import RunWriter

NAME = "calibrate"


@click.command(cls=PassThrough)
@click.option(
    "--pairs", type=click.IntRange(0, 100_000), default=100, show_default=True, help="Pairs to add of each cell."
)
@click.option("--max-slowdown", metavar="PERCENT", help="What the gate tolerates whose errors are told.  [default: 5%]")
@click.option("--alpha", type=float, metavar="SHARE", help="The false alarms that it accepts.  [default: 0.01]")
@click.option("--image", metavar="REF", help="Calibrate on this image, with --ready, instead of the catalogue's.")
@click.option("--ready", metavar="PROBE", help="When --image is ready, as in coldstart run.")
@factor_options
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
@results_option
@click.option("--json", "as_json", is_flag=True, help="The error rates as one JSON object.")
def command(**said: Any) -> None:
    """Compare a start with itself, many times, and tell how often the gate would have been wrong.

    Pairs are banked: every call adds to those measured before on machines of this class, and an interrupted one keeps
    what it has. --pairs 0 only looks at the bank, by any --max-slowdown and --alpha. What is found is kept under
    --results, and shown by gates there that judge by the same rule.
    """
    if not can_report():
        raise MissingExtraError("a calibration", "report")
    rule = rule_of(() if said["max_slowdown"] is None else (said["max_slowdown"],), said["alpha"])
    if rule.cells or rule.metrics:
        raise UsageError(f"--max-slowdown {said['max_slowdown']!r}: a calibration is of one percentage, such as 5%.")
    measured, interrupted = None, False
    if not said["pairs"]:
        heeded.refuse_others(heeded.OF_BANK, "with --pairs 0 nothing is measured")
    if said["pairs"]:
        measured, interrupted = _measure(said)
    calibration = _calibrated(said["results"], rule)
    _store(calibration, said["results"])
    if said["as_json"]:
        import msgspec  # noqa: PLC0415  --help need not pay for it

        click.echo(msgspec.json.format(msgspec.json.encode(calibration), indent=2).decode())
    else:
        from coldstart.cli._console import stdout_console  # noqa: PLC0415
        from coldstart.report.calibration import calibration_section  # noqa: PLC0415
        from coldstart.report.terminal import print_section  # noqa: PLC0415

        print_section(stdout_console(), calibration_section(calibration))
    if interrupted:
        raise click.exceptions.Exit(EXIT_INTERRUPTED)
    if measured is not None:
        _check(measured, said["results"])


def _check(path: Path, results: Path) -> None:
    """The pairs that were just measured, if there was the time for any, came to their end undisturbed."""
    from coldstart.cli._finish import check_measured  # noqa: PLC0415  --help need not pay for it

    if samples := opened(path, results).samples:
        kept = f"The pairs so far are kept in {path}."
        check_measured(samples, path, kept, lambda text: click.echo(text, err=True))


def _experiment(said: dict[str, Any]) -> Experiment:
    from coldstart.plan.experiment import load_experiment  # noqa: PLC0415  --help need not pay for it
    from coldstart.plan.overrides import narrow  # noqa: PLC0415

    return narrow(load_experiment(NAME), parse_overrides({**said, "runs": said["pairs"]}))


def _measure(said: dict[str, Any]) -> tuple[Path, bool]:
    """Add pairs to the bank; the run that has them, and whether it was interrupted."""
    from coldstart.cli._view import open_view  # noqa: PLC0415  --help need not pay for it
    from coldstart.images.bases import BaseSource  # noqa: PLC0415
    from coldstart.plan.schedule import new_seed  # noqa: PLC0415
    from coldstart.runner.contest import prepare_contest  # noqa: PLC0415
    from coldstart.runner.place import open_place  # noqa: PLC0415
    from coldstart.runner.prepare import command_line  # noqa: PLC0415
    from coldstart.store.run_id import new_run_id  # noqa: PLC0415
    from coldstart.store.writer import RunWriter  # noqa: PLC0415

    deadline_ns = None if said["budget"] is None else time.monotonic_ns() + parse_duration_ns(said["budget"])
    experiment = _experiment(said)
    heeded.check_bases(experiment)
    seed, now = new_seed() if said["seed"] is None else said["seed"], datetime.now(UTC)
    with (
        closing(open_view()) as view,
        open_place(experiment.engine, asked_for=said["engine"] is not None, purpose=NAME, progress=view.say) as place,
        closing(
            prepare_contest(
                place,
                experiment,
                experiment,
                view.say,
                required_tiers=True,
                bases=BaseSource(said["bases"]),
                source=said["source"],
            )
        ) as contest,
    ):
        manifest = contest.manifest(run_id=new_run_id(NAME, now), seed=seed, started_at=now, argv=command_line())
        with RunWriter.create(said["results"], manifest) as writer:
            return writer.path, _pairs(contest, writer, said["pairs"], view, deadline_ns)


def _pairs(contest: Contest, writer: RunWriter, pairs: int, view: View, deadline_ns: int | None) -> bool:
    from coldstart.runner.gating import run_pairs  # noqa: PLC0415  --help need not pay for it

    view.say(f"run {writer.stored.manifest.run_id}: {pairs} pairs of {', '.join(pair.key for pair in contest.pairs)}")
    view.begin(2 * len(contest.pairs) * pairs, 0)
    try:
        run_pairs(
            contest,
            writer,
            pairs,
            deadline_ns=deadline_ns,
            announce=view.announce,
            ended=view.ended,
            say=view.say,
        )
    except KeyboardInterrupt:
        return True
    return False


def _calibrated(results: Path, rule: Rule) -> Calibration:
    from coldstart import __version__  # noqa: PLC0415  --help need not pay for it
    from coldstart.analyse.calibration import calibrate, host_class  # noqa: PLC0415
    from coldstart.model.run import SCHEMA_VERSION  # noqa: PLC0415

    runs = _bank(results)
    if not runs:
        raise NothingMeasuredError(f"no pairs are banked under {results}: measure some with coldstart calibrate.")
    here = host_class(runs[-1].manifest.host)
    alike = [run for run in runs if host_class(run.manifest.host) == here]
    return calibrate(
        _banks(alike),
        rule,
        host_class=here,
        version=__version__,
        runs=tuple(run.manifest.run_id for run in alike),
        schema_version=SCHEMA_VERSION,
    )


def _bank(results: Path) -> list[StoredRun]:
    """All calibration runs under ``results``, oldest first."""
    from coldstart.store.reader import MANIFEST_NAME  # noqa: PLC0415  --help need not pay for it

    folders = sorted(path.parent for path in results.glob(f"*-{NAME}-*/{MANIFEST_NAME}"))
    return [run for folder in folders if (run := opened(folder, results)).samples]


def _banks(runs: Sequence[StoredRun]) -> list[Bank]:
    """The pairs of each cell over all runs, in the order they were measured; of sources, each run's own."""
    from coldstart.analyse.contest import bank_of  # noqa: PLC0415  --help need not pay for it
    from coldstart.store.frames import tidy  # noqa: PLC0415

    return bank_of([(run.manifest, tidy(run)) for run in runs])


def _store(calibration: Calibration, results: Path) -> None:
    import msgspec  # noqa: PLC0415  --help need not pay for it

    from coldstart.report.calibration import calibration_path  # noqa: PLC0415
    from coldstart.store.files import make_folder, storing, write_inside  # noqa: PLC0415

    path = calibration_path(results, calibration.host_class, calibration.rule)
    with storing(path, "Choose another place with --results."):
        make_folder(results)
        write_inside(
            results,
            str(path.relative_to(results)),
            msgspec.json.format(msgspec.json.encode(calibration), indent=1) + b"\n",
        )
