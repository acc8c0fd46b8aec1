"""A stored run as a table, to standard output or into a file replaced whole."""

from __future__ import annotations

import sys
from pathlib import Path

from coldstart.export.base import exporter
from coldstart.store.files import replacing, storing
from coldstart.store.reader import StoredRun


def write_table(run: StoredRun, format_name: str, output: str) -> None:
    """Write the run's samples; ``-`` is standard output.

    Raises:
        UnknownNameError: no such format.
        StorageError: the file cannot be written; one that was there stays as it was.
    """
    chosen = exporter(format_name)
    if output == "-":
        chosen.write(run, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with storing(Path(output), "Choose another file."), replacing(Path(output)) as file:
        chosen.write(run, file)
