"""Comma-separated values (RFC 4180 with bare line feeds): a header, then a row a sample; empty is not observed."""

from __future__ import annotations

import csv
from typing import IO, Any

from coldstart.store.frames import COLUMNS, rows
from coldstart.store.reader import StoredRun

DESCRIPTION = "comma-separated values, a row a sample; empty is not observed"


def write(run: StoredRun, stream: IO[bytes]) -> None:
    """See `coldstart.export.base.Exporter`."""
    # Told to end lines in CR LF, the writer quotes both characters wherever they are; told LF, some versions leave a
    # CR bare, which readers take for the end of a line.
    writer = csv.writer(_Lines(stream), lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(value) for value in row.values()] for row in rows(run))


class _Lines:
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, line: str) -> int:
        return self._stream.write(line.removesuffix("\r\n").encode() + b"\n")


def _cell(value: Any) -> Any:
    # As JSON and every other reader of tables writes it: Python's own spelling is True.
    return str(value).lower() if isinstance(value, bool) else value
