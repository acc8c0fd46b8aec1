"""A fixed piece of work whose time tells how the machine is, apart from anything that is compared on it."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path

from coldstart.model.sample import SentinelReading

_CPU_BYTES = 4 * 1024**2
_IO_BYTES = 256 * 1024


def read_sentinel(folder: Path | None) -> SentinelReading:
    """Hash 4 MiB, then write and sync 256 KiB to a file in ``folder`` that has no name; ns of CLOCK_MONOTONIC.

    Without a folder, or where none can be written to, there is no I/O figure.
    """
    work = bytes(_CPU_BYTES)
    begin_ns = time.monotonic_ns()
    hashlib.sha256(work).digest()
    cpu_ns = time.monotonic_ns() - begin_ns
    return SentinelReading(cpu_ns=cpu_ns, io_ns=None if folder is None else _write_ns(folder))


def _write_ns(folder: Path) -> int | None:
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            begin_ns = time.monotonic_ns()
            file.write(bytes(_IO_BYTES))
            os.fdatasync(file.fileno())
            return time.monotonic_ns() - begin_ns
    except OSError:
        return None
