"""Manifests and indexes as registries and archives give them: decoded by type, chosen by platform, refused by name.

https://github.com/opencontainers/image-spec (manifest.md, image-index.md, config.md); Docker's media types mean the
same. What anybody may have written is decoded here and nowhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, NamedTuple, TypeVar

import msgspec

from coldstart.decoding import UNREADABLE
from coldstart.errors import InputFileError
from coldstart.images import platforms

DOCUMENT_MAX_BYTES = 4 << 20  # of a manifest or index: what registries accept
CONFIG_MAX_BYTES = 16 << 20

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_CONFIGS = {
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "",  # left out, as some builders do
}
_OTHER_KINDS = {
    "application/vnd.cncf.helm.config.v1+json": "a Helm chart",
    "application/vnd.docker.plugin.v1+json": "a Docker plugin",
    "application/vnd.oci.empty.v1+json": "an OCI artifact",
    "application/vnd.unknown.config.v1+json": "an OCI artifact",
    "application/vnd.wasm.config.v0+json": "a WebAssembly module",
    "application/vnd.wasm.config.v1+json": "a WebAssembly module",
}
_LAYERS = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)
_COMPRESSIONS = ("", "+gzip", ".gzip", "+zstd", ".zstd")

_INDEX_MAX_DEPTH = 3  # buildx writes an index in an index; nobody writes more
_INDEX_MAX_ENTRIES = 1000

Digest = Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")]
Size = Annotated[int, msgspec.Meta(ge=0)]
T = TypeVar("T")


class Platform(msgspec.Struct, frozen=True):
    """The platform an index names."""

    os: str = ""
    architecture: str = ""
    variant: str | None = None

    @property
    def name(self) -> str | None:
        """Docker's short form; ``None`` where it does not say."""
        return platforms.normalize(self.os, self.architecture, self.variant) if self.os and self.architecture else None


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    """What a manifest or index says of a blob."""

    digest: Digest
    size: Size
    media_type: str = ""
    platform: Platform | None = None
    annotations: dict[str, str] | None = None

    @property
    def is_attestation(self) -> bool:
        """Whether it is about another image, as what BuildKit adds is."""
        kind = (self.annotations or {}).get("vnd.docker.reference.type")
        return kind is not None or (self.platform is not None and self.platform.os == "unknown")


class Document(msgspec.Struct, frozen=True, rename="camel"):
    """A manifest (``config`` and ``layers``) or an index (``manifests``)."""

    schema_version: int = 2
    media_type: str = ""
    artifact_type: str | None = None
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] | None = None
    manifests: tuple[Descriptor, ...] | None = None


class RootFs(msgspec.Struct, frozen=True):
    """The layers of an image, unpacked."""

    diff_ids: tuple[str, ...] = ()


class Check(msgspec.Struct, frozen=True, rename="pascal"):
    """A HEALTHCHECK as configured; times in ns."""

    test: tuple[str, ...] | None = None
    interval: Size | None = None
    start_period: Size | None = None
    start_interval: Size | None = None


class Settings(msgspec.Struct, frozen=True):
    """How a container of an image is run, as far as we ask."""

    healthcheck: Check | None = msgspec.field(name="Healthcheck", default=None)


class Config(msgspec.Struct, frozen=True):
    """What we read of an image's configuration."""

    config: Settings | None = None
    os: str = "linux"
    architecture: str = ""
    variant: str | None = None
    rootfs: RootFs = RootFs()

    @property
    def platform(self) -> str | None:
        """Docker's short form; ``None`` where it does not say."""
        return platforms.normalize(self.os, self.architecture, self.variant) if self.architecture else None


class Choice(NamedTuple):
    """A manifest of an index, and the platform it is for (``None``: it does not say)."""

    descriptor: Descriptor
    platform: str | None


def decoded(content: bytes, kind: type[T], where: object, what: str) -> T:
    """``content`` as JSON of a type.

    Raises:
        InputFileError: it is not that, naming where and what.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except UNREADABLE as error:
        raise InputFileError(where, f"{what} cannot be read ({error}).") from error


def digest_of(content: bytes) -> str:
    """Its digest, as manifests write them."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def refuse_damaged(content: bytes, descriptor: Descriptor, where: object, what: str) -> None:
    """Refuse content that is not what its descriptor says.

    Raises:
        InputFileError: another size or digest.
    """
    if len(content) != descriptor.size or digest_of(content) != descriptor.digest:
        raise InputFileError(where, f"is damaged: {what} {descriptor.digest} is not what it should be.")


def refuse_no_image(document: Document, where: object) -> None:
    """Refuse a manifest that is not of a container image, naming what it is.

    Raises:
        InputFileError: a chart, an artifact, a manifest of schema 1, layers of a kind no engine unpacks.
    """
    if (kind := _other_kind(document)) is not None:
        raise InputFileError(where, f"is {kind}, not a container image.", "Name an image that can be started.")
    for layer in document.layers or ():
        if not any(layer.media_type == base + end for base in _LAYERS for end in _COMPRESSIONS) and layer.media_type:
            what = f"has a layer of type {layer.media_type}, which engines do not unpack."
            raise InputFileError(where, what, "Build it with ordinary layers (tar, gzip or zstd).")


def choose(
    index: Sequence[Descriptor],
    wanted: str,
    *,
    is_asked: bool,
    where: object,
    read: Callable[[Descriptor], Document],
    config_of: Callable[[Document], Config],
) -> Choice:
    """The one image of an index that is for ``wanted``; the engine's other platforms count unless it is asked for.

    Raises:
        InputFileError: there is none, or several; the message lists what there is.
    """
    images: dict[str, Choice] = {}
    others: list[Document] = []
    for descriptor, document in _leaves(index, read, where, set()):
        if _other_kind(document) is not None:
            others.append(document)
            continue
        named = descriptor.platform.name if descriptor.platform is not None else None
        images.setdefault(descriptor.digest, Choice(descriptor, named or config_of(document).platform))
    if not images:
        if others:
            refuse_no_image(others[0], where)
        raise InputFileError(where, "holds no image.")
    found = [choice for choice in images.values() if choice.platform == wanted]
    if not found and not is_asked:
        found = [choice for choice in images.values() if platforms.runs_natively(choice.platform, wanted)]
    if len(found) > 1:
        listed = "; ".join(_named(choice) for choice in found)
        what = f"holds {len(found)} images for {wanted}: {listed}."
        raise InputFileError(where, what, "Save the one to measure alone (skopeo copy, docker save NAME).")
    if not found:
        refuse_platforms((choice.platform for choice in images.values()), wanted, is_asked=is_asked, where=where)
        raise InputFileError(where, "holds no image.")
    return found[0]


def refuse_platforms(found: Iterable[str | None], wanted: str, *, is_asked: bool, where: object) -> None:
    """Refuse images that are all for other platforms than ``wanted``; one that does not say is taken as it is.

    Raises:
        InputFileError: naming theirs, and how to choose one.
    """
    names = sorted({name or "unknown" for name in found})
    if wanted in names or "unknown" in names:
        return
    if not is_asked and any(platforms.runs_natively(name, wanted) for name in names):
        return
    by = "as --platform asks" if is_asked else "which this engine runs"
    remedy = f"Choose one of its own with --platform, such as --platform {names[0]}: " if names else ""
    raise InputFileError(
        where,
        f"is for {', '.join(names)}, not for {wanted}, {by}.",
        f"{remedy}it is then started, and reported as wrong_platform where only an emulator could run it.",
    )


def _leaves(
    index: Sequence[Descriptor], read: Callable[[Descriptor], Document], where: object, seen: set[str], depth: int = 1
) -> Iterable[tuple[Descriptor, Document]]:
    """Every manifest below the index, once, but attestations."""
    if depth > _INDEX_MAX_DEPTH or len(index) > _INDEX_MAX_ENTRIES:
        raise InputFileError(where, "has an index of too many entries, or of indexes in indexes.")
    for descriptor in index:
        if descriptor.is_attestation or descriptor.digest in seen:
            continue
        seen.add(descriptor.digest)
        document = read(descriptor)
        if document.manifests is None:
            yield descriptor, document
        else:
            yield from _leaves(document.manifests, read, where, seen, depth + 1)


def _other_kind(document: Document) -> str | None:
    """What it is instead of an image; ``None`` for an image."""
    if document.schema_version == 1:
        return "a manifest of schema 1, which no engine of today pulls"
    if document.config is None or document.layers is None:
        return "a document without configuration and layers"
    kind = document.config.media_type
    if kind in _CONFIGS and document.artifact_type is None:
        return None
    if kind in _OTHER_KINDS and kind != "application/vnd.oci.empty.v1+json":
        return _OTHER_KINDS[kind]
    return f"an OCI artifact ({document.artifact_type or kind})"


def _named(choice: Choice) -> str:
    notes = choice.descriptor.annotations or {}
    name = notes.get("io.containerd.image.name") or notes.get("org.opencontainers.image.ref.name") or "without a name"
    return f"{name} ({choice.descriptor.digest[:19]}…)"
