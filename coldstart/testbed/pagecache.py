"""The pages of an image's layers: put out of memory, and counted."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from coldstart.errors import TestbedError

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PROT_NONE, _MAP_SHARED = 0, 1  # sys/mman.h
_MAP_FAILED = ctypes.c_void_p(-1).value
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
_libc.syncfs.argtypes = [ctypes.c_int]


class Eviction(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked to leave memory: distinct regular files and their sizes."""

    files: int
    bytes: int


def evict(paths: Iterable[Path]) -> Eviction:
    """Write back and drop the cached pages of every regular file below ``paths``, and of no other.

    Dirty pages cannot be dropped (posix_fadvise(2)), so the filesystems are written back first. Whether the pages
    are gone is for `resident_bytes` to say: the kernel keeps those that are mapped or locked.

    Raises:
        TestbedError: a path cannot be read.
    """
    folders = tuple(paths)
    _write_back(folders)
    count = size = 0
    for descriptor, status in _files(folders):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        count += 1
        size += status.st_size
    return Eviction(files=count, bytes=size)


def resident_bytes(paths: Iterable[Path]) -> int:
    """Bytes, in whole pages, that memory holds of the regular files below ``paths`` (mincore(2)).

    Raises:
        TestbedError: a path cannot be read.
    """
    pages = 0
    vector = ctypes.create_string_buffer(1)
    for descriptor, status in _files(paths):
        if status.st_size == 0:
            continue
        needed = -(-status.st_size // PAGE_BYTES)
        if needed > len(vector):
            vector = ctypes.create_string_buffer(2 * needed)
        pages += _resident_pages(descriptor, status.st_size, vector)
    return pages * PAGE_BYTES


def _resident_pages(descriptor: int, size: int, vector: ctypes.Array[ctypes.c_char]) -> int:
    address = _libc.mmap(None, size, _PROT_NONE, _MAP_SHARED, descriptor, 0)
    if address in {None, _MAP_FAILED}:
        code = ctypes.get_errno()
        raise TestbedError(f"mmap of a layer's file: {os.strerror(code)}")
    try:
        if _libc.mincore(address, size, vector) != 0:
            code = ctypes.get_errno()
            raise TestbedError(f"mincore of a layer's file: {os.strerror(code)}")
    finally:
        _libc.munmap(address, size)
    # Only the lowest bit is defined; the rest has been 0 on every kernel so far.
    return ctypes.string_at(vector, -(-size // PAGE_BYTES)).translate(_LOWEST_BIT).count(1)


_LOWEST_BIT = bytes(value & 1 for value in range(256))


def _files(paths: Iterable[Path]) -> Iterator[tuple[int, os.stat_result]]:
    """Every distinct regular file below ``paths``, open for reading, and its status."""
    seen: set[tuple[int, int]] = set()
    for path in _regular(paths):
        try:
            descriptor = _open(path)
        except FileNotFoundError:
            continue  # removed meanwhile
        except OSError as error:
            raise TestbedError(f"{path}: {error.strerror}. Layers can only be read as root.") from error
        try:
            status = os.fstat(descriptor)
            inode = (status.st_dev, status.st_ino)
            if stat.S_ISREG(status.st_mode) and inode not in seen:
                seen.add(inode)
                yield descriptor, status
        finally:
            os.close(descriptor)


def _regular(paths: Iterable[Path]) -> Iterator[str]:
    folders = []
    for path in paths:
        if path.is_file() and not path.is_symlink():
            yield str(path)
        else:
            folders.append(str(path))
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield entry.path
        except OSError as error:
            raise TestbedError(f"{error.filename}: {error.strerror}. Layers can only be read as root.") from error


def _open(path: str) -> int:
    try:
        return os.open(path, _OPEN | os.O_NOATIME)
    except PermissionError:  # O_NOATIME is for a file's owner
        return os.open(path, _OPEN)


def _write_back(paths: Iterable[Path]) -> None:
    """One syncfs(2) a filesystem costs a journal commit; an fdatasync(2) a file would cost one for each."""
    done: set[int] = set()
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise TestbedError(f"{path}: {error.strerror}. Layers can only be read as root.") from error
        try:
            device = os.fstat(descriptor).st_dev
            if device not in done and _libc.syncfs(descriptor) != 0:
                code = ctypes.get_errno()
                raise TestbedError(f"syncfs of {path}: {os.strerror(code)}")
            done.add(device)
        finally:
            os.close(descriptor)
