"""A kit's wheels: all that coldstart and its extras require, for the board's Python, and what builds it there."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from coldstart.errors import InvalidEnvironmentError
from coldstart.images import platforms, processes
from coldstart.images.recipe import Progress
from coldstart.kit.releases import RELEASES

BUILD_REQUIREMENTS = ("hatchling", "editables")  # pyproject's build-system, and what hatchling adds for --editable


def download(folder: Path, platform: str, release: str, progress: Progress) -> None:
    """Put the wheels into ``folder``.

    Raises:
        InvalidEnvironmentError: pip could not get every one.
    """
    python, glibc_minor = RELEASES[release]
    progress(f"downloading wheels for Python {python} on {platform}")
    try:
        processes.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
                *("--only-binary=:all:", "--dest", str(folder), "--python-version", python),
                *(word for tag in platforms.wheel_tags(platform, glibc_minor) for word in ("--platform", tag)),
                *requirements(metadata.requires("coldstart") or ()),
                *BUILD_REQUIREMENTS,
            ]
        )
    except processes.ToolFailedError as error:
        raise InvalidEnvironmentError(
            f"the kit's wheels could not be downloaded: {error}\nWhere PyPI has none for {platform}, name an index "
            "that has: PIP_EXTRA_INDEX_URL=https://www.piwheels.org/simple for 32-bit Raspberry Pi OS."
        ) from error


def requirements(said: Iterable[str]) -> list[str]:
    """Those of a distribution and of all its extras, without markers and without the extras that name extras."""
    plain = (line.partition(";")[0].strip() for line in said)
    return [line for line in plain if not line.startswith("coldstart[")]
