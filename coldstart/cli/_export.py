"""A stored run as a table, to standard output or into a file replaced whole."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from coldstart.export.base import exporter
from coldstart.store.files import replacing, storing
from coldstart.store.reader import StoredRun
from coldstart.text import printable


def write_table(run: StoredRun, format_name: str, output: str) -> None:
    """Write the run's samples; ``-`` is standard output.

    Raises:
        UnknownNameError: no such format.
        StorageError: the file cannot be written; one that was there stays as it was.
    """
    chosen = exporter(format_name)
    if output == "-":
        if sys.stdout.isatty():  # to be read, not to be processed
            shown = io.BytesIO()
            chosen.write(run, shown)
            sys.stdout.write(printable(shown.getvalue().decode(errors="replace")))
            sys.stdout.flush()
            return
        chosen.write(run, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with storing(Path(output), "Choose another file."), replacing(Path(output)) as file:
        chosen.write(run, file)
