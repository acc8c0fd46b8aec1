"""A kit's Debian packages: what ``scripts/setup`` installs, with all they depend on, as a repository for apt."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from coldstart.errors import InvalidEnvironmentError
from coldstart.images import processes
from coldstart.images.apt import own_apt
from coldstart.images.debian import default_lines, sources
from coldstart.images.recipe import Progress
from coldstart.kit.bundle import Target

PACKAGES = (
    "containerd",
    "crun",
    "debian-archive-keyring",
    "docker-registry",
    "docker.io",
    "dpkg",
    "e2fsprogs",
    "iproute2",
    "iptables",
    "mmdebstrap",
    "mount",
    "pigz",
    "qemu-utils",
    "runc",
    "skopeo",
    "slirp4netns",
    "util-linux",
)
"""What ``scripts/setup`` may find missing; Python's ``venv`` comes on top, under its release's name."""


def download(folder: Path, work: Path, target: Target, progress: Progress) -> None:
    """Put the packages and their index into ``folder``, by an apt that knows of none installed: a bare board's suffice.

    Raises:
        InvalidEnvironmentError: apt is missing, or could not download them.
    """
    names = [*PACKAGES, f"python{target.python}-venv"]
    progress(f"downloading Debian {target.release} packages for {target.architecture}")
    origin = sources(target.architecture)
    lines = origin.lines if origin.suite == target.release else default_lines(target.release)
    apt = own_apt(work / "kit-apt", lines, target.architecture)
    try:
        processes.run([*apt, "update"])
        processes.run([*apt, "--yes", "--no-install-recommends", "--download-only", "install", *names])
    except processes.ToolFailedError as error:
        raise InvalidEnvironmentError(f"the kit's Debian packages could not be downloaded: {error}") from error
    folder.mkdir(parents=True)
    index = []
    for deb in sorted((work / "kit-apt" / "cache" / "archives").glob("*.deb")):
        kept = folder / plain_name(deb.name)
        shutil.move(deb, kept)
        index.append(entry(kept, processes.run(["dpkg-deb", "--field", str(kept)])))
    (folder / "Packages").write_text("\n".join(index))


def plain_name(name: str) -> str:
    """Apt writes a version's colon as ``%3a``, and would look for that name in an address: a dash instead."""
    return name.replace("%3a", "-")


def entry(deb: Path, fields: str) -> str:
    """A package's paragraph in the index (https://wiki.debian.org/DebianRepository/Format)."""
    with deb.open("rb") as content:
        checksum = hashlib.file_digest(content, "sha256").hexdigest()
    return f"{fields.strip()}\nFilename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {checksum}\n"
