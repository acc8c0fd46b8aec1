"""A fixed piece of work, on a machine whose every step takes a time of its own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import IO

import pytest

from coldstart.model.sample import SentinelReading
from coldstart.testbed import sentinel as module
from coldstart.testbed.sentinel import read_sentinel
from coldstart.testbed.surroundings import Surroundings

OPEN_NS, WRITE_NS, SYNC_NS = 1_000_000_000, 10_000_000, 300_000_000
CPU_BYTES, IO_BYTES = 4 * 1024**2, 256 * 1024


class Machine:
    """A clock that moves a ns a byte hashed, and by the times above while a file is made, written and synced."""

    def __init__(self) -> None:
        self.at_ns = 5_000
        self.folders: list[Path] = []
        self.synced_bytes: list[int] = []
        self.names: list[str] = []
        self.is_full = False

    def monotonic_ns(self) -> int:
        """The time."""
        return self.at_ns

    def sha256(self, data: bytes) -> SimpleNamespace:
        """Hash them."""
        self.at_ns += len(data)
        return SimpleNamespace(digest=lambda: b"")

    def open(self, *, dir: Path, buffering: int) -> File:  # noqa: A002  as tempfile calls it
        """A file in the folder."""
        self.at_ns += OPEN_NS
        self.folders.append(dir)
        return File(self, tempfile.TemporaryFile(dir=dir, buffering=buffering))

    def fdatasync(self, descriptor: int) -> None:
        """Bring what is in the file to the disk, unless that is full."""
        self.at_ns += SYNC_NS
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.synced_bytes.append(os.fstat(descriptor).st_size)
        self.names += [path.name for path in self.folders[-1].iterdir()]


class File:
    """A file that takes its time to be written."""

    def __init__(self, machine: Machine, file: IO[bytes]) -> None:
        self._machine = machine
        self._file = file

    def __enter__(self) -> File:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, data: bytes) -> int:
        """Write them."""
        self._machine.at_ns += WRITE_NS
        return self._file.write(data)

    def fileno(self) -> int:
        """Its descriptor."""
        return self._file.fileno()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The machine whose sentinel is read."""
    machine = Machine()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic_ns=machine.monotonic_ns))
    monkeypatch.setattr(module, "hashlib", SimpleNamespace(sha256=machine.sha256))
    monkeypatch.setattr(module, "os", SimpleNamespace(fdatasync=machine.fdatasync))
    monkeypatch.setattr(module, "tempfile", SimpleNamespace(TemporaryFile=machine.open))
    return machine


@pytest.mark.usefixtures("machine")
def test_the_cpus_figure_is_the_time_of_hashing_four_mebibytes(tmp_path: Path) -> None:
    assert read_sentinel(tmp_path).cpu_ns == CPU_BYTES


@pytest.mark.usefixtures("machine")
def test_the_disks_figure_is_the_time_of_writing_and_syncing_and_not_of_making_the_file(tmp_path: Path) -> None:
    assert read_sentinel(tmp_path).io_ns == WRITE_NS + SYNC_NS


def test_all_that_is_synced_is_256_kibibytes(tmp_path: Path, machine: Machine) -> None:
    read_sentinel(tmp_path)
    assert machine.synced_bytes == [IO_BYTES]


def test_the_file_has_no_name_that_a_crash_could_leave_behind(tmp_path: Path, machine: Machine) -> None:
    read_sentinel(tmp_path)
    assert machine.synced_bytes
    assert machine.names == []


def test_without_a_folder_nothing_is_written(machine: Machine) -> None:
    assert read_sentinel(None) == SentinelReading(cpu_ns=CPU_BYTES, io_ns=None)
    assert machine.folders == []


@pytest.mark.usefixtures("machine")
def test_a_folder_that_is_gone_gives_no_figure_of_the_disk(tmp_path: Path) -> None:
    assert read_sentinel(tmp_path / "gone") == SentinelReading(cpu_ns=CPU_BYTES, io_ns=None)


def test_a_full_disk_gives_no_figure_of_the_disk(tmp_path: Path, machine: Machine) -> None:
    machine.is_full = True
    assert read_sentinel(tmp_path) == SentinelReading(cpu_ns=CPU_BYTES, io_ns=None)


def test_on_this_machine_both_take_some_time(tmp_path: Path) -> None:
    found = read_sentinel(tmp_path)
    assert found.cpu_ns > 0
    assert found.io_ns is not None
    assert found.io_ns > 0


def test_the_surroundings_sentinel_writes_to_the_folder_that_is_ours(tmp_path: Path, machine: Machine) -> None:
    ours, data = tmp_path / "ours", tmp_path / "data"
    for folder in (ours, data):
        folder.mkdir()
    found = Surroundings(data, None, scratch=ours).sentinel()
    assert found == SentinelReading(cpu_ns=CPU_BYTES, io_ns=WRITE_NS + SYNC_NS)
    assert machine.folders == [ours]


def test_nothing_is_written_to_the_data_of_an_engine_that_is_not_ours(tmp_path: Path, machine: Machine) -> None:
    assert Surroundings(tmp_path, None).sentinel().io_ns is None
    assert machine.folders == []
