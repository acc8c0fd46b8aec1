"""Layers as tar files: made so that the same content gives the same bytes, and counted as results state them."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from coldstart.images import tars
from coldstart.model.image import GZIP, UNCOMPRESSED, ZSTD

# Every time stamp we write: 2025-01-01T00:00:00Z. Fixed, so that a layer's digest depends on its content alone
# (https://reproducible-builds.org/specs/source-date-epoch/).
EPOCH_S = 1735689600

GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952 §2.3.1
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # RFC 8878 §3.1.1
_BUFFER_BYTES = 1 << 20


class LayerCounts(NamedTuple):
    """Sum of a layer's file sizes, and the number of its tar members; ``None`` where we cannot read it.

    ``compression`` is one of `coldstart.model.image.COMPRESSIONS`.
    """

    compression: str
    unpacked_bytes: int | None = None
    files: int | None = None


def count(blob: io.RawIOBase | io.BufferedIOBase) -> LayerCounts:
    """Count a layer's blob, gzipped or plain; of a compression that Python does not read (zstd) only that is known.

    A hard link has no size of its own, a device or folder none either.

    Raises:
        tars.DAMAGED, OSError: the blob is damaged.
    """
    buffered = io.BufferedReader(blob, _BUFFER_BYTES)
    head = buffered.peek(4)[:4]
    if head == ZSTD_MAGIC:
        return LayerCounts(ZSTD)
    is_gzipped = head.startswith(GZIP_MAGIC)
    plain = gzip.GzipFile(fileobj=buffered) if is_gzipped else buffered
    unpacked_bytes = files = 0
    with tars.streamed(plain) as tar:
        for member in tars.members(tar):
            files += 1
            unpacked_bytes += member.size if member.isreg() else 0
    return LayerCounts(GZIP if is_gzipped else UNCOMPRESSED, unpacked_bytes, files)


class LayerWriter:
    """Writes one layer: root-owned names unless the member says otherwise, fixed times, no duplicate paths."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._seen: set[str] = set()

    def add(self, member: tarfile.TarInfo, content: IO[bytes] | None = None) -> None:
        """Add a member under its plain name; the second of one name is dropped, since Docker 20.10 refuses it."""
        member.name = plain_name(member.name)
        if not member.name or member.name in self._seen:
            return
        self._seen.add(member.name)
        if member.islnk():
            member.linkname = plain_name(member.linkname)
        member.mtime = min(int(member.mtime), EPOCH_S)
        member.pax_headers = {key: value for key, value in member.pax_headers.items() if key.startswith("SCHILY.")}
        self._tar.addfile(member, content)

    def add_file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """Add a regular file made here."""
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = len(content), mode, EPOCH_S
        self.add(member, io.BytesIO(content))

    def add_folder(self, name: str, mode: int = 0o755, owner: int = 0) -> None:
        """Add a folder, owned by user and group ``owner``."""
        member = tarfile.TarInfo(name)
        member.type, member.mode, member.mtime = tarfile.DIRTYPE, mode, EPOCH_S
        member.uid = member.gid = owner
        self.add(member)

    def add_link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.mode, member.mtime = tarfile.SYMTYPE, target, 0o777, EPOCH_S
        self.add(member)


@contextmanager
def new_layer(path: Path) -> Iterator[LayerWriter]:
    """A layer to fill, at ``path``."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        yield LayerWriter(tar)


def split(source: Path, sinks: Callable[[tarfile.TarInfo], LayerWriter | None]) -> None:
    """Copy a tar into layers: ``sinks`` names each member's, ``None`` drops it.

    A hard link goes where its target went, or it would point into another layer.
    """
    taken: dict[str, LayerWriter | None] = {}
    with tarfile.open(source) as tar:
        for member in tar:
            name = plain_name(member.name)
            sink = taken.get(plain_name(member.linkname)) if member.islnk() else sinks(member)
            taken[name] = sink
            if sink is not None:
                sink.add(member, tar.extractfile(member) if member.isreg() else None)


def plain_name(name: str) -> str:
    """A member's path without a leading ``./`` or slashes at either end; empty for the root."""
    return "/".join(part for part in name.split("/") if part not in {"", "."})
