"""``coldstart report RUN…``: a report of stored runs, made from their folders alone."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click

from coldstart.errors import MissingExtraError

_NEEDED = ("jinja2", "matplotlib", "pandas", "scipy")


@click.command()
@click.argument("run", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder to write to.  [default: reports/RUN_ID]")
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Where runs are looked up by their id.",
)
def command(run: tuple[str, ...], output: Path | None, results: Path) -> None:
    """Write index.html, report.md and figures of each RUN (an id or a folder); several stand in one report.

    The path of index.html goes to standard output. The same runs always give the same bytes.
    """
    if any(importlib.util.find_spec(package) is None for package in _NEEDED):
        raise MissingExtraError("reports", "report")
    from coldstart.report.files import write_report  # noqa: PLC0415  heavy, and perhaps not installed
    from coldstart.store.reader import open_run  # noqa: PLC0415  only this command's body needs it

    runs = [open_run(name, results) for name in run]
    folder = output or Path("reports") / "_".join(one.manifest.run_id for one in runs)
    click.echo(write_report(runs, folder).index)
