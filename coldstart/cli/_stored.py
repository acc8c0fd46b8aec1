"""Stored runs opened for a command: what had to be put right to read them is always said."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from coldstart.store.reader import StoredRun


def opened(name: str | PathLike[str], results: Path) -> StoredRun:
    """Read a run, as `coldstart.store.reader.open_run` does; a message says which of its trials are left out."""
    from coldstart.store.reader import open_run  # noqa: PLC0415  --help need not pay for it

    run = open_run(name, results)
    if run.repaired is not None:
        click.echo(f"coldstart: {run.repaired}.", err=True)
    return run
