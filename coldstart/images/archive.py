"""Docker archives (``docker save``'s format) written and read by hand, since ``docker import`` mislabels platforms."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from coldstart.errors import ImageBuildError
from coldstart.images import oci, tars
from coldstart.images.layers import EPOCH_S

_CREATED = "2025-01-01T00:00:00Z"  # EPOCH_S


class Contents(NamedTuple):
    """What an archive says it holds: its image's ID (the configuration's digest) and platform."""

    image_id: str
    platform: str


def write_archive(
    path: Path,
    *,
    tag: str,
    platform: str,
    layers: Sequence[tuple[Path, str]],
    config: Mapping[str, object],
) -> str:
    """Write an image of uncompressed ``layers`` (tar, what made it), base first; returns its ID.

    ``config`` holds the runtime settings by the image specification's names (``Env``, ``Cmd``, …).
    """
    diff_ids = [_sha256(layer) for layer, _ in layers]
    os_name, architecture, *variant = platform.split("/")
    image = {
        "created": _CREATED,
        "os": os_name,
        "architecture": architecture,
        **({"variant": variant[0]} if variant else {}),
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": _CREATED, "created_by": made_by} for _, made_by in layers],
    }
    encoded = msgspec.json.encode(image)
    config_digest = hashlib.sha256(encoded).hexdigest()
    names = [f"{index}-{digest.removeprefix('sha256:')}/layer.tar" for index, digest in enumerate(diff_ids)]
    manifest = [{"Config": f"{config_digest}.json", "RepoTags": [tag], "Layers": names}]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, f"{config_digest}.json", encoded)
        for name, (layer, _) in zip(names, layers, strict=True):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = layer.stat().st_size, EPOCH_S
            with layer.open("rb") as content:
                tar.addfile(member, content)
        _add(tar, "manifest.json", msgspec.json.encode(manifest))
    return f"sha256:{config_digest}"


def read_archive(path: Path) -> Contents:
    """The one image of a docker archive.

    Raises:
        ImageBuildError: it is none, or its configuration is not the one it names.
    """
    try:
        with tars.opened(path) as tar:
            manifest = msgspec.json.decode(_read(tar, "manifest.json"), type=list[_Saved])
            encoded = _read(tar, manifest[0].config)
        platform = msgspec.json.decode(encoded, type=oci.Config).platform
        if platform is None:
            raise ValueError("its configuration names no architecture")
    except (*tars.DAMAGED, msgspec.MsgspecError, OSError) as error:
        raise ImageBuildError(f"{path}: not a docker archive ({error}); delete it and build again.") from error
    return Contents(oci.digest_of(encoded), platform)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(content), EPOCH_S
    tar.addfile(member, io.BytesIO(content))


class _Saved(msgspec.Struct, frozen=True, rename="pascal"):
    config: str


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.getmember(name)
    content = tar.extractfile(member)
    if content is None or member.size > oci.CONFIG_MAX_BYTES:
        raise KeyError(name)
    return content.read()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
