"""Comma-separated values (RFC 4180 with bare line feeds): a header, then one row per sample; empty is not observed.

A text that a spreadsheet would take for a formula gets an apostrophe in front, which spreadsheets do not show. Numbers
are as they are, and so are all values in the other formats.
"""

from __future__ import annotations

import csv
from typing import IO, Any

from coldstart.store.frames import COLUMNS, rows
from coldstart.store.reader import StoredRun

# What spreadsheets compute (OWASP, "CSV Injection"), also in full width, and what they pass over before it.
_FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001  full width is meant

DESCRIPTION = "comma-separated values, one row per sample; empty is not observed"


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
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA_STARTS):
        return f"'{value}"
    # As JSON and every other reader of tables writes it: Python's own spelling is True.
    return str(value).lower() if isinstance(value, bool) else value
