"""Catalogue images out of one testbed's registry and into another's, recorded there as if built there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from coldstart.decoding import UNREADABLE
from coldstart.engines.netns import inside
from coldstart.errors import ImageBuildError, InputFileError, InvalidEnvironmentError, UnknownNameError
from coldstart.images import processes
from coldstart.images.bases import Base, BaseRecord, BaseSource, adopt, cached, folder_name
from coldstart.images.build import content_key, record, recorded_images, repository_of
from coldstart.images.catalogue import Workload, catalogue, find
from coldstart.images.host import ImageHost, engine_client, platform_of
from coldstart.images.imports import DIR_VERSION, SILENCE_S
from coldstart.images.recipe import Progress
from coldstart.images.registry import Registry
from coldstart.kit.bundle import BLOBS, Manifest, unpack
from coldstart.model.image import Image


class SavedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image in a bundle, and the content key it was built under."""

    key: str
    image: Image


class SavedBase(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a base that saved images were made of, and the name of its folder: recipe and source are in it."""

    folder: str
    record: BaseRecord


class Records(NamedTuple):
    """What a manifest says of its images."""

    images: tuple[SavedImage, ...]
    bases: tuple[SavedBase, ...]

    def written_in(self, manifest: Manifest) -> Manifest:
        """The manifest with them."""
        return replace(
            manifest,
            images=tuple(msgspec.to_builtins(image) for image in self.images),
            bases=tuple(msgspec.to_builtins(base) for base in self.bases),
        )


def save_images(
    host: ImageHost,
    images: Iterable[Image],
    folder: Path,
    progress: Progress,
    *,
    bases: BaseSource = BaseSource.AUTO,
    workloads: Mapping[str, Workload] | None = None,
) -> Records:
    """Copy built ``images`` from the testbed's registry into ``folder``, a blob a file, as a bundle has them.

    Raises:
        InvalidEnvironmentError: there is no testbed, its registry does not answer, or does not give one.
    """
    registry = registry_of(host)
    known = catalogue() if workloads is None else workloads
    saved: list[SavedImage] = []
    used: dict[str, SavedBase] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for image in images:
        progress(f"saving {image.workload}/{image.variant}")
        _copy(registry, f"docker://{image.reference}", f"dir:{folder / 'image'}")
        _keep_blobs(folder / "image", folder / BLOBS, image)
        workload, variant = find(known, image.workload, image.variant)
        its_bases = [cached(host.cache, name, image.platform, bases) for name in variant.bases]
        made_of = [base for base in its_bases if base is not None]
        for base in made_of:
            used[base.record.name] = SavedBase(folder=folder_name(base.record), record=base.record)
        saved.append(SavedImage(key=content_key(workload, variant, made_of, image.platform), image=image))
    return Records(tuple(saved), tuple(used.values()))


def read_images(path: Path, folder: Path, *, workloads: Mapping[str, Workload] | None = None) -> Records:
    """Check the whole bundle and put its blobs into ``folder``; every image is what this coldstart would build.

    Raises:
        InputFileError: it is damaged or no bundle, holds no image, or images of other sources than this coldstart's.
        StorageError: ``folder`` cannot be written.
    """
    manifest = unpack(path, folder, keep=(BLOBS,))
    if not manifest.images:
        raise InputFileError(path, "holds no images.", _remedy(manifest.platform))
    records = _decoded(path, manifest)
    known = catalogue() if workloads is None else workloads
    blobs = {part.name.rpartition("/")[2] for part in manifest.of(BLOBS)}
    for saved in records.images:
        _refuse_other_sources(path, manifest, saved, records.bases, known)
        for digest in blobs_of(saved.image):
            if _plain(digest) not in blobs:
                what = f"lacks {digest} of {saved.image.workload}/{saved.image.variant}."
                raise InputFileError(path, what, "Save it again.")
    return records


def load_images(
    host: ImageHost,
    path: Path,
    folder: Path,
    records: Records,
    progress: Progress,
    *,
    workloads: Mapping[str, Workload] | None = None,
) -> tuple[Image, ...]:
    """Put what `read_images` read into the testbed's registry and record it; what is there already stays.

    Raises:
        InputFileError: it is for another platform than the engine's.
        InvalidEnvironmentError: there is no testbed, or its registry does not take one.
    """
    registry = registry_of(host)
    with engine_client(host.docker_socket) as client:
        platform = platform_of(client)
    for saved in records.images:
        if saved.image.platform != platform:
            what = f"is for {saved.image.platform}, and this machine's engine runs {platform}."
            raise InputFileError(path, what, _remedy(platform))
    for saved in records.images:
        _deliver(registry, folder, saved.image, progress)
    for base in records.bases:
        adopt(host.cache, base.record)
    for saved in records.images:
        record(host, saved.key, saved.image)
    wanted = [(saved.image.workload, saved.image.variant) for saved in records.images]
    found = recorded_images(host, wanted, platform, workloads=workloads)
    for (workload, variant), there in found.items():
        if there is None:
            progress(f"{workload}/{variant}: another base comes first here; found with --bases packages")
    return tuple(found[pair] or saved.image for pair, saved in zip(wanted, records.images, strict=True))


def registry_of(host: ImageHost) -> Registry:
    """The registry that images are saved from and loaded into.

    Raises:
        InvalidEnvironmentError: there is none: it is a user's own engine.
    """
    if host.registry is None:
        raise InvalidEnvironmentError("images are saved from and loaded into the testbed's registry: run as root.")
    return host.registry


def blobs_of(image: Image) -> list[str]:
    """The digests of all that an image is: manifest, configuration and layers."""
    return [str(image.digest), image.image_id, *(str(layer.digest) for layer in image.layers)]


def _remedy(platform: str) -> str:
    return f"Save some with: coldstart images save FILE --platform {platform}"


def _refuse_other_sources(
    path: Path, manifest: Manifest, saved: SavedImage, bases: Sequence[SavedBase], known: Mapping[str, Workload]
) -> None:
    """A record is found by its key alone, so one with a key that is never asked for would be lost."""
    image = saved.image
    by_name = {base.record.name: base for base in bases}
    try:
        workload, variant = find(known, image.workload, image.variant)
        used = [by_name[name] for name in variant.bases]
        fits = all(base.folder == folder_name(base.record) for base in bases)
    except (UnknownNameError, KeyError, ValueError):
        fits = False
    else:
        made_of = [Base(record=base.record, archive=path) for base in used]
        fits = fits and saved.key == content_key(workload, variant, made_of, image.platform)
    if not fits:
        raise InputFileError(
            path,
            f"{image.workload}/{image.variant} was built from other sources than this coldstart's (saved by "
            f"{manifest.coldstart}).",
            "Use the same version on both machines.",
        )


def _decoded(path: Path, manifest: Manifest) -> Records:
    try:
        records = Records(
            msgspec.convert(manifest.images, tuple[SavedImage, ...]),
            msgspec.convert(manifest.bases, tuple[SavedBase, ...]),
        )
    except UNREADABLE as error:
        raise InputFileError(path, f"is damaged: {error}.", "Save it again.") from error
    for saved in records.images:
        layers = saved.image.layers
        sizes = [saved.image.config_bytes, *(layer.compressed_bytes for layer in layers)]
        sizes += [*(layer.unpacked_bytes for layer in layers), *(layer.files for layer in layers)]
        if any(size is not None and size < 0 for size in sizes):
            what = f"is damaged: {saved.image.workload}/{saved.image.variant} has a negative size."
            raise InputFileError(path, what, "Save it again.")
    return records


def _keep_blobs(copied: Path, blobs: Path, image: Image) -> None:
    """Skopeo's folder (its manifest, and each blob by its digest) to blobs alone."""
    blobs.mkdir(parents=True, exist_ok=True)
    (copied / "manifest.json").rename(copied / _plain(str(image.digest)))
    for digest in blobs_of(image):
        source = copied / _plain(digest)
        if source.exists():
            source.replace(blobs / source.name)
    shutil.rmtree(copied)


def _deliver(registry: Registry, folder: Path, image: Image, progress: Progress) -> None:
    """Put one image into the registry, unless it has it."""
    repository, name = repository_of(image.workload), f"{image.workload}/{image.variant}"
    if registry.manifest(repository, str(image.digest)) is not None:
        return
    progress(f"loading {name}")
    copied = folder / "image"
    copied.mkdir()
    (copied / "version").write_text(DIR_VERSION)
    for digest in blobs_of(image)[1:]:
        if not (copied / _plain(digest)).exists():
            os.link(_blob(folder, digest), copied / _plain(digest))
    os.link(_blob(folder, str(image.digest)), copied / "manifest.json")
    _copy(registry, f"dir:{copied}", f"docker://{registry.address}/{repository}:{image.variant}")
    shutil.rmtree(copied)
    if registry.manifest(repository, str(image.digest)) is None:
        raise ImageBuildError(f"{name} was loaded, and the registry does not have it. Is its disk full?")


def _copy(registry: Registry, source: str, destination: str) -> None:
    with inside(registry.netns):
        processes.run(
            [
                *("skopeo", "--insecure-policy", "copy", "--quiet", "--preserve-digests"),
                *("--src-tls-verify=false", "--dest-tls-verify=false", source, destination),
            ],
            silence_s=SILENCE_S,
        )


def _blob(folder: Path, digest: str) -> Path:
    return folder / BLOBS / _plain(digest)


def _plain(digest: str) -> str:
    return digest.removeprefix("sha256:")
