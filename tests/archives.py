"""Image archives that tests make of others."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from coldstart.images.archive import write_archive
from coldstart.images.layers import new_layer


def with_healthcheck(base: Path, folder: Path, test: str, *, interval_ns: int = 20_000_000, retries: int = 1000) -> str:
    """A Docker archive in ``folder``: the image of the archive ``base``, with a HEALTHCHECK that runs ``test``."""
    layers = _layers_of(base, folder)
    path = folder / "checked.tar"
    write_archive(
        path,
        tag="checked:1",
        platform="linux/amd64",
        layers=layers,
        config={
            "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            "Healthcheck": {"Test": ["CMD-SHELL", test], "Interval": interval_ns, "Retries": retries},
        },
    )
    return str(path)


def with_repeated_layer(base: Path, folder: Path) -> str:
    """A Docker archive in ``folder``: the image of the archive ``base``, with one more layer that is listed twice.

    BuildKit writes such images: it makes one empty layer of each ``WORKDIR`` that is there already.
    """
    layers = _layers_of(base, folder)
    with new_layer(folder / "repeated.layer") as writer:
        writer.add_folder("app")
    layers += [(folder / "repeated.layer", "a test")] * 2
    path = folder / "repeated.tar"
    config = {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}
    write_archive(path, tag="repeated:1", platform="linux/amd64", layers=layers, config=config)
    return str(path)


def _layers_of(base: Path, folder: Path) -> list[tuple[Path, str]]:
    """The layers of a Docker archive, each as a file in ``folder``."""
    layers = []
    with tarfile.open(base) as tar:
        member = tar.extractfile("manifest.json")
        assert member is not None
        for index, name in enumerate(msgspec.json.decode(member.read())[0]["Layers"]):
            blob = tar.extractfile(name)
            assert blob is not None
            layers.append((folder / f"{index}.tar", "a test"))
            layers[-1][0].write_bytes(blob.read())
    return layers


class Layout:
    """An OCI layout in a folder, written by hand so that it can be wrong; its layers' content is whatever is given."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "blobs" / "sha256").mkdir(parents=True)

    def blob(self, content: bytes, media_type: str) -> dict[str, Any]:
        """Store a blob; its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        (self.root / "blobs" / "sha256" / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def image(
        self,
        layers: Sequence[bytes],
        *,
        platform: str = "linux/amd64",
        layer_type: str = "application/vnd.oci.image.layer.v1.tar",
        config_type: str = "application/vnd.oci.image.config.v1+json",
        **more: object,
    ) -> dict[str, Any]:
        """Store an image of ``layers``; its manifest's descriptor, without a platform. ``more`` is the manifest's."""
        os_name, architecture = platform.split("/")
        diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
        config = {"os": os_name, "architecture": architecture, "rootfs": {"diff_ids": diff_ids}}
        manifest = {
            "schemaVersion": 2,
            "config": self.blob(json.dumps(config).encode(), config_type),
            "layers": [self.blob(layer, layer_type) for layer in layers],
            **more,
        }
        return self.blob(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")

    def index(self, entries: Sequence[object]) -> dict[str, Any]:
        """Store an index; its descriptor."""
        content = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
        return self.blob(content, "application/vnd.oci.image.index.v1+json")

    def close(self, entries: Sequence[object]) -> None:
        """Write what makes it a layout."""
        (self.root / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (self.root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))

    def files(self) -> dict[str, bytes]:
        """Its files by name."""
        return {
            str(file.relative_to(self.root)): file.read_bytes()
            for file in sorted(self.root.rglob("*"))
            if file.is_file()
        }


def tar_of(files: Mapping[str, bytes], *, prefix: str = "") -> bytes:
    """A tar of them; a content of one byte that is a tar's type is a member of that type, linked to /etc/passwd."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        if prefix:
            folder = tarfile.TarInfo(prefix)
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            if content in {tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE}:
                member.type, member.linkname = content, "/etc/passwd"
                tar.addfile(member)
                continue
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()
