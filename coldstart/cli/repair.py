"""``coldstart repair RUN``: a stored run with damaged lines made readable again."""

from __future__ import annotations

from pathlib import Path

import click

from coldstart.cli._options import complete_run, results_option


@click.command()
@click.argument("run", shell_complete=complete_run)
@results_option
def command(run: str, results: Path) -> None:
    """Set aside the samples of RUN (a folder, or an ID under --results) that cannot be read.

    They are moved, as they are, to samples.set-aside.jsonl beside samples.jsonl. Every later summary, report and export
    counts them. A run that can be read is not changed.
    """
    from coldstart.store.reader import find_run  # noqa: PLC0415  --help need not pay for it
    from coldstart.store.repair import set_aside  # noqa: PLC0415

    repair = set_aside(find_run(run, results))
    for reason in repair.reasons:
        click.echo(reason, err=True)
    if repair.reasons:
        count = len(repair.reasons)
        lines = "1 line" if count == 1 else f"{count} lines"
        click.echo(f"set {lines} aside in {repair.set_aside}; {repair.kept} samples can be read")
    else:
        click.echo(f"nothing to repair: {repair.kept} samples can be read")
