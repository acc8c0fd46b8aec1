"""``coldstart report RUN…``: a report of stored runs, made from their folders alone."""

from __future__ import annotations

from pathlib import Path

import click

from coldstart.cli._extras import can_report
from coldstart.cli._options import complete_run, results_option
from coldstart.cli._stored import opened
from coldstart.errors import MissingExtraError, UnsafeFileError


@click.command()
@click.argument("run", nargs=-1, shell_complete=complete_run)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder to write to.  [default: reports/RUN_ID]")
@click.option("--pdf", is_flag=True, help="Write report.pdf, too.")
@results_option
def command(run: tuple[str, ...], output: Path | None, pdf: bool, results: Path) -> None:
    """Write index.html, report.md and figures of each RUN (an ID or a folder); several stand in one report.

    Without RUN it is the newest one under --results.
    The path of index.html goes to standard output, and then that of report.pdf. The same runs always give the same
    bytes.
    """
    if not can_report():
        raise MissingExtraError("reports", "report")
    from coldstart.report.files import write_report  # noqa: PLC0415  heavy, and perhaps not installed
    from coldstart.store.reader import newest_run  # noqa: PLC0415  only this command's body needs it

    to_pdf = None
    if pdf:
        from coldstart.report.pdf import load_printer  # noqa: PLC0415  perhaps not installed

        to_pdf = load_printer()
    runs = [opened(name, results) for name in run or (newest_run(results),)]
    folder = output or Path("reports") / "_".join(one.manifest.run_id for one in runs)
    if output is None and folder.is_symlink():  # a link that somebody left, not a place that was asked for
        raise UnsafeFileError(folder, "is a link")
    files = write_report(runs, folder, to_pdf)
    click.echo(files.index)
    if files.pdf is not None:
        click.echo(files.pdf)
