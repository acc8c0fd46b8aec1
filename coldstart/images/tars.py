"""Tar files from strangers, read without extracting, following or trusting anything in them.

Python's own library only: a fresh board reads a kit before it has any package.
"""

from __future__ import annotations

import lzma
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Self

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
_HEADERS = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}


class _Member(tarfile.TarInfo):
    """A header that is refused where its size would make tarfile read everything, or go backwards for ever."""

    def _proc_member(self, tar: tarfile.TarFile) -> Self:
        if self.size < 0 or (self.type in _HEADERS and self.size > _HEADER_MAX_BYTES):
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


def streamed(stream: object) -> tarfile.TarFile:
    """The same, read once from its beginning to its end."""
    return tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member)  # type: ignore[call-overload,no-any-return]


def members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members in their order; each has to lie behind the one before. None of them is kept.

    Raises:
        DAMAGED: a header that cannot be.
    """
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # of a tar with millions of members, all the memory
        if member.size < 0 or tar.offset <= member.offset:
            raise tarfile.ReadError(f"{member.name!r} says that it has {member.size} bytes")
        yield member
