"""One writer a run."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self

from coldstart.errors import StorageError
from coldstart.opening import open_folder, open_regular
from coldstart.store.files import give_open_file

LOCK_NAME = ".lock"


class RunLock:
    """An exclusive lock on a run directory, held until `release` or the death of the process.

    The lock is the kernel's (flock on a file in the directory, which holds the owner's process ID), so a killed run
    leaves nothing to clean up.
    """

    def __init__(self, folder: int, descriptor: int) -> None:
        self._folder = folder
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, run_dir: Path) -> Self:
        """Take the lock.

        Raises:
            StorageError: another process has it; the message names it.
            UnsafeFileError: the lock's name is that of a link or of something else that is not our file.
            OSError: the directory cannot be written to.
        """
        folder = open_folder(run_dir)
        try:
            return cls(folder, _locked(run_dir, folder))
        except BaseException:
            os.close(folder)
            raise

    def release(self) -> None:
        """Give the lock back and remove its file."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(LOCK_NAME, dir_fd=self._folder)
        os.close(self._descriptor)
        os.close(self._folder)


def _locked(run_dir: Path, folder: int) -> int:
    """The lock's file, open and locked, in the folder that is open as ``folder``."""
    while True:
        # Readable by its owner only: who can open a file can lock it, and keep us waiting.
        descriptor = open_regular(run_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600, folder=folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The owner before us removes the file as it lets go: a lock on a removed file locks nothing.
            if _is_in(descriptor, folder):
                os.fchmod(descriptor, 0o600)
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                give_open_file(descriptor)
                return descriptor
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


def _is_in(descriptor: int, folder: int) -> bool:
    try:
        found = os.stat(LOCK_NAME, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), found)
