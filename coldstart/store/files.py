"""Writing that survives a power cut, belongs to whoever asked for it, and fails with a message."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from coldstart.errors import StorageError
from coldstart.opening import open_folder


@contextlib.contextmanager
def storing(path: Path, remedy: str) -> Iterator[None]:
    """Turn a failure to write ``path`` into a `StorageError` that ends with ``remedy``."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}. {remedy}") from error


def make_folder(path: Path) -> None:
    """Create a folder and the missing ones above it, durably; a folder that is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    give_to_invoker(path)
    sync_folder(path.parent)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file, as `replacing` does.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, so that ``path`` holds all of it, or what it held before, whatever happens meanwhile.

    A path that is no file (a device, a pipe) cannot be replaced and is written to as it is.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    target = path.resolve()  # a link stays a link
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        give_to_invoker(partial)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def write_inside(folder: Path, name: str, data: bytes) -> None:
    """Write the whole file ``name``, a relative path such as ``figures/phases.svg``, in ``folder``, which is there.

    Folders in ``name`` are made. Whatever has the file's name is replaced, a link too: nothing below ``folder`` is
    written to through a link.

    Raises:
        UnsafeFileError: a folder in ``name`` is a link.
        OSError: it cannot be written; nothing is left behind.
    """
    *parents, last = name.split("/")
    with contextlib.ExitStack() as opened:

        def enter(path: str | Path, parent: int | None = None) -> int:
            descriptor = open_folder(path, parent=parent)
            opened.callback(os.close, descriptor)
            return descriptor

        inner = enter(folder)
        for part in parents:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=inner)
                _give(part, inner)
                os.fsync(inner)
            inner = enter(part, inner)
        _replace_in(inner, last, data)


def _replace_in(folder: int, name: str, data: bytes) -> None:
    partial = f".{name}.{os.getpid()}.partial"
    created = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(partial, created, 0o644, dir_fd=folder)
    try:
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
            give_open_file(descriptor)
        finally:
            os.close(descriptor)
        os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial, dir_fd=folder)
        raise
    os.fsync(folder)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte: a disk that fills up takes a part first and refuses the rest.

    Raises:
        OSError: it cannot be written; a part of it may have been.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(path: Path) -> None:
    """Make the folder's entries durable: a file's own fsync does not cover its name (fsync(2))."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def give_to_invoker(path: Path) -> None:
    """Under sudo, make what root just created at ``path`` the property of the user who typed the command."""
    _give(path)


def give_open_file(descriptor: int) -> None:
    """As `give_to_invoker`, for a file that is open: whatever else has its name by now stays as it is."""
    if invoker := _invoker():
        with contextlib.suppress(OSError):
            os.fchown(descriptor, *invoker)


def _give(path: str | Path, folder: int | None = None) -> None:
    if invoker := _invoker():
        # A file system without owners (vfat on a stick) refuses, and there is nobody to give it to.
        with contextlib.suppress(OSError):
            os.chown(path, *invoker, dir_fd=folder, follow_symlinks=False)


def _invoker() -> tuple[int, int] | None:
    """The user and group who called sudo; ``None`` if nobody did."""
    user, group = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() != 0 or not (user.isdecimal() and group.isdecimal()):
        return None
    return int(user), int(group)
