"""The engine's classic builder: bases in, image out, and everything it brought into the engine gone again."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
import docker.errors

from coldstart.engines.wire import LABEL, OWNER
from coldstart.errors import ImageBuildError
from coldstart.images.bases import TAG_PREFIX, Base
from coldstart.images.catalogue import FILE_NAME, Variant, Workload
from coldstart.images.host import ImageHost, engine_client, patient
from coldstart.images.layers import EPOCH_S
from coldstart.images.recipe import Progress
from coldstart.images.wheels import FOLDER as WHEELS

_TAIL_LINES = 15
_STEP = re.compile(r"^ ---> ([0-9a-f]{12,64})\s*$", re.MULTILINE)
_CONTAINER = re.compile(r"^ ---> Running in ([0-9a-f]{12,64})\s*$", re.MULTILINE)


class Builder:
    """Builds on one engine and remembers what that made; get one from `building`.

    ``foreign`` is the platform it builds for where that is not the engine's own.
    """

    def __init__(self, client: docker.APIClient, progress: Progress, foreign: str | None = None) -> None:
        self.foreign = foreign
        self._client = client
        self._progress = progress
        self._before = {image["Id"] for image in client.images(all=True)}
        self._base_tags: dict[str, str] = {}
        self._images: list[str] = []
        self._containers: list[str] = []
        self.tags: list[str] = []

    def load(self, base: Base) -> str:
        """Load a base, once; returns its tag."""
        record = base.record
        if record.name not in self._base_tags:
            self._progress(f"loading base {record.name} ({record.provenance.what})")
            self._base_tags[record.name] = record.tag
            with base.archive.open("rb") as archive, patient(self._client):
                for event in self._client.load_image(archive):  # type: ignore[no-untyped-call]
                    if "error" in event:
                        raise ImageBuildError(f"base {record.name} could not be loaded: {event['error']}")
        return record.tag

    def build(
        self, workload: Workload, variant: str, bases: Iterable[Base], tag: str, wheels: Iterable[Path] = ()
    ) -> str:
        """Build a variant as ``tag``, labelled as ours; returns its ID. ``wheels`` join its context.

        Raises:
            ImageBuildError: the build failed; the message has the end of its log.
        """
        chosen = workload.variant(variant)
        arguments = {base.record.argument: self.load(base) for base in bases}
        self._progress(f"building {workload.name}/{variant}")
        with patient(self._client):
            self._follow(self._build(workload, chosen, arguments, tag, wheels), f"{workload.name}/{variant}")
        return str(self._client.inspect_image(tag)["Id"])  # type: ignore[no-untyped-call]

    def _build(
        self, workload: Workload, chosen: Variant, arguments: dict[str, str], tag: str, wheels: Iterable[Path]
    ) -> Iterator[dict[str, Any]]:
        self.tags.append(tag)
        events: Iterator[dict[str, Any]] = self._client.build(
            fileobj=io.BytesIO(context(workload, chosen, wheels)),
            custom_context=True,
            dockerfile=chosen.dockerfile,
            buildargs={**arguments, "SOURCE_DATE_EPOCH": str(EPOCH_S)},
            labels={LABEL: OWNER},
            tag=tag,
            platform=self.foreign,
            rm=True,
            forcerm=True,
            decode=True,
        )
        return events

    def push(self, tag: str) -> None:
        """Push to the registry the tag names.

        Raises:
            ImageBuildError: it was refused.
        """
        repository, _, name = tag.rpartition(":")
        self._progress(f"pushing {tag}")
        with patient(self._client):
            for event in self._client.push(repository, tag=name, stream=True, decode=True):
                if "error" in event:
                    raise ImageBuildError(f"{tag} could not be pushed: {event['error']}")

    def _follow(self, events: Iterator[dict[str, Any]], what: str) -> None:
        log: list[str] = []
        for event in events:
            text = str(event.get("stream") or event.get("error") or event.get("status") or "")
            log += text.splitlines()
            self._images += _STEP.findall(text)
            self._containers += _CONTAINER.findall(text)
            if "error" in event:
                tail = "\n".join(f"  {line}" for line in [line for line in log if line.strip()][-_TAIL_LINES:])
                raise ImageBuildError(f"{what} could not be built. Its log ends:\n{tail}")

    def clean(self, client: docker.APIClient, *, keep: frozenset[str]) -> None:
        """Remove the containers, intermediate images and bases that came with the builds; ``keep`` are tags that stay.

        Only what this builder made or loaded, or what carries our label and has no name any more.
        """
        for container in self._containers:
            with _refusal_is_fine():
                client.remove_container(container, force=True)
        for tag in (*self.tags, *self._base_tags.values()):
            if tag not in keep:
                with _refusal_is_fine():
                    client.remove_image(tag)
        _remove_images(client, self._is_ours)

    def _is_ours(self, image: dict[str, Any]) -> bool:
        plain = str(image["Id"]).removeprefix("sha256:")
        made = image["Id"] not in self._before and any(plain.startswith(short) for short in self._images)
        return not _names(image) and (made or (image.get("Labels") or {}).get(LABEL) == OWNER)


@contextmanager
def building(host: ImageHost, progress: Progress, foreign: str | None = None) -> Iterator[Builder]:
    """A builder whose leftovers are gone afterwards, however it ends: on a testbed its images too, they were pushed.

    It builds for the engine's own platform, or for ``foreign``.

    Raises:
        EngineUnreachableError, ImageBuildError: as the engine answers; something that cannot be removed is an error,
            since it would keep layers warm that are measured as absent.
    """
    private = host.registry_address is not None
    with engine_client(host.docker_socket) as client:
        if private:
            remove_leftovers(client)
        builder = Builder(client, progress, foreign)
        try:
            yield builder
        finally:
            # Its own connection: the builder's may be in the middle of an interrupted answer.
            with engine_client(host.docker_socket) as cleaner:
                builder.clean(cleaner, keep=frozenset() if private else frozenset(builder.tags))
                if private:
                    remove_leftovers(cleaner)


def remove_leftovers(client: docker.APIClient) -> None:
    """Remove bases and nameless images from an engine of ours: whatever builds, killed ones too, left there.

    Raises:
        ImageBuildError: one stays.
    """
    _remove_images(client, _is_leftover)
    left = [image["Id"] for image in client.images(all=True) if _is_leftover(image)]
    if left:
        raise ImageBuildError(f"the engine keeps images that builds left: {', '.join(left)}. Restart the testbed.")


def context(workload: Workload, variant: Variant, wheels: Iterable[Path] = ()) -> bytes:
    """The build context as a tar that depends on the files' content alone; ``wheels`` have a folder of their own."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        files = [(str(path.relative_to(workload.folder)), path) for path in context_files(workload, variant)]
        for name, path in (*files, *((f"{WHEELS}/{wheel.name}", wheel) for wheel in wheels)):
            member = tarfile.TarInfo(name)
            content = path.read_bytes()
            member.size, member.mtime = len(content), EPOCH_S
            member.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def context_files(workload: Workload, variant: Variant) -> list[Path]:
    """The variant's Dockerfile and the sources, sorted: no other variant's Dockerfile, nothing hidden, no bytecode."""
    others = {each.dockerfile for each in workload.variants.values()} - {variant.dockerfile} | {FILE_NAME}
    return [
        path
        for path in sorted(workload.folder.rglob("*"))
        if path.is_file()
        and str(path.relative_to(workload.folder)) not in others
        and not any(part.startswith((".", "__pycache__")) for part in path.relative_to(workload.folder).parts)
    ]


def _is_leftover(image: dict[str, Any]) -> bool:
    names = _names(image)
    return not names or any(name.startswith(TAG_PREFIX) for name in names)


def _names(image: dict[str, Any]) -> list[str]:
    """Tags and digests; the API writes ``<none>`` for none."""
    names = (*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ()))
    return [name for name in names if not name.startswith("<none>")]


def _remove_images(client: docker.APIClient, is_doomed: Callable[[dict[str, Any]], bool]) -> None:
    """Remove them, children before parents: passes over the list until one changes nothing."""
    before: list[dict[str, Any]] = []
    while (doomed := [image for image in client.images(all=True) if is_doomed(image)]) != before:
        before = doomed
        for image in doomed:
            for name in _names(image) or [image["Id"]]:
                with _refusal_is_fine():
                    client.remove_image(name)


@contextmanager
def _refusal_is_fine() -> Iterator[None]:
    """Gone already, or still another's parent: the caller looks at what is left."""
    with suppress(docker.errors.NotFound):
        try:
            yield
        except docker.errors.APIError as error:
            if error.status_code != 409:
                raise
