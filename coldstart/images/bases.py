"""The base images that Dockerfiles name in ``ARG``: from upstream by digest, or from packages, each made once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import msgspec

from coldstart.decoding import UNREADABLE
from coldstart.errors import ImageBuildError
from coldstart.images import alpine, debian, distroless, python, upstream
from coldstart.images.archive import read_archive, write_archive
from coldstart.images.recipe import Progress, Recipe
from coldstart.images.workspace import put_in_place, work_folder
from coldstart.model.image import Provenance

TAG_PREFIX = "coldstart-base/"
_ARCHIVE = "image.tar"

_RECIPES: dict[str, Recipe] = {
    "golang": debian.GOLANG,
    "slim": debian.SLIM,
    "alpine": alpine.ALPINE,
    "distroless": distroless.STATIC,
    "python": python.FULL,
    "python-slim": python.SLIM,
    "distroless-python": distroless.PYTHON,
}

NAMES = frozenset(_RECIPES)


class BaseSource(StrEnum):
    """Where bases come from. ``auto`` is upstream where it can be reached, else packages."""

    AUTO = "auto"
    UPSTREAM = "upstream"
    PACKAGES = "packages"


class BaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A base as made: ``image_id`` is its configuration's digest, ``tag`` its name in the engine while building.

    ``python`` is its interpreter's minor version; ``None`` for a base without one.
    """

    name: str
    tag: str
    image_id: str
    platform: str
    provenance: Provenance
    python: str | None = None

    @property
    def argument(self) -> str:
        """The build argument by which a Dockerfile takes it: ``PYTHON_SLIM`` for ``python-slim``."""
        return argument_of(self.name)


def argument_of(name: str) -> str:
    """The build argument by which Dockerfiles take the base called ``name``."""
    return name.upper().replace("-", "_")


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """A base: its record and its docker archive, which is not there if only images made of it came here (`adopt`)."""

    record: BaseRecord
    archive: Path

    @property
    def is_upstream(self) -> bool:
        """Whether it is its publisher's own image."""
        return self.record.tag.endswith(f":{BaseSource.UPSTREAM}")


def cached(cache: Path, name: str, platform: str, source: BaseSource) -> Base | None:
    """The base if it is known: ``auto`` takes what is there, upstream's first, so that runs stay alike."""
    for origin in _origins(source):
        folder = _folder(cache, name, platform, origin)
        try:
            record = msgspec.json.decode((folder / "base.json").read_bytes(), type=BaseRecord)
        except (OSError, *UNREADABLE):
            continue  # a cache is made again, not trusted
        return Base(record=record, archive=folder / _ARCHIVE)
    return None


def adopt(cache: Path, record: BaseRecord) -> Base:
    """Make a base known that images from another machine were made of, instead of another by the same recipe.

    Its archive stays there: it is made here should something be built on it.

    Raises:
        StorageError: the cache cannot be written.
    """
    origin = origin_of(record)
    base = Base(record=record, archive=_folder(cache, record.name, record.platform, origin) / _ARCHIVE)
    if cached(cache, record.name, record.platform, origin) != base:
        folder = base.archive.parent
        with work_folder(cache) as work:
            made = work / "made"
            made.mkdir()
            (made / "base.json").write_bytes(msgspec.json.encode(record))
            if folder.exists():
                folder.rename(work / "replaced")
            put_in_place(made, folder)
    return base


def origin_of(record: BaseRecord) -> BaseSource:
    """Where a base came from: upstream or packages."""
    return BaseSource(record.tag.rpartition(":")[2])


def folder_name(record: BaseRecord) -> str:
    """What the folder of such a base is called here; another machine's is called so if its recipe is ours."""
    return _folder(Path(), record.name, record.platform, origin_of(record)).name


def ensure_bases(
    cache: Path, names: Iterable[str], platform: str, source: BaseSource, progress: Progress
) -> dict[str, Base]:
    """Every base of ``names``, made where it is not cached.

    Raises:
        ImageBuildError: one cannot be made; the message says why and what to do.
        StorageError: the cache cannot be written.
    """
    return {name: ensure_base(cache, name, platform, source, progress) for name in dict.fromkeys(names)}


def ensure_base(cache: Path, name: str, platform: str, source: BaseSource, progress: Progress) -> Base:
    """The base, from the cache or made now; ``auto`` falls back to packages where upstream does not deliver."""
    found = cached(cache, name, platform, source)
    if found is not None and found.archive.is_file():
        return found
    published = upstream.UPSTREAM[name]
    if source is BaseSource.UPSTREAM:
        return _make(cache, name, platform, BaseSource.UPSTREAM, progress)
    if source is BaseSource.AUTO and upstream.is_reachable(published.registry):
        try:
            return _make(cache, name, platform, BaseSource.UPSTREAM, progress)
        except ImageBuildError as error:
            progress(f"base {name}: {published.reference} could not be fetched, making it from packages: {error}")
    return _make(cache, name, platform, BaseSource.PACKAGES, progress)


def _make(cache: Path, name: str, platform: str, origin: BaseSource, progress: Progress) -> Base:
    """Make it beside its place and rename it there: an interrupt leaves nothing half-made."""
    folder = _folder(cache, name, platform, origin)
    progress(f"base {name}: from {origin}")
    with work_folder(cache) as work:
        made = work / "made"
        made.mkdir()
        archive = made / _ARCHIVE
        tag = f"{TAG_PREFIX}{name}:{origin}"
        if origin is BaseSource.UPSTREAM:
            provenance = upstream.fetch(upstream.UPSTREAM[name], archive, tag=tag, platform=platform)
            version = upstream.UPSTREAM[name].python
        else:
            parts = _RECIPES[name].make(work, platform, progress)
            provenance, version = parts.provenance, parts.python
            write_archive(archive, tag=tag, platform=platform, layers=parts.layers, config=parts.config)
        contents = read_archive(archive)
        if contents.platform != platform:
            raise ImageBuildError(f"base {name}: {provenance.source} is for {contents.platform}, not for {platform}.")
        record = BaseRecord(
            name=name,
            tag=tag,
            image_id=contents.image_id,
            platform=platform,
            provenance=provenance,
            python=version,
        )
        (made / "base.json").write_bytes(msgspec.json.encode(record))
        there = cached(cache, name, platform, origin)
        if folder.exists() and (there is None or not there.archive.is_file()):
            folder.rename(work / "incomplete")
        put_in_place(made, folder)
    base = cached(cache, name, platform, origin)
    assert base is not None
    return base


def _folder(cache: Path, name: str, platform: str, origin: BaseSource) -> Path:
    """Keyed by all that decides the content: source, recipe or digest, platform."""
    version = upstream.UPSTREAM[name].digest if origin is BaseSource.UPSTREAM else _RECIPES[name].version
    key = hashlib.sha256(f"{name}\n{origin}\n{version}\n{platform}".encode()).hexdigest()[:16]
    return cache / "bases" / f"{name}-{origin}-{key}"


def _origins(source: BaseSource) -> tuple[BaseSource, ...]:
    return (BaseSource.UPSTREAM, BaseSource.PACKAGES) if source is BaseSource.AUTO else (source,)
