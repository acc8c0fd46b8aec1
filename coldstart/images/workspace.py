"""Folders to make things in: beside their destination, renamed into place when whole, swept when their maker died."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from coldstart.errors import StorageError
from coldstart.private import why_not_private

WORK = "coldstart-work"
_OURS = re.compile(r"coldstart-([0-9]+)-")
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What the kernel says of a disk, a share of it or a file that is full."""


@contextmanager
def work_folder(cache: Path) -> Iterator[Path]:
    """A fresh folder below ``cache``, on its file system, removed at the end whatever happens.

    What processes that no longer exist left there is removed first; folders carry our name and their maker's pid.

    Raises:
        StorageError: the cache cannot be written; or root would work where another user could replace files.
    """
    work = cache / WORK
    if os.geteuid() == 0 and (why := why_not_private(Path(os.path.realpath(cache))) or why_not_private(work)):
        raise StorageError(why)
    if work.is_symlink():
        raise StorageError(f"{work} is a link. Remove it, or choose another COLDSTART_CACHE_DIR.")
    try:
        cache.mkdir(mode=0o755, parents=True, exist_ok=True)
        work.mkdir(mode=0o700, exist_ok=True)
        for left in work.iterdir():
            maker = _OURS.match(left.name)
            if maker and not Path(f"/proc/{maker[1]}").exists():
                shutil.rmtree(left, ignore_errors=True)  # which does not follow links
        folder = Path(tempfile.mkdtemp(prefix=f"coldstart-{os.getpid()}-", dir=work))
    except OSError as error:
        raise StorageError(f"{work}: {error.strerror}; choose another COLDSTART_CACHE_DIR.") from error
    try:
        with full_disk_named(work):
            yield folder
    except OSError as error:
        if error.errno is not None and error.filename is not None and str(folder) in str(error.filename):
            raise StorageError(f"{error.filename}: {error.strerror}.") from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def full_disk_named(folder: Path) -> Iterator[None]:
    """Say that the disk of ``folder`` is full, where writing below it fails for that.

    Raises:
        StorageError: no space, or none of this user's share, is left.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise StorageError(full_disk(folder, error.strerror)) from error


def full_disk(folder: Path, why: str | None) -> str:
    """The message for a full disk, with the remedy."""
    return f"{folder}: {why}. Make room there, or choose another COLDSTART_CACHE_DIR."


def put_in_place(made: Path, destination: Path) -> None:
    """Rename the finished folder ``made`` to ``destination``; an equal one that came first stays."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        made.rename(destination)
    except OSError:
        if not destination.is_dir():
            raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that readers, and a crash, see whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(content)
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise StorageError(f"{path}: {error.strerror}.") from error
