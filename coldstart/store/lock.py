"""One writer a run."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from coldstart.errors import StorageError
from coldstart.store.files import give_to_invoker

LOCK_NAME = ".lock"


class RunLock:
    """An exclusive lock on a run directory, held until `release` or the death of the process.

    The lock is the kernel's (flock on a file in the directory, which holds the owner's process ID), so a killed run
    leaves nothing to clean up.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, run_dir: Path) -> Self:
        """Take the lock.

        Raises:
            StorageError: another process has it; the message names it.
            OSError: the directory cannot be written to.
        """
        path = run_dir / LOCK_NAME
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The owner before us removes the file as it lets go: a lock on a removed file is no lock.
                if _is_at(descriptor, path):
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                    give_to_invoker(path)
                    return cls(path, descriptor)
                os.close(descriptor)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
                os.close(descriptor)
                raise StorageError(
                    f"{run_dir}: process {holder or 'unknown'} is writing to this run. Wait for it to end, or stop it."
                ) from error
            except BaseException:
                os.close(descriptor)
                raise

    def release(self) -> None:
        """Give the lock back and remove its file."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
