"""Debian bases from Debian packages: a minbase system as slim, and the same with Go as the builder."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from coldstart.errors import ImageBuildError
from coldstart.images import platforms, processes
from coldstart.images.layers import EPOCH_S, LayerWriter, new_layer, plain_name, split
from coldstart.images.recipe import PATH_ENV, Parts, Progress, Recipe
from coldstart.model.image import Provenance

_MIRROR = "http://deb.debian.org/debian"
_SECURITY_MIRROR = "http://deb.debian.org/debian-security"
_DEFAULT_SUITE = "bookworm"  # the release of the pinned upstream images
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_MERGED_USR_HOOK = Path("/usr/share/mmdebstrap/hooks/merged-usr")

# What debian:*-slim leaves out: https://github.com/debuerreotype/debuerreotype, scripts/.slimify-excludes.
_SLIM = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/lintian/overrides/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-exclude=/usr/share/man/*",
)

# The building host's own (its name, its mirrors' addresses and keys to them, its devices), and what no image ships.
_DROPPED_FILES = {"etc/hostname", "etc/resolv.conf", "etc/apt/sources.list", "etc/dpkg/dpkg.cfg.d/99mmdebstrap"}
_DROPPED_BELOW = ("dev/", "etc/apt/sources.list.d/", "var/cache/", "var/log/", "var/lib/apt/lists/")
_DROPPED_SUFFIXES = ("/lock", ".pwd.lock", "-old")

_TOOLCHAIN_BELOW = ("usr/lib/go-", "usr/share/go-")


class Sources(NamedTuple):
    """Where packages come from: a suite and apt's one-line sources for it and its updates."""

    suite: str
    lines: tuple[str, ...]


class DebPackage(NamedTuple):
    """An installed package."""

    name: str
    version: str


def make_slim(work: Path, platform: str, progress: Progress) -> Parts:
    """A minbase system without documentation, one layer, as debian:*-slim is."""
    system = bootstrap(work, platform, progress, include=())
    facts = facts_of(system)
    layer = work / "slim.tar"
    with new_layer(layer) as writer:
        split(system, lambda member: None if is_dropped(member.name) else writer)
        add_sources(writer, facts.suite)
    return Parts(
        layers=((layer, "mmdebstrap --variant=minbase"),),
        config={"Env": [PATH_ENV], "Cmd": ["bash"]},
        provenance=Provenance(
            what=f"Debian {facts.version} minbase",
            source=f"Debian packages, {facts.suite}, by mmdebstrap",
            packages=packages_of(facts.status),
        ),
    )


def make_golang(work: Path, platform: str, progress: Progress) -> Parts:
    """A minbase system and Go, as two layers: it shares none with slim, as upstream's golang shares none either."""
    system = bootstrap(work, platform, progress, include=("golang-go", "ca-certificates"))
    facts = facts_of(system)
    base, toolchain = work / "golang-os.tar", work / "golang-toolchain.tar"
    with new_layer(base) as base_writer, new_layer(toolchain) as toolchain_writer:

        def sink(member: tarfile.TarInfo) -> LayerWriter | None:
            if is_dropped(member.name):
                return None
            return toolchain_writer if plain_name(member.name).startswith(_TOOLCHAIN_BELOW) else base_writer

        split(system, sink)
        add_sources(base_writer, facts.suite)
    packages = packages_of(facts.status)
    go = next((p.partition("=")[2] for p in packages if p.startswith("golang-1")), "")
    return Parts(
        layers=((base, "mmdebstrap --variant=minbase"), (toolchain, "golang-go")),
        config={"Env": [PATH_ENV, "GOPATH=/go", "GOFLAGS=-buildvcs=false"], "Cmd": ["bash"], "WorkingDir": "/go"},
        provenance=Provenance(
            what=f"Go {go.partition('-')[0]} on Debian {facts.version} minbase",
            source=f"Debian packages, {facts.suite}, by mmdebstrap",
            packages=packages,
        ),
    )


SLIM = Recipe("1", make_slim)
GOLANG = Recipe("1", make_golang)


def sources(architecture: str) -> Sources:
    """Debian's suite and sources: this host's own on Debian, Debian's public mirror for the pinned suite elsewhere.

    Raises:
        ImageBuildError: this host cannot verify Debian's signatures.
    """
    release = _os_release(Path("/etc/os-release"))
    is_debian = release.get("ID") == "debian"
    suite = (release.get("VERSION_CODENAME") or _DEFAULT_SUITE) if is_debian else _DEFAULT_SUITE
    if not _KEYRING.exists():
        raise ImageBuildError(
            f"{_KEYRING} is missing, so Debian packages cannot be verified: apt-get install debian-archive-keyring, "
            "or use --bases upstream where a registry can be reached."
        )
    configured = _configured_lines(suite, architecture) if is_debian else ()
    return Sources(suite, configured or default_lines(suite))


def default_lines(suite: str) -> tuple[str, ...]:
    """Sources on Debian's public mirror; sid has neither updates nor security of its own."""
    signed = f"[signed-by={_KEYRING}]"
    lines = [f"deb {signed} {_MIRROR} {suite} main"]
    if suite not in {"sid", "unstable"}:
        lines += [
            f"deb {signed} {_MIRROR} {suite}-updates main",
            f"deb {signed} {_SECURITY_MIRROR} {suite}-security main",
        ]
    return tuple(lines)


def is_dropped(name: str) -> bool:
    """Whether a member of a bootstrapped system stays out of the image; empty folders stay in."""
    plain = plain_name(name)
    return (
        plain in _DROPPED_FILES
        or plain.startswith(_DROPPED_BELOW)
        or (plain.startswith(("etc/", "var/lib/")) and plain.endswith(_DROPPED_SUFFIXES))
    )


def packages_of(status: str) -> tuple[str, ...]:
    """``name=version`` of every package in a dpkg status database, sorted."""
    found = []
    for paragraph in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if "Package" in fields and "Version" in fields:
            found.append(f"{fields['Package']}={fields['Version']}")
    return tuple(sorted(found))


def configured_lines(targets: str, suite: str) -> tuple[str, ...]:
    """One-line sources for ``suite`` out of ``apt-get indextargets`` rows ``origin|suite|uri|component``.

    Only Debian's own archives and their main component: an image must not depend on what else a host has added.
    """
    lines = []
    for row in targets.splitlines():
        origin, name, uri, component = (*row.split("|"), "", "", "", "")[:4]
        if origin == "Debian" and component == "main" and name in {suite, f"{suite}-updates", f"{suite}-security"}:
            lines.append(f"deb [signed-by={_KEYRING}] {uri} {name} main")
    return tuple(dict.fromkeys(lines)) if any(f" {suite} main" in line for line in lines) else ()


def _configured_lines(suite: str, architecture: str) -> tuple[str, ...]:
    targets = processes.run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(ORIGIN)|$(RELEASE)|$(REPO_URI)|$(COMPONENT)",
            "Created-By: Packages",
            f"Architecture: {architecture}",
        ]
    )
    return configured_lines(targets, suite)


def bootstrap(
    work: Path, platform: str, progress: Progress, include: Sequence[str], *, finish: str | None = None
) -> Path:
    """A minbase system of ``platform`` as a tar; ``finish`` is a shell command run at the end, with its root as ``$1``.

    Raises:
        ImageBuildError: mmdebstrap is missing or failed.
    """
    architecture = platforms.debian_architecture(platform)
    origin = sources(architecture)
    packages = list(include)
    hooks: list[str] = []
    if origin.suite == "bookworm" and _MERGED_USR_HOOK.is_dir():
        # From trixie on base-files brings the links of a merged /usr; bookworm's are made by the installer.
        packages.append("usr-is-merged")
        hooks.append(f"--hook-dir={_MERGED_USR_HOOK}")
    target = work / "system.tar"
    progress(f"installing Debian {origin.suite} packages ({', '.join(include) or 'minbase'}) with mmdebstrap")
    processes.run(
        [
            *_own_mounts(),
            "mmdebstrap",
            "--variant=minbase",
            f"--architectures={architecture}",
            *([f"--include={','.join(packages)}"] if packages else []),
            *hooks,
            *([f"--customize-hook={finish}"] if finish else []),
            "--skip=output/dev",
            "--skip=check/qemu",  # whether programs of another platform run is found by running one
            *(f"--dpkgopt={option}" for option in _SLIM),
            origin.suite,
            str(target),
            *origin.lines,
        ],
        env={"SOURCE_DATE_EPOCH": str(EPOCH_S), "TMPDIR": str(work)},
    )
    return target


def add_sources(writer: LayerWriter, suite: str) -> None:
    """Debian's public mirror, so that apt works in the image; the host's own mirrors stay its secret."""
    writer.add_file("etc/apt/sources.list", "".join(f"{line}\n" for line in default_lines(suite)).encode())


def _own_mounts() -> Sequence[str]:
    """Root bootstraps in a mount namespace of its own: what a killed run had mounted goes with it."""
    private = os.geteuid() == 0 and shutil.which("unshare")
    return ("unshare", "--mount", "--propagation", "private") if private else ()


class SystemFacts(NamedTuple):
    """A bootstrapped system: Debian's version and suite, dpkg's database."""

    version: str
    suite: str
    status: str


def facts_of(system: Path) -> SystemFacts:
    """What a system's tar says about itself."""
    with tarfile.open(system) as tar:
        wanted = {"etc/debian_version", "usr/lib/os-release", "var/lib/dpkg/status"}
        texts = {}
        for member in tar:
            name = plain_name(member.name)
            if name in wanted and (content := tar.extractfile(member)) is not None:
                texts[name] = content.read().decode()
    release = _parse_release(texts.get("usr/lib/os-release", "").splitlines())
    return SystemFacts(
        version=texts.get("etc/debian_version", "?").strip(),
        suite=release.get("VERSION_CODENAME", "?"),
        status=texts.get("var/lib/dpkg/status", ""),
    )


def _os_release(path: Path) -> Mapping[str, str]:
    try:
        return _parse_release(path.read_text().splitlines())
    except OSError:
        return {}


def _parse_release(lines: Iterable[str]) -> dict[str, str]:
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}
