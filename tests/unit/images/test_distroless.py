"""A layer a package, and what has no package."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from coldstart.images import distroless, processes


def _tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def _members(layer: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(layer) as tar:
        return {member.name: member for member in tar}


def test_the_bundle_is_every_certificate_in_order_of_its_path() -> None:
    assert distroless.bundle({"b.crt": b"B\n", "a.crt": b"A"}) == b"A\nB\n"


def test_accounts_and_folders_are_upstreams(tmp_path: Path) -> None:
    members = _members(distroless._accounts_layer(tmp_path))
    assert members["tmp"].mode == 0o1777
    assert (members["home/nonroot"].uid, members["home/nonroot"].mode) == (65532, 0o700)
    assert {"etc/passwd", "etc/group", "etc/nsswitch.conf", "root", "home"} <= set(members)


def test_the_certificates_layer_is_the_bundle_and_not_the_package(tmp_path: Path) -> None:
    _tar(
        tmp_path / "ca.deb.tar",
        {
            "./usr/share/ca-certificates/mozilla/A.crt": b"A\n",
            "./usr/share/doc/ca-certificates/copyright": b"free",
            "./usr/sbin/update-ca-certificates": b"#!/bin/sh",
        },
    )
    members = _members(distroless._certificates_layer(tmp_path, tmp_path / "ca.deb"))
    assert sorted(members) == ["etc/ssl/certs/ca-certificates.crt", "usr/share/doc/ca-certificates/copyright"]


def test_a_package_layer_has_its_files_and_its_control_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tar(tmp_path / "tz.deb.tar", {"./usr/share/zoneinfo/UTC": b"TZ"})
    monkeypatch.setattr(processes, "run", lambda *_, **__: "Package: tzdata\n")
    members = _members(distroless._package_layer(tmp_path, "tzdata", tmp_path / "tz.deb"))
    assert list(members) == ["usr/share/zoneinfo/UTC", "var/lib/dpkg/status.d", "var/lib/dpkg/status.d/tzdata"]


def test_what_apt_would_install_is_read_from_its_simulation() -> None:
    simulated = (
        "Reading package lists...\nInst zlib1g (1:1.2 Debian [amd64])\nInst libc6:amd64 (2.36)\nConf libc6 (2.36)\n"
    )
    assert distroless.to_install(simulated) == ("libc6", "zlib1g")


def test_python_brings_its_packages_and_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def download(work: Path, _platform: str, more: tuple[str, ...]) -> dict[str, Path]:
        asked.append(more)
        names = ("base-files", "netbase", "tzdata", "media-types", "ca-certificates", "python3", "libc6")
        for name in names:
            _tar(work / f"{name}.deb.tar", {})
        return {name: work / f"{name}.deb" for name in names}

    def run(argv: list[str], **_: object) -> str:
        return "3.13.5-1\n" if argv[-1] == "Version" else ""

    monkeypatch.setattr(distroless, "_download", download)
    monkeypatch.setattr(processes, "run", run)
    parts = distroless.make_python(tmp_path, "linux/amd64", lambda _: None)
    assert (parts.python, parts.provenance.what) == ("3.13", "distroless-style Python 3.13")
    assert [what for _, what in parts.layers][4:6] == ["libc6", "python3"]
    assert asked == [("python3", "libstdc++6")]
