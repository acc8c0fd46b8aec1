"""A stored run as a table for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from coldstart.cli._options import complete_run, results_option
from coldstart.cli._stored import opened


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.option("--format", "format_name", default="csv", show_default=True, metavar="FORMAT", help="csv, json, jsonl …")
@click.option("-o", "--output", default="-", metavar="FILE", help="Where to write it; standard output by default.")
@results_option
def command(run: str, format_name: str, output: str, results: Path) -> None:
    """Write the samples of RUN (a folder, or an ID under --results) as a table: one row per sample, times in ns."""
    from coldstart.cli._export import write_table  # noqa: PLC0415  --help need not pay for it
    from coldstart.export.base import exporter  # noqa: PLC0415

    exporter(format_name)  # a misspelt one is told before a large run is read
    write_table(opened(run, results), format_name, output)
