"""A run directory as it is written: the manifest, then a line a trial, each on the disk before the next begins."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from coldstart.errors import CorruptRunError, StorageError, UsageError
from coldstart.model.run import SCHEMA_VERSION, RunManifest
from coldstart.model.sample import Sample
from coldstart.opening import open_regular
from coldstart.store.files import (
    give_open_file,
    give_to_invoker,
    make_folder,
    storing,
    sync_folder,
    write_all,
    write_inside,
)
from coldstart.store.lines import LineChecker, NotJsonError
from coldstart.store.lock import LOCK_NAME, RunLock
from coldstart.store.reader import MANIFEST_NAME, SAMPLES_NAME, StoredRun, read_manifest, read_samples, repairs

_OTHER_PLACE = "Choose another place with --results, or make room and try again."


class RunWriter:
    """The one writer of a run; a context manager.

    ``path`` is the run directory; ``stored`` what was in it when it was opened: no samples for a new run.
    """

    def __init__(self, stored: StoredRun, descriptor: int, lock: RunLock) -> None:
        self.path = stored.path
        self.stored = stored
        self._kept = len(stored.samples)
        self._checker = LineChecker(stored.path / SAMPLES_NAME, stored.manifest.run_id, seen=stored.samples)
        self._descriptor = descriptor
        self._lock = lock
        self._is_torn = False

    @classmethod
    def create(cls, results_dir: Path, manifest: RunManifest) -> Self:
        """Begin a run in a new folder of ``results_dir``, which is made if missing.

        Raises:
            StorageError: it cannot be written, or is there already; nothing is left behind.
        """
        path = results_dir / manifest.run_id
        with storing(path, _OTHER_PLACE):
            make_folder(results_dir)
            path.mkdir()
            with contextlib.ExitStack() as undo:
                undo.callback(_remove, path)
                give_to_invoker(path)
                lock = RunLock.acquire(path)
                undo.callback(lock.release)
                descriptor = _open_samples(path, os.O_CREAT | os.O_EXCL)
                undo.callback(os.close, descriptor)
                # Last, since its presence is what makes the folder a run.
                write_inside(path, MANIFEST_NAME, msgspec.json.format(_encode(manifest)) + b"\n")
                sync_folder(results_dir)
                undo.pop_all()
        return cls(StoredRun(path=path, manifest=manifest, samples=()), descriptor, lock)

    @classmethod
    def resume(cls, run_dir: Path) -> Self:
        """Go on with a run: its samples are in ``stored``, a torn last line is removed from the file.

        Raises:
            CorruptRunError: it cannot be trusted.
            StorageError: it cannot be written, or another process writes to it.
            UnsafeFileError: one of its files is a link or something else that is not a file of its own.
            UsageError: it was begun under an older schema.
        """
        remedy = "What was measured before is kept."
        with contextlib.ExitStack() as undo:
            manifest, stored_version = read_manifest(run_dir)  # before the lock: a foreign folder is left alone
            if stored_version != SCHEMA_VERSION:
                raise UsageError(
                    f"{run_dir}: begun by coldstart {manifest.coldstart_version}, under an older schema. "
                    "Go on with that version, or begin a new run."
                )
            with storing(run_dir, remedy):
                lock = RunLock.acquire(run_dir)
            undo.callback(lock.release)
            file = read_samples(run_dir, manifest.run_id)
            with storing(run_dir / SAMPLES_NAME, remedy):
                descriptor = _open_samples(run_dir, 0)
                undo.callback(os.close, descriptor)
                if file.repaired is not None:
                    _end_after(descriptor, file.good_bytes)
            repaired = repairs(run_dir, file)
            undo.pop_all()
        stored = StoredRun(path=run_dir, manifest=manifest, samples=file.samples, repaired=repaired)
        return cls(stored, descriptor, lock)

    def append(self, sample: Sample) -> None:
        """Add a sample; when this returns it is on the disk.

        Raises:
            StorageError: it is not; what was written before is, and the file still ends with a whole line.
            ValueError: a sample that could not be read back: of another run, of a trial that is stored already, with
                phases that do not add up.
        """
        path = self.path / SAMPLES_NAME
        if self._is_torn:
            raise StorageError(f"{path}: ends in a torn line. {self._how_to_go_on()}")
        line = _encode(sample) + b"\n"
        try:
            self._checker.sample(line, self._kept + 1)
        except (CorruptRunError, NotJsonError) as error:
            raise ValueError(f"a sample that could not be read back is not stored: {error}") from error
        with storing(path, self._how_to_go_on()):
            end = os.fstat(self._descriptor).st_size
            try:
                write_all(self._descriptor, line)
                os.fsync(self._descriptor)
            except OSError:
                self._take_back(end)
                self._checker.forget(sample)
                raise
        if os.fstat(self._descriptor).st_nlink == 0:
            raise StorageError(f"{path}: was removed while measuring; its samples are lost. Begin a new run.")
        self._kept += 1

    def close(self) -> None:
        """Close the file and let go of the lock; harmless when done before."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _take_back(self, end: int) -> None:
        try:
            os.ftruncate(self._descriptor, end)
        except OSError:
            self._is_torn = True  # the reader leaves a torn last line out; another line after it would be damage

    def _how_to_go_on(self) -> str:
        return (
            f"Its first {self._kept} samples are kept; make room and continue with: coldstart run --resume {self.path}"
        )


def _open_samples(run_dir: Path, flags: int) -> int:
    descriptor = open_regular(run_dir / SAMPLES_NAME, os.O_RDWR | os.O_APPEND | flags)
    if flags & os.O_CREAT:
        give_open_file(descriptor)
    return descriptor


def _end_after(descriptor: int, good_bytes: int) -> None:
    os.ftruncate(descriptor, good_bytes)
    if good_bytes and os.pread(descriptor, 1, good_bytes - 1) != b"\n":
        write_all(descriptor, b"\n")
    os.fsync(descriptor)


def _remove(run_dir: Path) -> None:
    # Only what `create` makes: whatever else is there is not ours, and keeps the folder.
    for name in (MANIFEST_NAME, SAMPLES_NAME, LOCK_NAME):
        (run_dir / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        run_dir.rmdir()


def _encode(record: RunManifest | Sample) -> bytes:
    try:
        return msgspec.json.encode(record)
    except UnicodeEncodeError:
        # A byte of an argument or an output that is no UTF-8, carried as a surrogate: JSON shows it as \xNN.
        return msgspec.json.encode(_shown(msgspec.to_builtins(record)))


def _shown(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        case dict():
            return {key: _shown(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_shown(inner) for inner in value]
    return value
