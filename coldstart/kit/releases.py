"""The Debian releases that kits are saved for, and what decides which wheels run there."""

from __future__ import annotations

from typing import NamedTuple

from coldstart.errors import UnknownNameError
from coldstart.images import platforms
from coldstart.kit.bundle import Target


class Release(NamedTuple):
    """A release's Python and the minor version of its glibc 2 (https://packages.debian.org/libc6)."""

    python: str
    glibc_minor: int


RELEASES = {"bookworm": Release("3.11", 36), "trixie": Release("3.13", 41)}

PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")


def target(platform: str, release: str) -> Target:
    """The boards of ``platform`` (Docker's name) with ``release``.

    Raises:
        UnknownNameError: a release or platform that kits are not saved for.
    """
    if platform not in PLATFORMS:
        raise UnknownNameError("platform", platform, PLATFORMS)
    if release not in RELEASES:
        raise UnknownNameError("release", release, RELEASES)
    return Target(
        architecture=platforms.debian_architecture(platform), release=release, python=RELEASES[release].python
    )
