"""Image archives that tests make of others."""

from __future__ import annotations

import tarfile
from pathlib import Path

import msgspec

from coldstart.images.archive import write_archive


def with_healthcheck(base: Path, folder: Path, test: str, *, interval_ns: int = 20_000_000, retries: int = 1000) -> str:
    """A Docker archive in ``folder``: the image of the archive ``base``, with a HEALTHCHECK that runs ``test``."""
    layers = []
    with tarfile.open(base) as tar:
        member = tar.extractfile("manifest.json")
        assert member is not None
        for index, name in enumerate(msgspec.json.decode(member.read())[0]["Layers"]):
            blob = tar.extractfile(name)
            assert blob is not None
            layers.append((folder / f"{index}.tar", "a test"))
            layers[-1][0].write_bytes(blob.read())
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
