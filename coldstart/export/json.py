"""One JSON array with one object per sample, each on its own line; null is not observed."""

from __future__ import annotations

from typing import IO

import msgspec

from coldstart.store.frames import rows
from coldstart.store.reader import StoredRun

DESCRIPTION = "one JSON array, one object per sample; null is not observed"


def write(run: StoredRun, stream: IO[bytes]) -> None:
    """See `coldstart.export.base.Exporter`."""
    before = b"[\n"
    for row in rows(run):
        stream.write(before + msgspec.json.encode(row))
        before = b",\n"
    stream.write(b"\n]\n" if before == b",\n" else b"[]\n")
