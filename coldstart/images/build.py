"""Catalogue images, each built once: the key is all that decides its content, the proof that it is still there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

import docker
import docker.errors
import msgspec

from coldstart.decoding import UNREADABLE
from coldstart.errors import ImageBuildError, NotPublishedError
from coldstart.images.bases import Base, BaseSource, cached, ensure_bases
from coldstart.images.builder import Builder, building, context_files
from coldstart.images.catalogue import Variant, Workload, catalogue, find
from coldstart.images.host import ImageHost, engine_client, platform_of
from coldstart.images.recipe import Progress
from coldstart.images.registry import Registry
from coldstart.images.wheels import ensure_wheels, interpreter
from coldstart.images.workspace import write_atomically
from coldstart.model.image import Image

__all__ = ["ImageHost", "ensure_images", "recorded_images", "stored_images"]

_NAMESPACE = "coldstart"
_ENGINE, _REGISTRY = "engine", "registry"
_BUILDER_VERSION = "1"  # changes whenever the same inputs would give another image

Wanted = tuple[str, str]  # workload and variant, by name


def ensure_images(
    host: ImageHost,
    wanted: Sequence[Wanted],
    progress: Progress,
    *,
    bases: BaseSource = BaseSource.AUTO,
    workloads: Mapping[str, Workload] | None = None,
    egress: Callable[[], AbstractContextManager[object]] = nullcontext,
    platform: str | None = None,
    left_out: Callable[[Wanted, NotPublishedError], None] | None = None,
) -> tuple[Image, ...]:
    """The images of ``wanted``, in its order: those that are there as recorded, and the others built now.

    ``egress`` opens the engine's way out for builds that fetch packages (those on upstream bases). ``platform`` is the
    engine's own unless it is named: programs of another one have to run here (`emulation.runs_here`). Images whose
    parts nobody publishes for it are ``left_out`` and told to it; without it they are an error.

    Raises:
        UnknownNameError: no such workload or variant.
        NotPublishedError: there are no packages or wheels of its platform.
        ImageBuildError, EngineUnreachableError, RegistryUnreachableError, StorageError: with the remedy.
    """
    known = catalogue() if workloads is None else workloads
    chosen = {pair: find(known, *pair) for pair in wanted}
    with engine_client(host.docker_socket) as client:
        native = platform_of(client)
    platform = platform or native
    recorded = recorded_images(host, list(chosen), platform, bases=bases, workloads=known)
    images = {pair: image for pair, image in recorded.items() if image is not None}
    missing = {pair: each for pair, each in chosen.items() if pair not in images}
    parts = {}
    for pair, (workload, variant) in missing.items():
        try:
            parts[pair] = _gathered(host, workload, variant, platform, bases, progress)
        except NotPublishedError as error:
            if left_out is None:
                raise
            left_out(pair, error)
    if parts:
        needs_egress = any(base.is_upstream for part in parts.values() for base in part.bases)
        foreign = None if platform == native else platform
        with egress() if needs_egress else nullcontext(), building(host, progress, foreign) as builder:
            for pair, part in parts.items():
                images[pair] = _build(host, builder, chosen[pair][0], pair[1], part, platform)
    return tuple(images[pair] for pair in wanted if pair in images)


def recorded_images(
    host: ImageHost,
    wanted: Sequence[Wanted],
    platform: str,
    *,
    bases: BaseSource = BaseSource.AUTO,
    workloads: Mapping[str, Workload] | None = None,
) -> dict[Wanted, Image | None]:
    """Which images are there, built of what would be built now; ``None`` for those that are not.

    Raises:
        UnknownNameError: no such workload or variant.
        EngineUnreachableError, RegistryUnreachableError: nobody to ask.
    """
    registry = host.registry
    kind = _kind(host)

    def look(image: Image) -> Image | None:
        return _in_engine(host, image) if registry is None else _in_registry(registry, image)

    return _found(host.cache, kind, wanted, platform, bases, catalogue() if workloads is None else workloads, look)


def stored_images(
    cache: Path,
    wanted: Sequence[Wanted],
    platform: str,
    is_stored: Callable[[str], bool],
    *,
    bases: BaseSource = BaseSource.AUTO,
    workloads: Mapping[str, Workload] | None = None,
) -> dict[Wanted, Image | None]:
    """The same where nothing is up: by the records of what was built, and whether the registry's storage has it.

    ``is_stored`` says so of a digest.

    Raises:
        UnknownNameError: no such workload or variant.
    """

    def look(image: Image) -> Image | None:
        return image if image.digest is not None and is_stored(image.digest) else None

    return _found(cache, _REGISTRY, wanted, platform, bases, catalogue() if workloads is None else workloads, look)


def _found(
    cache: Path,
    kind: str,
    wanted: Sequence[Wanted],
    platform: str,
    bases: BaseSource,
    known: Mapping[str, Workload],
    look: Callable[[Image], Image | None],
) -> dict[Wanted, Image | None]:
    found: dict[Wanted, Image | None] = {}
    for pair in wanted:
        workload, variant = find(known, *pair)
        its_bases = [cached(cache, name, platform, bases) for name in variant.bases]
        complete = [base for base in its_bases if base is not None]
        image = None
        if len(complete) == len(its_bases):
            image = _recorded(_record_path(cache, kind, content_key(workload, variant, complete, platform)))
        found[pair] = None if image is None else look(image)
    return found


def content_key(workload: Workload, variant: Variant, bases: Sequence[Base], platform: str) -> str:
    """A hash of all that decides an image: Dockerfile, sources, bases, platform, and the way we build."""
    digest = hashlib.sha256()
    parts = [_BUILDER_VERSION, platform, variant.dockerfile]
    parts += [f"{base.record.name}={base.record.image_id}" for base in bases]
    parts += [f"wheels={name}" for name in workload.wheels]  # which these are, their hashes and the bases say
    for path in context_files(workload, variant):
        executable = path.stat().st_mode & 0o100
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        parts.append(f"{path.relative_to(workload.folder)} {executable} {content}")
    for part in parts:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


class _Parts(NamedTuple):
    """What an image is made of besides its workload's own files."""

    bases: tuple[Base, ...]
    wheels: tuple[Path, ...]


def _gathered(
    host: ImageHost, workload: Workload, variant: Variant, platform: str, source: BaseSource, progress: Progress
) -> _Parts:
    made = ensure_bases(host.cache, variant.bases, platform, source, progress)
    bases = tuple(made[name] for name in variant.bases)
    if not workload.wheels:
        return _Parts(bases, ())
    requirements = [workload.folder / name for name in workload.wheels]
    return _Parts(bases, ensure_wheels(host.cache, requirements, interpreter(workload.name, bases), platform, progress))


def _build(host: ImageHost, builder: Builder, workload: Workload, variant: str, parts: _Parts, platform: str) -> Image:
    """Build, deliver and record one image."""
    repository = repository_of(workload.name)
    provenance = tuple(base.record.provenance for base in parts.bases)
    names = (workload.name, variant)
    name = variant if builder.foreign is None else f"{variant}-{platform.replace('/', '-')}"
    registry = host.registry
    if registry is None:
        tag = f"{repository}:{name}"
        image_id = builder.build(workload, variant, parts.bases, tag, parts.wheels)
        image = Image(
            workload=workload.name,
            variant=variant,
            reference=tag,
            image_id=image_id,
            platform=platform,
            provenance=provenance,
        )
    else:
        tag = f"{registry.address}/{repository}:{name}"
        builder.build(workload, variant, parts.bases, tag, parts.wheels)
        builder.push(tag)
        pushed = registry.image(repository, name, platform=platform, names=names, provenance=provenance)
        if pushed is None:
            raise ImageBuildError(f"{tag} was pushed, and the registry does not have it. Is its disk full?")
        if builder.foreign is not None and pushed.platform != platform:
            raise ImageBuildError(
                f"{tag} was built for {platform} and is for {pushed.platform}: the engine ignored it."
            )
        image = pushed
    record(host, content_key(workload, workload.variant(variant), parts.bases, platform), image)
    return image


def record(host: ImageHost, key: str, image: Image) -> None:
    """Remember that ``image`` is what the content key stands for.

    Raises:
        StorageError: the cache cannot be written.
    """
    write_atomically(_record_path(host.cache, _kind(host), key), msgspec.json.format(msgspec.json.encode(image)))


def repository_of(workload: str) -> str:
    """Where the registry keeps a catalogue workload's images."""
    return f"{_NAMESPACE}/{workload}"


def _recorded(record_path: Path) -> Image | None:
    try:
        return msgspec.json.decode(record_path.read_bytes(), type=Image)
    except (OSError, *UNREADABLE):
        return None  # a cache is made again, not trusted


def _in_registry(registry: Registry, image: Image) -> Image | None:
    """The image if the registry still has it, under the address it has today."""
    if image.digest is None:
        return None
    repository = repository_of(image.workload)
    if registry.manifest(repository, image.digest) is None:
        return None
    return msgspec.structs.replace(image, reference=f"{registry.address}/{repository}@{image.digest}")


def _in_engine(host: ImageHost, image: Image) -> Image | None:
    """The image if the engine still has it under its name."""
    if image.digest is not None:
        return None
    with engine_client(host.docker_socket) as client:
        try:
            inspected = client.inspect_image(image.reference)  # type: ignore[no-untyped-call]
        except docker.errors.ImageNotFound:
            return None
    return image if inspected["Id"] == image.image_id else None


def _kind(host: ImageHost) -> str:
    """Images of an engine alone and of a registry are recorded apart: they differ in what is known of them."""
    return _ENGINE if host.registry_address is None else _REGISTRY


def _record_path(cache: Path, kind: str, key: str) -> Path:
    return cache / "images" / f"{kind}-{key}.json"
