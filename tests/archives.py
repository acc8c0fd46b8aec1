"""Image archives that tests make of others."""

from __future__ import annotations

import tarfile
from pathlib import Path

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
