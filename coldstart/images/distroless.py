"""Bases in the manner of gcr.io/distroless: the packages upstream takes, unpacked as they are, a layer each.

Package list, accounts and folders follow GoogleContainerTools/distroless, ``static/static.bzl`` and ``common/``; those
of Python ``python3/``: the interpreter with all it depends on, and the C++ library that upstream has by way of ``cc``.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import msgspec

from coldstart.images import platforms, processes
from coldstart.images.apt import own_apt
from coldstart.images.debian import sources
from coldstart.images.layers import LayerWriter, new_layer, plain_name, split
from coldstart.images.python import version_in
from coldstart.images.recipe import PATH_ENV, Parts, Progress, Recipe
from coldstart.model.image import Provenance

_PACKAGES = ("base-files", "netbase", "tzdata", "media-types")
_CERTIFICATES = "ca-certificates"
_PYTHON = ("python3", "libstdc++6")
# What packages depend on to be installed: nothing is, so apt is told that it is there already.
_INSTALLERS = ("debconf", "dpkg")
_NONROOT = 65532

_ACCOUNTS = """\
root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
"""
_GROUP = """\
root:x:0:
nobody:x:65534:
tty:x:5:
staff:x:50:
nonroot:x:65532:
"""
_NSSWITCH = "hosts:      files dns\n"


def make_static(work: Path, platform: str, progress: Progress) -> Parts:
    """One layer for each package, one for accounts and folders, one for the certificates."""
    return _make(work, platform, progress, (), "distroless-style static")


def make_python(work: Path, platform: str, progress: Progress) -> Parts:
    """The same, and a layer for each package that Python takes."""
    parts = _make(work, platform, progress, _PYTHON, "distroless-style Python")
    version = version_in(parts.provenance.packages)
    provenance = msgspec.structs.replace(parts.provenance, what=f"{parts.provenance.what} {version}")
    return msgspec.structs.replace(parts, provenance=provenance, python=version)


def _make(work: Path, platform: str, progress: Progress, more: tuple[str, ...], what: str) -> Parts:
    progress(f"downloading Debian packages {', '.join((*_PACKAGES, *more, _CERTIFICATES))}")
    debs = _download(work, platform, more)
    names = (*_PACKAGES, *sorted(debs.keys() - {*_PACKAGES, _CERTIFICATES}))
    layers = [(_package_layer(work, name, debs[name]), name) for name in names]
    layers.append((_accounts_layer(work), "accounts and folders"))
    layers.append((_certificates_layer(work, debs[_CERTIFICATES]), _CERTIFICATES))
    versions = {name: processes.run(["dpkg-deb", "--field", str(deb), "Version"]).strip() for name, deb in debs.items()}
    return Parts(
        layers=tuple(layers),
        config={
            "Env": [PATH_ENV, "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
            "User": "0",
            "WorkingDir": "/",
        },
        provenance=Provenance(
            what=what,
            source=f"Debian packages, {sources(platforms.debian_architecture(platform)).suite}, unpacked",
            packages=tuple(sorted(f"{name}={version}" for name, version in versions.items())),
        ),
    )


STATIC = Recipe("1", make_static)
PYTHON = Recipe("1", make_python)


def bundle(certificates: dict[str, bytes]) -> bytes:
    """All certificates, by path, as the one file that TLS libraries read."""
    return b"".join(certificates[name].rstrip(b"\n") + b"\n" for name in sorted(certificates))


def to_install(simulated: str) -> tuple[str, ...]:
    """The packages that ``apt-get install --simulate`` would install, sorted."""
    return tuple(
        sorted(line.split()[1].partition(":")[0] for line in simulated.splitlines() if line.startswith("Inst "))
    )


def _download(work: Path, platform: str, more: tuple[str, ...]) -> dict[str, Path]:
    """The .debs by package, through an apt of our own: no list or cache of the host's is read or written.

    ``more`` come with all they depend on.
    """
    architecture = platforms.debian_architecture(platform)
    debs = work / "debs"
    debs.mkdir()
    apt = own_apt(work / "apt", sources(architecture).lines, architecture, installed=_INSTALLERS)
    processes.run([*apt, "update"])
    closure = processes.run([*apt, "install", "--simulate", "--no-install-recommends", *more]) if more else ""
    wanted = dict.fromkeys((*_PACKAGES, *to_install(closure), _CERTIFICATES))
    processes.run([*apt, "download", *wanted], cwd=debs)
    return {deb.name.partition("_")[0]: deb for deb in debs.glob("*.deb")}


def _package_layer(work: Path, name: str, deb: Path) -> Path:
    """A package's files, and its control file where scanners look for it."""
    layer = work / f"{name}.tar"
    with new_layer(layer) as writer:
        split(_files(work, deb), lambda _: writer)
        writer.add_folder("var/lib/dpkg/status.d")
        writer.add_file(f"var/lib/dpkg/status.d/{name}", processes.run(["dpkg-deb", "--field", str(deb)]).encode())
    return layer


def _accounts_layer(work: Path) -> Path:
    layer = work / "accounts.tar"
    with new_layer(layer) as writer:
        writer.add_file("etc/passwd", _ACCOUNTS.encode())
        writer.add_file("etc/group", _GROUP.encode())
        writer.add_file("etc/nsswitch.conf", _NSSWITCH.encode())
        _add_folders(writer)
    return layer


def _add_folders(writer: LayerWriter) -> None:
    writer.add_folder("root", mode=0o700)
    writer.add_folder("home")
    writer.add_folder("home/nonroot", mode=0o700, owner=_NONROOT)
    writer.add_folder("tmp", mode=0o1777)


def _certificates_layer(work: Path, deb: Path) -> Path:
    """The package's certificates as one bundle; its installation script, which would write it, needs a shell."""
    found: dict[str, bytes] = {}
    copyright_text = b""
    with tarfile.open(_files(work, deb)) as tar:
        for member in tar:
            content = tar.extractfile(member)
            name = plain_name(member.name)
            if content is not None and name.startswith("usr/share/ca-certificates/") and name.endswith(".crt"):
                found[name] = content.read()
            elif content is not None and name == f"usr/share/doc/{_CERTIFICATES}/copyright":
                copyright_text = content.read()
    layer = work / "certificates.tar"
    with new_layer(layer) as writer:
        writer.add_file("etc/ssl/certs/ca-certificates.crt", bundle(found))
        writer.add_file(f"usr/share/doc/{_CERTIFICATES}/copyright", copyright_text)
    return layer


def _files(work: Path, deb: Path) -> Path:
    """The package's data as a plain tar, whatever it was compressed with."""
    tree = work / f"{deb.name}.tar"
    if not tree.exists():
        processes.run_to_file(["dpkg-deb", "--fsys-tarfile", str(deb)], tree)
    return tree
