"""The file that is carried: a plain tar with every part's checksum, read with nothing but Python's own library.

Its first member is ``manifest.json``, its second that file's SHA-256, then come the parts as the manifest lists them:
``blobs/sha256/…`` (of images, by digest), ``wheels/…`` and ``debs/…`` (of a kit). A fresh board reads a kit before it
has any package, so this module imports none.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from coldstart.errors import InputFileError, StorageError
from coldstart.images import tars

FORMAT = "coldstart bundle"
VERSION = 1

BLOBS, WHEELS, DEBS = "blobs/sha256", "wheels", "debs"

_MANIFEST, _MANIFEST_SUM = "manifest.json", "manifest.sha256"
_MANIFEST_MAX_BYTES = 16 << 20
_WORD = re.compile(r"[\w./+~-]{1,64}", re.ASCII)  # versions, platforms, architectures, releases
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PART_NAME = re.compile(r"(blobs/sha256/[0-9a-f]{64}|wheels/\w[\w.+-]*|debs/\w[\w.+~-]*)", re.ASCII)
_EPOCH_S = 1735689600  # as in layers: the same content gives the same bytes
_BUFFER_BYTES = 1 << 20
_AGAIN = "Copy it again, or save it again."


@dataclass(frozen=True, kw_only=True)
class Part:
    """A member: its path in the file, which no other has, its SHA-256 in hexadecimal and its size."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Target:
    """The boards a kit is for: Debian's architecture and release, and that release's Python (``3.11``)."""

    architecture: str
    release: str
    python: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a bundle says of itself.

    ``coldstart`` is the version that saved it, ``platform`` Docker's name of what its images and packages run on,
    ``images`` and ``bases`` are records of `coldstart.kit.images`; ``target`` is ``None`` for a file of images alone.
    """

    coldstart: str
    platform: str
    images: tuple[Mapping[str, Any], ...] = ()
    bases: tuple[Mapping[str, Any], ...] = ()
    target: Target | None = None
    parts: tuple[Part, ...] = ()

    def of(self, kind: str) -> list[Part]:
        """The parts below the folder ``kind``."""
        return [part for part in self.parts if part.name.startswith(f"{kind}/")]


def write(path: Path, manifest: Manifest, folder: Path) -> Manifest:
    """Write every file below ``folder`` as a part, and the manifest before them; a reader sees all of it or nothing.

    Raises:
        StorageError: it cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    whole = replace(manifest, parts=tuple(_part(folder, file) for file in files))
    said = {"format": FORMAT, "version": VERSION, **asdict(whole)}
    encoded = json.dumps(said, indent=1, sort_keys=True).encode()
    try:
        try:
            with tarfile.open(fresh, "w", format=tarfile.PAX_FORMAT) as tar:
                _add(tar, _MANIFEST, io.BytesIO(encoded), len(encoded))
                checksum = hashlib.sha256(encoded).hexdigest().encode()
                _add(tar, _MANIFEST_SUM, io.BytesIO(checksum), len(checksum))
                for part, file in zip(whole.parts, files, strict=True):
                    with file.open("rb") as content:
                        _add(tar, part.name, content, part.size_bytes)
            fresh.replace(path)
        finally:
            with suppress(OSError):
                fresh.unlink()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}.") from error
    return whole


def read_manifest(path: Path) -> Manifest:
    """What the file says of itself, proved by its checksum; of the parts nothing is read.

    Raises:
        InputFileError: it cannot be read, is no bundle, is damaged, or newer than this coldstart.
    """
    with _opened(path) as tar:
        return _manifest(path, tar, tars.members(tar))


def unpack(path: Path, folder: Path, keep: Sequence[str]) -> Manifest:
    """Check every part, and put those below ``keep`` (`BLOBS`, `WHEELS`, `DEBS`) into ``folder``, under their names.

    Raises:
        InputFileError: as `read_manifest`, and for a part that is damaged, missing, repeated or not listed.
        StorageError: ``folder`` cannot be written.
    """
    with _opened(path) as tar:
        members = tars.members(tar)
        manifest = _manifest(path, tar, members)
        awaited = {part.name: part for part in manifest.parts}
        for member in members:
            part = awaited.pop(member.name, None)
            if part is None:
                raise InputFileError(path, f"holds {member.name!r}, which its manifest does not list.", _AGAIN)
            kept = folder / part.name if part.name.startswith(tuple(f"{kind}/" for kind in keep)) else None
            _check(path, tar, member, part, kept)
    if awaited:
        names = sorted(awaited)
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise InputFileError(path, f"is damaged or cut short: {names[0]}{more} missing.", _AGAIN)
    return manifest


def _check(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, part: Part, kept: Path | None) -> None:
    """Read one part to its end, into ``kept`` if that is to be kept."""
    content = tar.extractfile(member) if member.type == tarfile.REGTYPE else None
    if content is None or member.size != part.size_bytes:
        raise InputFileError(path, f"is damaged: {part.name} is not what was saved.", _AGAIN)
    digest = hashlib.sha256()
    try:
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
        with Path(os.devnull if kept is None else kept).open("wb") as target:
            while chunk := content.read(_BUFFER_BYTES):
                digest.update(chunk)
                target.write(chunk)
    except OSError as error:
        raise StorageError(f"{kept or path}: {error.strerror}.") from error
    if digest.hexdigest() != part.sha256:
        raise InputFileError(path, f"is damaged: {part.name} is not what was saved.", _AGAIN)


def _manifest(path: Path, tar: tarfile.TarFile, members: Iterator[tarfile.TarInfo]) -> Manifest:
    """The first two members, checked against each other."""
    try:
        encoded = _small(tar, members, _MANIFEST)
        said = json.loads(encoded) if encoded is not None else None
        checksum = _small(tar, members, _MANIFEST_SUM)
    except tars.DAMAGED as error:
        raise InputFileError(path, f"is damaged: its manifest cannot be read ({error}).", _AGAIN) from error
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise InputFileError(path, "is not a file of `coldstart images save`.")
    if checksum != hashlib.sha256(encoded or b"").hexdigest().encode():
        raise InputFileError(path, "is damaged: its manifest is not what was saved.", _AGAIN)
    if said.get("version") != VERSION:
        raise InputFileError(
            path,
            f"has format {said.get('version')!r:.20}, of coldstart {said.get('coldstart')!s:.20}; "
            f"this one reads format {VERSION}.",
            "Use the same version of coldstart on both machines.",
        )
    try:
        return _decoded(said)
    except tars.DAMAGED as error:
        raise InputFileError(path, f"is damaged: its manifest lacks or misstates {error}.", _AGAIN) from error


def _decoded(said: Mapping[str, Any]) -> Manifest:
    parts = tuple(_decoded_part(part) for part in _list_of_records(said, "parts"))
    if len({part.name for part in parts}) != len(parts):
        raise ValueError("parts")
    target = said["target"]
    return Manifest(
        coldstart=_word(said, "coldstart"),
        platform=_word(said, "platform"),
        images=_list_of_records(said, "images"),
        bases=_list_of_records(said, "bases"),
        target=None if target is None else _decoded_target(target),
        parts=parts,
    )


def _decoded_part(said: Mapping[str, Any]) -> Part:
    if set(said) != {"name", "sha256", "size_bytes"}:
        raise ValueError("parts")
    name, sha256, size_bytes = said["name"], said["sha256"], said["size_bytes"]
    if not isinstance(name, str) or not _PART_NAME.fullmatch(name):
        raise ValueError(f"a part's name {name!r:.80}")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError(f"the checksum of {name}")
    if type(size_bytes) is not int or size_bytes < 0:
        raise ValueError(f"the size of {name}")
    if name.startswith(f"{BLOBS}/") and not name.endswith(sha256):
        raise ValueError(name)
    return Part(name=name, sha256=sha256, size_bytes=size_bytes)


def _decoded_target(said: object) -> Target:
    if not isinstance(said, dict) or set(said) != {"architecture", "release", "python"}:
        raise ValueError("target")
    return Target(
        architecture=_word(said, "architecture"), release=_word(said, "release"), python=_word(said, "python")
    )


def _list_of_records(said: Mapping[str, Any], key: str) -> tuple[Mapping[str, Any], ...]:
    found = said[key]
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError(key)
    return tuple(found)


def _word(said: Mapping[str, Any], key: str) -> str:
    found = said[key]
    if not isinstance(found, str) or not _WORD.fullmatch(found):
        raise ValueError(key)
    return found


def _small(tar: tarfile.TarFile, members: Iterator[tarfile.TarInfo], name: str) -> bytes | None:
    """The next member's content if it is ``name``."""
    member = next(members, None)
    if member is None or member.name != name or not member.isreg() or member.size > _MANIFEST_MAX_BYTES:
        return None
    content = tar.extractfile(member)
    return None if content is None else content.read()


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    """The file, with one boundary for all that reading it can raise."""
    try:
        tar = tars.opened(path)
    except tars.DAMAGED as error:
        raise InputFileError(path, f"is not a file of `coldstart images save` ({error}).") from error
    except OSError as error:
        raise InputFileError(path, f"cannot be read ({error.strerror}).") from error
    with tar:
        try:
            yield tar
        except tars.DAMAGED as error:
            raise InputFileError(path, f"is damaged or cut short ({error}).", _AGAIN) from error
        except OSError as error:
            raise InputFileError(path, f"cannot be read ({error.strerror or error}).") from error


def _part(folder: Path, file: Path) -> Part:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return Part(name=file.relative_to(folder).as_posix(), sha256=digest, size_bytes=file.stat().st_size)


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size_bytes: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size_bytes, _EPOCH_S, 0o644
    tar.addfile(member, content)
