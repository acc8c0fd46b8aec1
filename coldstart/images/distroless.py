"""A base in the manner of gcr.io/distroless/static: the packages upstream takes, unpacked as they are, a layer each.

Package list, accounts and folders follow GoogleContainerTools/distroless, ``static/static.bzl`` and ``common/``.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

from coldstart.images import platforms, processes
from coldstart.images.debian import sources
from coldstart.images.layers import LayerWriter, new_layer, plain_name, split
from coldstart.images.recipe import PATH_ENV, Parts, Progress, Recipe
from coldstart.model.image import Provenance

_PACKAGES = ("base-files", "netbase", "tzdata", "media-types")
_CERTIFICATES = "ca-certificates"
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
    progress(f"downloading Debian packages {', '.join((*_PACKAGES, _CERTIFICATES))}")
    debs = _download(work, platform)
    layers = [(_package_layer(work, name, debs[name]), name) for name in _PACKAGES]
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
            what="distroless-style static",
            source=f"Debian packages, {sources(platforms.debian_architecture(platform)).suite}, unpacked",
            packages=tuple(sorted(f"{name}={version}" for name, version in versions.items())),
        ),
    )


STATIC = Recipe("1", make_static)


def bundle(certificates: dict[str, bytes]) -> bytes:
    """All certificates, by path, as the one file that TLS libraries read."""
    return b"".join(certificates[name].rstrip(b"\n") + b"\n" for name in sorted(certificates))


def _download(work: Path, platform: str) -> dict[str, Path]:
    """The .debs by package, through an apt of our own: no list or cache of the host's is read or written."""
    architecture = platforms.debian_architecture(platform)
    root, debs = work / "apt", work / "debs"
    for folder in (root / "lists" / "partial", root / "cache" / "archives" / "partial", debs):
        folder.mkdir(parents=True)
    (root / "status").touch()
    (root / "sources.list").write_text("".join(f"{line}\n" for line in sources(architecture).lines))
    configuration = root / "apt.conf"
    configuration.write_text(
        f'Dir::State "{root}";\n'
        f'Dir::State::Lists "{root}/lists";\n'
        f'Dir::State::status "{root}/status";\n'
        f'Dir::Cache "{root}/cache";\n'
        f'Dir::Etc::sourcelist "{root}/sources.list";\n'
        'Dir::Etc::sourceparts "-";\n'
        'Dir::Etc::preferences "-";\n'
        'Dir::Etc::preferencesparts "-";\n'
        f'APT::Architecture "{architecture}";\n'
        f'APT::Architectures {{ "{architecture}"; }};\n'
        'APT::Sandbox::User "root";\n'  # our folders are closed to _apt
        "#clear APT::Update::Post-Invoke;\n"  # hosts that are containers clean their own cache there
        'Acquire::Languages "none";\n'
    )
    apt = ["apt-get", "-c", str(configuration), "-q"]
    processes.run([*apt, "update"])
    processes.run([*apt, "download", *_PACKAGES, _CERTIFICATES], cwd=debs)
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
