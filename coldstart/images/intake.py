"""Images from elsewhere (``--image REF``): found, copied into the testbed's registry, pinned.

A reference is looked for in this order, and the first that fits decides:

1. the testbed's own registry, where it names that registry's address;
2. a file or folder, where it is written as one (it begins with ``/``, ``./``, ``../`` or ``~``, or ends in ``.tar``,
   ``.tar.gz`` or ``.tgz``), or where an archive or an OCI layout of that name lies in this folder;
3. the user's own Docker (see `coldstart.engines.own_docker`), where that has such an image;
4. a registry, with the user's own credentials.

Whatever it was, it is a folder of skopeo's then, manifest and layers as they were; that is looked at before anything
is measured, and copied byte for byte. Measuring a user's own engine, only that engine is asked: for an image it has,
then for one it can pull.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

import docker
import docker.errors
import requests

from coldstart.engines.netns import inside
from coldstart.engines.own_docker import own_docker
from coldstart.errors import (
    EngineUnreachableError,
    ImageBuildError,
    InputFileError,
    UsageError,
)
from coldstart.images import imports, oci, platforms, processes, remote
from coldstart.images.host import ImageHost, engine_client, patient, platform_of
from coldstart.images.recipe import Progress
from coldstart.images.reference import Reference
from coldstart.images.registry import DamagedLayerError, Registry, healthcheck_of
from coldstart.images.workspace import work_folder
from coldstart.model.image import Image, Layer, Provenance
from coldstart.opening import exists, is_file

_NAMESPACE = "coldstart-intake"
_ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_PATH_PREFIXES = ("/", "./", "../", "~")
_LOOK_TIMEOUT_S = 30
_SAVE_TIMEOUT_S = 300  # docker save writes all layers to its own disk before it sends the first byte
# How skopeo words a source that is not what its manifest says, against a registry that does not take it.
_DAMAGED = ("did not match", "happened during read", "unexpected eof", "invalid checksum", "invalid header")
_OF_THE_NETWORK = re.compile(r'\b(get|head|patch|post|put) [\\"]*https?://\S+ (unexpected eof|eof|write |read |dial )')


class Origin(StrEnum):
    """Where a reference was found."""

    TESTBED = "the testbed's registry"
    ARCHIVE = "an archive"
    LOCAL_DOCKER = "a local Docker image"
    REGISTRY = "a registry"


def take_in(host: ImageHost, reference: str, platform: str | None, progress: Progress) -> Image:
    """Find ``reference``, bring it where the engine pulls from, and pin it.

    ``platform`` chooses one of several (``None``: the engine's own). An image for another platform is refused, unless
    that is the ``platform`` named: that it cannot start is then the measurement's to tell.

    Raises:
        UsageError: empty, no reference, no such file, a damaged archive, no container image, an image nobody has.
        RegistryUnreachableError, EngineUnreachableError, ImageBuildError, StorageError: with the remedy.
    """
    if not reference.strip():
        raise UsageError("--image is empty: name an image (nginx:1.27), or an archive of one (./app.tar).")
    with engine_client(host.docker_socket) as client:
        wanted = platform or platform_of(client)
        if host.registry_address is None:
            if platform is not None:
                raise UsageError("--platform needs the testbed: a user's own engine takes images for its own.")
            return _from_engine(client, reference, progress)
    own = _LocalImages(progress)
    origin = resolve(reference, host.registry_address, own.has)
    progress(f"importing {reference} from {origin}")
    if origin is Origin.TESTBED:
        return _from_testbed(host, reference, wanted, is_asked=platform is not None)
    where, is_asked = f"--image {reference}", platform is not None
    with work_folder(host.cache) as work:
        if origin is Origin.ARCHIVE:
            folder = imports.bring(_path(reference), work, where, wanted, is_asked=is_asked)
        elif origin is Origin.LOCAL_DOCKER:
            folder = imports.bring(_saved(reference, work / "image.tar"), work, where, wanted, is_asked=is_asked)
        else:
            hint = own.unasked + _hint_of_a_file(reference)
            folder = remote.fetch(reference, work / "image", wanted, is_asked=is_asked, hint=hint)
        refuse_unfit(folder, where, wanted, is_asked=is_asked)
        return _into_registry(host, folder, reference, origin, wanted)


def resolve(reference: str, registry_address: str | None, has_local: Callable[[str], bool]) -> Origin:
    """Which of the four a reference means, in the module's order.

    Raises:
        UsageError: a path that is not there, or no image reference at all.
    """
    if reference.startswith(f"{registry_address}/"):
        return Origin.TESTBED
    path = _path(reference)
    if reference.startswith(_PATH_PREFIXES) or reference.endswith(_ARCHIVE_SUFFIXES):
        if not exists(path):
            raise UsageError(f"--image {reference}: there is no such file.")
        return Origin.ARCHIVE
    if is_file(path / "oci-layout") or (is_file(path) and imports.looks_like_an_archive(path)):
        return Origin.ARCHIVE
    if Reference.parse(reference) is None:
        raise UsageError(f"--image {reference!r} is not an image reference: write NAME:TAG, NAME@sha256:… or a path.")
    return Origin.LOCAL_DOCKER if has_local(reference) else Origin.REGISTRY


class _LocalImages:
    """The user's own Docker, asked whether it has an image; that it does not answer is noted where it was chosen."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.unasked = ""

    def has(self, reference: str) -> bool:
        """Whether it has the image; a Docker that nobody runs has none."""
        own = own_docker()
        try:
            with engine_client(own.url, _LOOK_TIMEOUT_S) as client:
                client.inspect_image(reference)  # type: ignore[no-untyped-call]
        except EngineUnreachableError as error:
            if own.is_chosen:
                self.unasked = f" (Your own Docker was not asked: {own}: {error})"
                self._progress(f"no Docker answers at {own}: local images are not looked for")
            elif note := _context_of_sudo():
                self.unasked = note
            return False
        except ImageBuildError:  # it refuses what it does not have
            return False
        return True


def has_local_image(reference: str) -> bool:
    """Whether the user's own Docker has it; no Docker has no image."""
    return _LocalImages(lambda _: None).has(reference)


def refuse_unfit(folder: Path, where: object, platform: str, *, is_asked: bool) -> None:
    """Refuse what was fetched where it is not a container image, or one for another platform.

    Raises:
        InputFileError: naming what it is, or the platform it is for.
    """
    document = oci.decoded(_small(folder / "manifest.json", where), oci.Document, where, "its manifest")
    oci.refuse_no_image(document, where)
    assert document.config is not None  # it is an image
    content = _small(folder / document.config.digest.removeprefix("sha256:"), where, oci.CONFIG_MAX_BYTES)
    config = oci.decoded(content, oci.Config, where, "its configuration")
    if len(config.rootfs.diff_ids) != len(document.layers or ()):
        raise InputFileError(where, "is damaged: its configuration has another number of layers than its manifest.")
    oci.refuse_platforms([config.platform], platform, is_asked=is_asked, where=where)


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


def _from_testbed(host: ImageHost, reference: str, platform: str, *, is_asked: bool) -> Image:
    registry = _registry(host)
    parsed = Reference.parse(reference)
    if parsed is None:
        raise UsageError(f"--image {reference!r} is not an image reference: write NAME:TAG or NAME@sha256:….")
    image = registry.image(
        parsed.name.removeprefix(f"{registry.address}/"),
        parsed.digest or parsed.tag or "latest",
        platform=platform,
        is_asked=is_asked,
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
    parsed = Reference.parse(reference)
    if parsed is None or reference.endswith(_ARCHIVE_SUFFIXES):
        raise UsageError(
            f"--image {reference!r}: this engine takes images by name only; load an archive into it first."
        )
    try:
        found = client.inspect_image(reference)  # type: ignore[no-untyped-call]
    except docker.errors.ImageNotFound:
        progress(f"pulling {reference}, to see what it consists of")
        with _removed_again(client, reference):
            _pull(client, reference, parsed)
            found = client.inspect_image(reference)  # type: ignore[no-untyped-call]
    pinned = _pinned(found.get("RepoDigests") or (), parsed)
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


@contextmanager
def _removed_again(client: docker.APIClient, reference: str) -> Iterator[None]:
    """Whatever happens, a Ctrl-C too, the image does not stay."""
    try:
        yield
    except BaseException:
        with suppress(docker.errors.DockerException, requests.RequestException):  # it did not come so far
            client.remove_image(reference)
        raise
    client.remove_image(reference)


def _pinned(digests: Sequence[str], parsed: Reference) -> str | None:
    """The image's name by digest: of the repository that was named, if it has one there, else of any."""
    named = [name for name in digests if name.partition("@")[2]]
    own = (name for name in named if name.partition("@")[0] == parsed.name and name.endswith(parsed.digest))
    return next(own, named[0] if named else None)


def _pull(client: docker.APIClient, reference: str, parsed: Reference) -> None:
    tag = parsed.digest or parsed.tag or "latest"
    try:
        with patient(client):
            for event in client.pull(parsed.name, tag=tag, stream=True, decode=True):
                if "error" in event:
                    raise remote.refusal(reference, str(event["error"]))
    except docker.errors.APIError as error:
        raise remote.refusal(reference, str(error.explanation or error)) from error


def _saved(reference: str, archive: Path) -> Path:
    """The user's own Docker's image as an archive; that Docker is only read."""
    with engine_client(own_docker().url, _SAVE_TIMEOUT_S) as client, archive.open("wb") as stream:
        for chunk in client.get_image(reference):
            stream.write(chunk)
    return archive


def _into_registry(host: ImageHost, folder: Path, reference: str, origin: Origin, platform: str) -> Image:
    """Copy skopeo's folder byte for byte, under its own digest: another import of the same name does not replace it."""
    registry = _registry(host)
    workload, variant = names_of(reference)
    repository = f"{_NAMESPACE}/{workload}"
    digest = oci.digest_of((folder / "manifest.json").read_bytes())
    try:
        with inside(host.registry_netns):
            imports.push(folder, f"docker://{registry.address}/{repository}:{digest.replace(':', '-')}", folder.parent)
        image = registry.image(
            repository,
            digest,
            platform=platform,
            names=(workload, variant),
            provenance=(Provenance(what=_shown(reference, origin), source=str(origin)),),
        )
    except DamagedLayerError as error:
        raise InputFileError(f"--image {reference}", f"is damaged: {error}") from error
    except processes.ToolFailedError as error:
        said = error.output.lower()
        if _OF_THE_NETWORK.search(said) or not any(word in said for word in _DAMAGED):
            raise
        raise InputFileError(f"--image {reference}", f"is damaged: {processes.reason(error.output)}") from error
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


def _path(reference: str) -> Path:
    return Path(os.path.expanduser(reference))  # noqa: PTH111  Path.expanduser fails where there is no such user


def _small(path: Path, where: object, limit: int = oci.DOCUMENT_MAX_BYTES) -> bytes:
    with path.open("rb") as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise InputFileError(where, f"has a manifest or configuration of more than {limit} bytes.")
    return content


def _hint_of_a_file(reference: str) -> str:
    """What to write where a file of the name lies here: it is not one of the archives that are known at sight."""
    return f" If the file of that name in this folder is meant, write ./{reference}" if exists(reference) else ""


def _context_of_sudo() -> str:
    user = os.environ.get("SUDO_USER")
    if not user:
        return ""
    return (
        f" (No Docker answers at {own_docker()}. Under sudo {user}'s DOCKER_HOST is not seen: sudo -E, or "
        "sudo DOCKER_HOST=… coldstart …)"
    )


def _sanitized(name: str) -> str:
    """Lower case letters, digits, ``.``, ``_`` and ``-``: what repositories, tags and tables all accept."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._") or "image"
