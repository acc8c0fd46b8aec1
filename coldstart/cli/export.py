"""A stored run as a table for other tools."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("run")
@click.option("--format", "format_name", default="csv", show_default=True, metavar="FORMAT", help="csv, json, jsonl …")
@click.option("-o", "--output", default="-", metavar="FILE", help="Where to write it; standard output by default.")
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default="results",
    show_default=True,
    metavar="DIR",
    help="Where runs are looked up by ID.",
)
def command(run: str, format_name: str, output: str, results: Path) -> None:
    """Write the samples of RUN (a folder, or an ID under --results) as a table: a row a sample, times in ns."""
    from coldstart.export.base import exporter  # noqa: PLC0415  --help need not pay for it
    from coldstart.store.files import replacing, storing  # noqa: PLC0415
    from coldstart.store.reader import open_run  # noqa: PLC0415

    chosen = exporter(format_name)
    stored = open_run(run, results)
    if stored.repaired is not None:
        click.echo(f"coldstart: {stored.repaired}.", err=True)
    if output == "-":
        chosen.write(stored, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with storing(Path(output), "Choose another file with -o."), replacing(Path(output)) as file:
        chosen.write(stored, file)
