"""Files at names that a stranger may have prepared: opened only if they are regular files of their own.

A run folder, a results folder or a state folder can come from somebody else, and root opens what is in it. A link, a
second name of another file, a pipe or a device there would make root read, wait for or overwrite something else.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from coldstart.errors import UnsafeFileError

_ALWAYS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20
RECORD_BYTES = 256 << 20
"""The most that a record which is read whole may have: far more than any that was ever written."""


def open_regular(path: Path, flags: int, mode: int = 0o644, *, folder: int | None = None) -> int:
    """A descriptor of the regular file ``path``; with ``folder``, a descriptor of its folder, only the name counts.

    ``flags`` and ``mode`` are those of open(2), without O_TRUNC: a file is looked at before it is changed.

    Raises:
        UnsafeFileError: it is a link, a pipe, a device or a folder; or it is to be written and has a second name.
        OSError: it cannot be opened.
    """
    assert not flags & os.O_TRUNC, "a file is looked at before it is emptied"
    target = path if folder is None else path.name
    try:
        found = os.stat(target, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        pass  # to be created, or open(2) says it
    else:
        _check(path, found, flags)
    try:
        descriptor = os.open(target, flags | _ALWAYS, mode, dir_fd=folder)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # it became a link, or a pipe, since we looked
            raise UnsafeFileError(path, "is a link or a pipe") from error
        raise
    try:
        _check(path, os.fstat(descriptor), flags)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_regular(path: Path, most_bytes: int = RECORD_BYTES) -> bytes:
    """The whole content of a regular file.

    Raises:
        UnsafeFileError: as `open_regular`, or it has more than ``most_bytes``.
        OSError: it cannot be read.
    """
    descriptor = open_regular(path, os.O_RDONLY)
    try:
        if os.fstat(descriptor).st_size > most_bytes:
            raise UnsafeFileError(path, f"has more than {most_bytes} bytes")
        parts = []
        while part := os.read(descriptor, _CHUNK_BYTES):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)


def open_folder(path: str | Path, *, parent: int | None = None) -> int:
    """A descriptor of a folder; below ``parent``, a folder's descriptor, a link is refused.

    Raises:
        UnsafeFileError: ``path`` below ``parent`` is a link.
        OSError: it is not a folder, or cannot be opened.
    """
    own = os.O_NOFOLLOW if parent is not None else 0
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | own, dir_fd=parent)
    except OSError as error:
        if parent is not None and error.errno in {errno.ELOOP, errno.ENOTDIR} and _is_link(path, parent):
            raise UnsafeFileError(path, "is a link") from error
        raise


def _is_link(name: str | Path, folder: int) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _check(path: Path, found: os.stat_result, flags: int) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise UnsafeFileError(path, "is a link")
    if not stat.S_ISREG(found.st_mode):
        raise UnsafeFileError(path, "is not a regular file")
    if flags & (os.O_WRONLY | os.O_RDWR) and found.st_nlink > 1:
        raise UnsafeFileError(path, "is a file that has a second name (a hard link)")


def exists(path: str | Path) -> bool:
    """Whether there is anything; nothing has a name that no file can have, such as one that is too long."""
    return os.path.exists(path)  # noqa: PTH110  Path's own raises on names too long


def is_file(path: str | Path) -> bool:
    """Whether there is a regular file, or a link to one; as `exists` of names."""
    return os.path.isfile(path)  # noqa: PTH113  as above


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder, or a link to one; as `exists` of names."""
    return os.path.isdir(path)  # noqa: PTH112  as above
