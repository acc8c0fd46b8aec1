"""Images from elsewhere (``--image REF``): found, copied into the testbed's registry, pinned.

A reference is looked for in this order, and the first that fits decides:

1. the testbed's own registry, where it names that registry's address;
2. a file or folder, where it is written as one: it begins with ``/``, ``./``, ``../`` or ``~``, ends in ``.tar``,
   ``.tar.gz`` or ``.tgz``, or is a folder with an OCI layout in it;
3. the user's own Docker (DOCKER_HOST, else its default socket), where that has such an image;
4. a registry, with the user's own credentials.

Measuring a user's own engine, only that engine is asked: for an image it has, then for one it can pull.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import docker
import docker.errors
import msgspec

from coldstart.engines.netns import inside
from coldstart.errors import EngineUnreachableError, ImageBuildError, UsageError
from coldstart.images import platforms, processes, remote
from coldstart.images.host import ImageHost, engine_client, platform_of
from coldstart.images.layers import GZIP_MAGIC
from coldstart.images.recipe import Progress
from coldstart.images.registry import Registry, healthcheck_of
from coldstart.images.upstream import platform_options
from coldstart.images.workspace import work_folder
from coldstart.model.image import Image, Layer, Provenance

_NAMESPACE = "coldstart-intake"
_DEFAULT_SOCKET = "unix:///var/run/docker.sock"
_ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_PATH_PREFIXES = ("/", "./", "../", "~")
_REFERENCE = re.compile(
    r"[a-z0-9][\w.-]*(?::\d+(?=/))?(?:/[\w.-]+)*(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
    re.ASCII | re.IGNORECASE,
)


class Origin(StrEnum):
    """Where a reference was found."""

    TESTBED = "the testbed's registry"
    ARCHIVE = "an archive"
    LOCAL_DOCKER = "a local Docker image"
    REGISTRY = "a registry"


def take_in(host: ImageHost, reference: str, platform: str | None, progress: Progress) -> Image:
    """Find ``reference``, bring it where the engine pulls from, and pin it.

    ``platform`` chooses one of several (``None``: the engine's own). An image for another platform is taken in and
    says so; that it cannot start is the measurement's to tell.

    Raises:
        UsageError: empty, no reference, no such file, a damaged archive, an image nobody has.
        RegistryUnreachableError, EngineUnreachableError, ImageBuildError: with the remedy.
    """
    if not reference.strip():
        raise UsageError("--image is empty: name an image (nginx:1.27), or an archive of one (./app.tar).")
    with engine_client(host.docker_socket) as client:
        wanted = platform or platform_of(client)
        if host.registry_address is None:
            if platform is not None:
                raise UsageError("--platform needs the testbed: a user's own engine takes images for its own.")
            return _from_engine(client, reference, progress)
    origin = resolve(reference, host.registry_address, has_local_image)
    progress(f"taking in {reference} from {origin}")
    if origin is Origin.TESTBED:
        return _from_testbed(host, reference, wanted)
    with work_folder(host.cache) as work:
        if origin is Origin.ARCHIVE:
            source = archive_source(Path(reference).expanduser(), work)
        elif origin is Origin.LOCAL_DOCKER:
            source = _saved(reference, work / "image.tar")
        else:
            source = remote.fetch(reference, work / "image", wanted)
        return _into_registry(host, source, reference, origin, wanted)


def resolve(reference: str, registry_address: str, has_local: Callable[[str], bool]) -> Origin:
    """Which of the four a reference means, in the module's order.

    Raises:
        UsageError: a path that is not there, or no image reference at all.
    """
    if reference.startswith(f"{registry_address}/"):
        return Origin.TESTBED
    path = Path(reference).expanduser()
    if reference.startswith(_PATH_PREFIXES) or reference.endswith(_ARCHIVE_SUFFIXES):
        if not path.exists():
            raise UsageError(f"--image {reference}: there is no such file.")
        return Origin.ARCHIVE
    if (path / "oci-layout").is_file():
        return Origin.ARCHIVE
    if _REFERENCE.fullmatch(reference) is None:
        raise UsageError(f"--image {reference!r} is no image reference: write NAME:TAG, NAME@sha256:… or a path.")
    return Origin.LOCAL_DOCKER if has_local(reference) else Origin.REGISTRY


def has_local_image(reference: str) -> bool:
    """Whether the user's own Docker has it; no Docker has no image."""
    try:
        with engine_client(_own_docker()) as client:
            client.inspect_image(reference)  # type: ignore[no-untyped-call]
    except (EngineUnreachableError, ImageBuildError):  # it refuses what it does not have
        return False
    return True


def names_of(reference: str) -> tuple[str, str]:
    """Workload and variant for an image from elsewhere: its last name and its tag, as results can write them.

    An archive is named by its file, what has no tag is variant ``image``.
    """
    path = Path(reference)
    for suffix in _ARCHIVE_SUFFIXES[::-1]:
        if path.name.endswith(suffix):
            return _sanitized(path.name.removesuffix(suffix)), "image"
    name, _, _ = path.name.partition("@")
    name, _, tag = name.partition(":")
    return _sanitized(name), _sanitized(tag or "image")


def archive_source(path: Path, work: Path) -> str:
    """Skopeo's name for an archive or layout; a gzipped one is unpacked in ``work``, since skopeo 1.9 cannot read it.

    Raises:
        UsageError: it is neither a docker nor an OCI archive, is damaged, or holds several images.
    """
    if path.is_dir():
        if (path / "oci-layout").is_file():
            return f"oci:{path}"
        raise UsageError(f"--image {path}: a folder, but not an OCI layout (no file oci-layout in it).")
    manifest: list[dict[str, object]] = []
    try:
        plain = _unzipped(path, work)
        with tarfile.open(plain, "r:") as tar:
            members = set(tar.getnames())
            if "manifest.json" in members and (content := tar.extractfile("manifest.json")) is not None:
                manifest = msgspec.json.decode(content.read(), type=list[dict[str, object]])
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise UsageError(f"--image {path}: not a readable tar or tar.gz archive ({error}).") from error
    if len(manifest) > 1:
        raise UsageError(f"--image {path}: it holds {len(manifest)} images; save the one to measure alone.")
    if manifest:
        return f"docker-archive:{plain}"
    if "oci-layout" in members:
        return f"oci-archive:{plain}"
    raise UsageError(f"--image {path}: neither a docker archive (docker save) nor an OCI archive.")


def _unzipped(path: Path, work: Path) -> Path:
    with path.open("rb") as stream:
        if stream.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
            return path
    plain = work / "unzipped.tar"
    with gzip.open(path) as source, plain.open("wb") as target:
        shutil.copyfileobj(source, target)
    return plain


def _from_testbed(host: ImageHost, reference: str, platform: str) -> Image:
    registry = _registry(host)
    name = reference.removeprefix(f"{registry.address}/")
    repository, at, digest = name.partition("@")
    tag = ""
    if not at:
        repository, _, tag = name.partition(":")
    image = registry.image(
        repository,
        digest or tag or "latest",
        platform=platform,
        names=names_of(reference),
        provenance=(Provenance(what=reference, source=str(Origin.TESTBED)),),
    )
    if image is None:
        raise UsageError(f"--image {reference}: the testbed's registry has none; coldstart images list shows its own.")
    return image


def _from_engine(client: docker.APIClient, reference: str, progress: Progress) -> Image:
    """An image of the engine under test: its registry is not ours to read, so layers are known by their diff IDs.

    One that has to be pulled to be looked at is removed again: the engine is left as it was until the first start.
    """
    if _REFERENCE.fullmatch(reference) is None:
        raise UsageError(
            f"--image {reference!r}: this engine takes images by name only; load an archive into it first."
        )
    is_new = False
    try:
        found = client.inspect_image(reference)  # type: ignore[no-untyped-call]
    except docker.errors.ImageNotFound:
        progress(f"pulling {reference}, to see what it consists of")
        _pull(client, reference)
        found, is_new = client.inspect_image(reference), True  # type: ignore[no-untyped-call]
    pinned = next((name for name in found.get("RepoDigests") or () if name.partition("@")[2]), None)
    if is_new:
        client.remove_image(reference)
    workload, variant = names_of(reference)
    return Image(
        workload=workload,
        variant=variant,
        reference=pinned or reference,
        image_id=found["Id"],
        platform=platforms.normalize(found["Os"], found["Architecture"], found.get("Variant")),
        digest=pinned.partition("@")[2] if pinned else None,
        layers=tuple(
            Layer(digest=None, diff_id=diff_id, compressed_bytes=None)
            for diff_id in (found.get("RootFS") or {}).get("Layers") or ()
        ),
        provenance=(Provenance(what=reference, source=pinned or "this engine"),),
        healthcheck=healthcheck_of(found.get("Config") or {}),
    )


def _pull(client: docker.APIClient, reference: str) -> None:
    name, at, digest = reference.partition("@")
    tag = digest if at else None
    if not at and ":" in name.rpartition("/")[2]:
        name, _, tag = name.rpartition(":")
    try:
        for event in client.pull(name, tag=tag or "latest", stream=True, decode=True):
            if "error" in event:
                raise remote.refusal(reference, str(event["error"]))
    except docker.errors.APIError as error:
        raise remote.refusal(reference, str(error.explanation or error)) from error


def _saved(reference: str, archive: Path) -> str:
    """The user's own Docker's image as an archive; that Docker is only read."""
    with engine_client(_own_docker()) as client, archive.open("wb") as stream:
        for chunk in client.get_image(reference):
            stream.write(chunk)
    return f"docker-archive:{archive}"


def _into_registry(host: ImageHost, source: str, reference: str, origin: Origin, platform: str) -> Image:
    registry = _registry(host)
    workload, variant = names_of(reference)
    repository = f"{_NAMESPACE}/{workload}"
    try:
        with inside(host.registry_netns):
            processes.run(
                [
                    *("skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"),
                    *platform_options(platform),
                    *(source, f"docker://{registry.address}/{repository}:{variant}"),
                ]
            )
    except processes.ToolFailedError as error:
        if not error.output or origin is not Origin.ARCHIVE:
            raise
        raise UsageError(f"--image {reference}: the archive is damaged: {remote.reason(error.output)}") from error
    image = registry.image(
        repository,
        variant,
        platform=platform,
        names=(workload, variant),
        provenance=(Provenance(what=_shown(reference, origin), source=str(origin)),),
    )
    if image is None:
        raise ImageBuildError(f"{reference} was copied, and the registry does not have it. Is its disk full?")
    return image


def _registry(host: ImageHost) -> Registry:
    registry = host.registry
    assert registry is not None
    return registry


def _shown(reference: str, origin: Origin) -> str:
    """What results call it: of a file its name, not the folders of somebody's machine."""
    return Path(reference).name if origin is Origin.ARCHIVE else reference


def _own_docker() -> str:
    return os.environ.get("DOCKER_HOST") or _DEFAULT_SOCKET


def _sanitized(name: str) -> str:
    """Lower case letters, digits, ``.``, ``_`` and ``-``: what repositories, tags and tables all accept."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._") or "image"
