"""Tar files from strangers, read without extracting, following or trusting anything in them.

Python's own library only: a fresh board reads a kit before it has any package.
"""

from __future__ import annotations

import errno
import lzma
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, Self

DAMAGED = (
    tarfile.TarError,
    EOFError,
    ValueError,  # bad numbers, bad UTF-8, bad JSON
    ArithmeticError,
    LookupError,
    RecursionError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
)
"""What Python's readers raise for content that is damaged or made up."""

_HEADER_MAX_BYTES = 1 << 20  # of long names and extended headers, which tarfile reads into memory whole
_MEMBER_MAX_BYTES = 1 << 50  # no disk has a petabyte, and beyond 2 to the 63 no file can be sought
_READS_AT_END = 32  # tarfile reads once or twice where a stream has ended, to notice
_HEADERS = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}


class Readable(Protocol):
    """What a tar is read from."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""


class _Member(tarfile.TarInfo):
    """A header that is refused where its size would make tarfile read everything, or go backwards for ever."""

    def _proc_member(self, tar: tarfile.TarFile) -> Self:
        if not 0 <= self.size <= (_HEADER_MAX_BYTES if self.type in _HEADERS else _MEMBER_MAX_BYTES):
            raise tarfile.ReadError(f"a header says that it has {self.size} bytes")
        processed: Self = super()._proc_member(tar)  # type: ignore[misc]  # tarfile's hook, which typeshed leaves out
        return processed


def opened(path: Path) -> tarfile.TarFile:
    """An uncompressed tar, to be read with `members`.

    Raises:
        DAMAGED: it is not one.
        OSError: it cannot be read.
    """
    return tarfile.open(path, "r:", tarinfo=_Member)


class _Stream:
    """A stream that cannot be read for ever behind its end: tarfile skips a member that way, whatever size it says."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._reads_at_end = 0

    def read(self, size: int) -> bytes:
        content = self._stream.read(size)
        if not content:
            self._reads_at_end += 1
            if self._reads_at_end > _READS_AT_END:
                raise EOFError("unexpected end of data")
        return content


def streamed(stream: Readable) -> tarfile.TarFile:
    """The same, read once from its beginning to its end."""
    return tarfile.open(fileobj=_Stream(stream), mode="r|", tarinfo=_Member)  # type: ignore[call-overload,no-any-return]


def members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members in their order; each has to lie behind the one before. None of them is kept.

    Raises:
        DAMAGED: a header that cannot be.
    """
    while (member := _next(tar)) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # of a tar with millions of members, all the memory
        if not 0 <= member.size <= _MEMBER_MAX_BYTES or tar.offset <= member.offset:
            raise tarfile.ReadError(f"{member.name!r} says that it has {member.size} bytes")
        yield member


def _next(tar: tarfile.TarFile) -> tarfile.TarInfo | None:
    try:
        return tar.next()
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise tarfile.ReadError("a member would lie where no file reaches") from error  # how file systems refuse a seek
