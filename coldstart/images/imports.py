"""An archive or layout of an image as a folder that skopeo copies from (its ``dir:`` transport), digests unchanged.

An OCI layout, in a folder or a tar, keeps its manifest and its layers as they are compressed. ``docker save`` writes
layers without compression, and they are gzipped, as a push to a registry does; what newer Dockers save is both at once,
and is taken as a layout where its layers are compressed.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import msgspec

from coldstart.errors import InputFileError
from coldstart.images import oci, processes, tars
from coldstart.images.layers import GZIP_MAGIC, ZSTD_MAGIC, plain_name
from coldstart.images.workspace import full_disk_named

DIR_VERSION = "Directory Transport Version: 1.1\n"  # containers/image, directory/directory_dest.go
SILENCE_S = 30.0  # of skopeo: a registry that says nothing for so long is not going to

_MEMBERS_MAX = 20_000  # an image of a thousand layers has a few thousand
_TAR_MAGIC, _TAR_MAGIC_AT = b"ustar", 257  # POSIX.1-1988 and GNU alike
_BUFFER_BYTES = 1 << 20
_REPACK = "Write it anew with docker save or skopeo copy."
_PACKED = ((GZIP_MAGIC, gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))


class _Saved(msgspec.Struct, frozen=True, rename="pascal"):
    """An image in the manifest.json of ``docker save``."""

    config: str
    layers: tuple[str, ...]
    repo_tags: tuple[str, ...] | None = None


class _Store(Protocol):
    """What holds the files of a layout."""

    def read(self, name: str, limit: int) -> bytes:
        """A file's content, of at most ``limit`` bytes."""

    def place(self, name: str, target: Path) -> None:
        """Put a file, of any size, at ``target``."""


def looks_like_an_archive(path: Path) -> bool:
    """Whether a file begins as a tar or a compressed one does; what cannot be read does not."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_TAR_MAGIC_AT + len(_TAR_MAGIC))
    except OSError:
        return False
    return head.startswith((*(magic for magic, _ in _PACKED), ZSTD_MAGIC)) or head.endswith(_TAR_MAGIC)


def bring(path: Path, work: Path, where: object, platform: str, *, is_asked: bool) -> Path:
    """The one image of an archive or layout for ``platform`` as a folder of skopeo's in ``work``.

    Raises:
        InputFileError: it is neither, is damaged, holds none or several for the platform, or something else.
        StorageError: ``work`` cannot be written.
    """
    if path.is_dir():
        if not (path / "oci-layout").is_file():
            raise InputFileError(where, "is a folder, but not an OCI layout (no file oci-layout in it).")
        return _from_layout(_Folder(path, where), work, where, platform, is_asked=is_asked)
    with _damage_named(where), full_disk_named(work):
        plain = _unpacked(path, work, where)
        with tars.opened(plain) as tar:
            archive = _Tar(tar, where)
            saved = _saved_images(archive, where)
            if archive.has("oci-layout") and archive.has("index.json"):
                entries = _index_of(archive, where)
                if len(saved) != 1 or _is_compressed(archive, entries, where, platform, is_asked=is_asked):
                    return _from_layout(archive, work, where, platform, is_asked=is_asked)
            if len(saved) > 1:
                names = ", ".join((one.repo_tags or ("without a name",))[0] for one in saved)
                what = f"holds {len(saved)} images: {names}."
                raise InputFileError(where, what, "Save the one to measure alone (docker save NAME).")
            if not saved:
                what = "is neither a docker archive (docker save) nor an OCI archive."
                raise InputFileError(where, what)
            oci.decoded(archive.read(saved[0].config, oci.CONFIG_MAX_BYTES), oci.Config, where, "its configuration")
            source = archive.with_plain_names(plain, work)
        return _from_docker_archive(source, work, where)


def push(folder: Path, destination: str, work: Path) -> None:
    """Copy skopeo's folder to a registry, byte for byte.

    Raises:
        ToolFailedError: a digest is not what the manifest says, or the registry does not take it.
    """
    processes.run(
        [
            *("skopeo", "--insecure-policy", "--tmpdir", str(work), "copy", "--quiet", "--preserve-digests"),
            *("--dest-tls-verify=false", f"dir:{folder.name}", destination),
        ],
        cwd=folder.parent,
        silence_s=SILENCE_S,
    )


@contextmanager
def _damage_named(where: object) -> Iterator[None]:
    """One boundary for all that Python's readers raise."""
    try:
        yield
    except tars.DAMAGED as error:
        raise InputFileError(where, f"is damaged or cut short ({error}).", _REPACK) from error
    except OSError as error:
        if error.errno is not None and error.filename is None:  # written, not read: see full_disk_named
            raise
        raise InputFileError(where, f"cannot be read ({error.strerror or error}).") from error


def _unpacked(path: Path, work: Path, where: object) -> Path:
    """The archive without compression; what is not compressed is itself."""
    with path.open("rb") as stream:
        head = stream.read(8)
    if head.startswith(ZSTD_MAGIC):
        what = "is compressed by zstd, which Python does not read."
        raise InputFileError(where, what, f"Decompress it first: zstd -d {path.name}")
    opener = next((opener for magic, opener in _PACKED if head.startswith(magic)), None)
    if opener is None:
        return path
    plain = work / "unpacked.tar"
    with opener(path) as source, plain.open("wb") as target:
        shutil.copyfileobj(source, target, _BUFFER_BYTES)
    return plain


def _from_docker_archive(source: Path, work: Path, where: object) -> Path:
    """Gzip its layers: skopeo reads it by a plain name, since a colon in one ends the path."""
    link = work / "saved.tar"
    link.symlink_to(source.resolve())
    folder = work / "image"
    try:
        processes.run(
            [
                *("skopeo", "--insecure-policy", "--tmpdir", str(work), "copy", "--quiet", "--dest-compress"),
                *(f"docker-archive:{link.name}", f"dir:{folder.name}"),
            ],
            cwd=work,
            silence_s=SILENCE_S,
        )
    except processes.ToolFailedError as error:
        if not error.output:
            raise
        raise InputFileError(where, f"is damaged: {processes.reason(error.output)}", _REPACK) from error
    return folder


def _from_layout(store: _Store, work: Path, where: object, platform: str, *, is_asked: bool) -> Path:
    """The chosen manifest and its blobs, side by side."""
    chosen = _chosen(store, _index_of(store, where), where, platform, is_asked=is_asked)
    content = store.read(_blob(chosen.descriptor), oci.DOCUMENT_MAX_BYTES)
    document = oci.decoded(content, oci.Document, where, "its manifest")
    folder = work / "image"
    folder.mkdir()
    (folder / "version").write_text(DIR_VERSION)
    (folder / "manifest.json").write_bytes(content)
    assert document.config is not None
    for descriptor in (document.config, *(document.layers or ())):
        target = folder / descriptor.digest.removeprefix("sha256:")
        if not target.exists():
            store.place(_blob(descriptor), target)
    return folder


def _chosen(
    store: _Store, entries: tuple[oci.Descriptor, ...], where: object, platform: str, *, is_asked: bool
) -> oci.Choice:
    def read(descriptor: oci.Descriptor) -> oci.Document:
        content = store.read(_blob(descriptor), oci.DOCUMENT_MAX_BYTES)
        oci.refuse_damaged(content, descriptor, where, "manifest")
        return oci.decoded(content, oci.Document, where, f"manifest {descriptor.digest}")

    def config_of(document: oci.Document) -> oci.Config:
        assert document.config is not None
        content = store.read(_blob(document.config), oci.CONFIG_MAX_BYTES)
        oci.refuse_damaged(content, document.config, where, "configuration")
        return oci.decoded(content, oci.Config, where, f"configuration {document.config.digest}")

    return oci.choose(entries, platform, is_asked=is_asked, where=where, read=read, config_of=config_of)


def _index_of(store: _Store, where: object) -> tuple[oci.Descriptor, ...]:
    content = store.read("index.json", oci.DOCUMENT_MAX_BYTES)
    return oci.decoded(content, oci.Document, where, "index.json").manifests or ()


def _is_compressed(
    archive: _Tar, entries: tuple[oci.Descriptor, ...], where: object, platform: str, *, is_asked: bool
) -> bool:
    """Whether the layout's image has compressed layers: then it is what a registry had, not what a disk had."""
    chosen = _chosen(archive, entries, where, platform, is_asked=is_asked)
    content = archive.read(_blob(chosen.descriptor), oci.DOCUMENT_MAX_BYTES)
    layers = oci.decoded(content, oci.Document, where, "its manifest").layers or ()
    return any(layer.media_type.endswith(("gzip", "zstd")) for layer in layers)


def _saved_images(archive: _Tar, where: object) -> tuple[_Saved, ...]:
    if not archive.has("manifest.json"):
        return ()
    content = archive.read("manifest.json", oci.DOCUMENT_MAX_BYTES)
    return oci.decoded(content, tuple[_Saved, ...], where, "manifest.json")


def _blob(descriptor: oci.Descriptor) -> str:
    return f"blobs/sha256/{descriptor.digest.removeprefix('sha256:')}"


class _Folder:
    """A layout in a folder. Its blobs may be links, as build tools make them: all of them are checked by digest."""

    def __init__(self, root: Path, where: object) -> None:
        self._root = root
        self._where = where

    def read(self, name: str, limit: int) -> bytes:
        path = self._file(name)
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
        if len(content) > limit:
            raise InputFileError(self._where, f"is damaged: {name} has more than {limit} bytes.", _REPACK)
        return content

    def place(self, name: str, target: Path) -> None:
        target.symlink_to(self._file(name).resolve())

    def _file(self, name: str) -> Path:
        path = self._root / name
        if not path.is_file():  # nor a pipe, which would be waited for
            raise InputFileError(self._where, f"is damaged: {name} is missing.", _REPACK)
        return path


class _Tar:
    """A layout or docker archive in a tar, whose names may begin with ``./``."""

    def __init__(self, tar: tarfile.TarFile, where: object) -> None:
        self._tar = tar
        self._where = where
        self._members: dict[str, tarfile.TarInfo] = {}
        self._has_plain_names = True
        for member in tars.members(tar):
            name = plain_name(member.name)
            if not name:
                continue
            self._has_plain_names = self._has_plain_names and name == member.name.rstrip("/")
            if name in self._members and not member.isdir():
                raise InputFileError(where, f"is damaged: it holds {name!r} twice.", _REPACK)
            self._members[name] = member
            if len(self._members) > _MEMBERS_MAX:
                raise InputFileError(where, f"holds more than {_MEMBERS_MAX} files: it is not an image's archive.")

    def has(self, name: str) -> bool:
        return name in self._members

    def read(self, name: str, limit: int) -> bytes:
        member = self._regular(name)
        if member.size > limit:
            raise InputFileError(self._where, f"is damaged: {name} has {member.size} bytes.", _REPACK)
        with self._content(member) as content:
            return content.read()

    def place(self, name: str, target: Path) -> None:
        with self._content(self._regular(name)) as content, target.open("wb") as file:
            shutil.copyfileobj(content, file, _BUFFER_BYTES)

    def with_plain_names(self, archive: Path, work: Path) -> Path:
        """The archive as skopeo finds its members: itself, or a copy without ``./`` before their names."""
        if self._has_plain_names:
            return archive
        copy = work / "plain.tar"
        with tarfile.open(copy, "w", format=tarfile.PAX_FORMAT) as target:
            for name, member in self._members.items():
                member.name = name
                if member.islnk():
                    member.linkname = plain_name(member.linkname)
                target.addfile(member, self._content(member) if member.isreg() else None)
        return copy

    def _regular(self, name: str) -> tarfile.TarInfo:
        member = self._members.get(name)
        if member is None or not member.isreg():
            what = "missing" if member is None else "not a file"
            raise InputFileError(self._where, f"is damaged: {name} is {what}.", _REPACK)
        return member

    def _content(self, member: tarfile.TarInfo) -> IO[bytes]:
        content = self._tar.extractfile(member)
        assert content is not None  # it is a regular file
        return content
