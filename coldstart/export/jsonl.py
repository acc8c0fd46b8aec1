"""JSON Lines: one object per sample; null is not observed."""

from __future__ import annotations

from typing import IO

import msgspec

from coldstart.store.frames import rows
from coldstart.store.reader import StoredRun

DESCRIPTION = "JSON Lines, one object per sample; null is not observed"


def write(run: StoredRun, stream: IO[bytes]) -> None:
    """See `coldstart.export.base.Exporter`."""
    for row in rows(run):
        stream.write(msgspec.json.encode(row) + b"\n")
