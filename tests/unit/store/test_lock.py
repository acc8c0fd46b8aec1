"""One writer a run, and none that is dead."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coldstart.errors import StorageError
from coldstart.store.lock import LOCK_NAME, RunLock

HOLD_UNTIL_KILLED = """
import sys, time
from pathlib import Path
from coldstart.store.lock import RunLock
lock = RunLock.acquire(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    RunLock.acquire(tmp_path)
    with pytest.raises(StorageError, match=f"process {os.getpid()} is writing to this run"):
        RunLock.acquire(tmp_path)


def test_a_released_lock_can_be_taken(tmp_path: Path) -> None:
    RunLock.acquire(tmp_path).release()
    RunLock.acquire(tmp_path).release()


def test_a_released_lock_leaves_no_file(tmp_path: Path) -> None:
    RunLock.acquire(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_of_the_dead_does_not_hold(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD_UNTIL_KILLED, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    holder.kill()
    holder.communicate()
    RunLock.acquire(tmp_path).release()


def test_a_lock_of_the_living_holds_across_processes(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD_UNTIL_KILLED, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        with pytest.raises(StorageError, match=f"process {holder.pid} is writing"):
            RunLock.acquire(tmp_path)
    finally:
        holder.kill()
        holder.communicate()


def test_a_lock_on_a_file_that_was_just_removed_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first owner lets go between our opening its file and our locking it."""
    import fcntl  # noqa: PLC0415  patched below

    first = RunLock.acquire(tmp_path)
    flock, calls = fcntl.flock, []

    def let_go_first(descriptor: int, operation: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            first.release()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", let_go_first)
    RunLock.acquire(tmp_path)
    assert (len(calls), (tmp_path / LOCK_NAME).exists()) == (2, True)


def test_a_folder_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        RunLock.acquire(tmp_path / "missing")
