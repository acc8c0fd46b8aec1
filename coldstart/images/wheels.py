"""The wheels a workload's images install: fetched on the host by hash, kept, and handed to builds without a network.

A workload names its pip requirements files, each line pinned with the hashes of its wheels for every platform it is
built for; pip picks those of the image's own interpreter. Nothing is resolved: what is installed is what is written.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from coldstart.errors import ImageBuildError, NotPublishedError
from coldstart.images import platforms, processes
from coldstart.images.bases import Base
from coldstart.images.recipe import Progress
from coldstart.images.workspace import put_in_place, work_folder

FOLDER = "wheels"
"""Where they are in the build context."""

_VERSION = "1"  # changes whenever the same requirements would give other wheels
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def interpreter(workload: str, bases: Sequence[Base]) -> str:
    """The minor version of Python that all of ``bases`` have which have any.

    Raises:
        ImageBuildError: none has, or two differ: wheels for one would not load in the other.
    """
    versions = {base.record.name: base.record.python for base in bases if base.record.python is not None}
    if not versions:
        raise ImageBuildError(f"workload {workload} needs wheels, and none of its bases has Python: name python.")
    if len(set(versions.values())) > 1:
        found = ", ".join(f"{name} {version}" for name, version in versions.items())
        raise ImageBuildError(
            f"workload {workload}: its bases have different Pythons ({found}): "
            "use --bases packages or --bases upstream for all of them."
        )
    return next(iter(versions.values()))


def ensure_wheels(
    cache: Path, requirements: Sequence[Path], python: str, platform: str, progress: Progress
) -> tuple[Path, ...]:
    """The wheels of ``requirements`` for an interpreter and platform, sorted; no network once they are cached.

    Raises:
        NotPublishedError: none fits; the message says for which file.
        ImageBuildError: they cannot be fetched.
        StorageError: the cache cannot be written.
    """
    hashes = {digest for path in requirements for digest in _HASH.findall(path.read_text())}
    folder = cache / FOLDER / _key(requirements, python, platform)
    if not _is_whole(folder, hashes):
        with work_folder(cache) as work:
            progress(f"fetching wheels for Python {python} on {platform}: {', '.join(p.name for p in requirements)}")
            _download(work / FOLDER, requirements, python, platform)
            if folder.exists():
                folder.rename(work / "damaged")
            put_in_place(work / FOLDER, folder)
    return tuple(sorted(folder.glob("*.whl")))


def _key(requirements: Iterable[Path], python: str, platform: str) -> str:
    """All that decides the wheels."""
    digest = hashlib.sha256(f"{_VERSION}\n{python}\n{platform}\n".encode())
    for path in requirements:
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _is_whole(folder: Path, hashes: set[str]) -> bool:
    """Whether every file there is one that was asked for: a cache is made again, not trusted."""
    wheels = list(folder.glob("*.whl"))
    return bool(wheels) and all(hashlib.sha256(wheel.read_bytes()).hexdigest() in hashes for wheel in wheels)


def _download(folder: Path, requirements: Iterable[Path], python: str, platform: str) -> None:
    """By pip, which checks the hashes; without dependencies, whose markers it would judge by the host's own Python."""
    tags = platforms.wheel_tags(platform, platforms.BOOKWORM_GLIBC_MINOR)
    try:
        processes.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
                *("--require-hashes", "--only-binary=:all:", "--implementation", "cp", "--python-version", python),
                *(part for tag in tags for part in ("--platform", tag)),
                *("--dest", str(folder)),
                *(part for path in requirements for part in ("--requirement", str(path))),
            ]
        )
    except processes.ToolFailedError as error:
        if "No matching distribution" in error.output:
            raise NotPublishedError(
                f"{', '.join(str(path) for path in requirements)}: no wheel for Python {python} on {platform} has one "
                f"of the hashes there; add its own, or leave the workload out here:\n{error}"
            ) from error
        raise
