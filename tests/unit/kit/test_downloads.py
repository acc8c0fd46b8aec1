"""A kit's wheels and Debian packages: what is asked of pip and apt, and what is told when they fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from coldstart.errors import InvalidEnvironmentError, UnknownNameError
from coldstart.images import debian, processes
from coldstart.kit import debs, releases, wheels
from coldstart.kit.bundle import Target

ARM = Target(architecture="arm64", release="trixie", python="3.13")


class Tools:
    """Stands for pip, apt and dpkg-deb; apt "downloads" ``debs``."""

    def __init__(self) -> None:
        self.ran: list[Sequence[str]] = []
        self.debs: list[str] = []
        self.failing: str | None = None

    def run(self, argv: Sequence[str], **_: object) -> str:
        self.ran.append(argv)
        if self.failing in argv:
            raise processes.ToolFailedError("No matching distribution found for numpy", "")
        if "--download-only" in argv:
            archives = Path(argv[argv.index("-c") + 1]).parent / "cache" / "archives"
            for name in self.debs:
                (archives / name).write_bytes(b"deb")
        return "Package: a\nVersion: 1:2\n" if argv[0] == "dpkg-deb" else ""


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Tools:
    tools = Tools()
    monkeypatch.setattr(processes, "run", tools.run)
    monkeypatch.setattr(debs, "sources", lambda _: debian.Sources("bookworm", ("deb host bookworm main",)))
    return tools


def _say(_: str) -> None:
    """Nobody listens."""


def test_every_extra_is_required_and_no_marker_is_left() -> None:
    said = ["click>=8.1", 'pandas>=2.1; extra == "report"', 'coldstart[bench,report]; extra == "all"']
    assert wheels.requirements(said) == ["click>=8.1", "pandas>=2.1"]


def test_wheels_are_for_the_releases_python_and_the_build(tools: Tools, tmp_path: Path) -> None:
    wheels.download(tmp_path, "linux/arm64", "trixie", _say)
    (argv,) = tools.ran
    assert argv[argv.index("--python-version") + 1] == "3.13"
    assert {"manylinux_2_41_aarch64", "hatchling", "editables"} <= set(argv)


def test_a_wheel_nobody_has_is_told_with_the_remedy(tools: Tools, tmp_path: Path) -> None:
    tools.failing = "download"
    with pytest.raises(InvalidEnvironmentError, match=r"(?s)numpy.*linux/arm/v7.*PIP_EXTRA_INDEX_URL"):
        wheels.download(tmp_path, "linux/arm/v7", "bookworm", _say)


def test_packages_are_an_index_for_apt_without_colons_in_names(tools: Tools, tmp_path: Path) -> None:
    tools.debs = ["a_1%3a2_arm64.deb"]
    debs.download(tmp_path / "debs", tmp_path, ARM, _say)
    index = (tmp_path / "debs" / "Packages").read_text()
    assert index.startswith("Package: a\nVersion: 1:2\nFilename: ./a_1-2_arm64.deb\nSize: 3\nSHA256: ")
    assert (tmp_path / "debs" / "a_1-2_arm64.deb").read_bytes() == b"deb"


def test_packages_are_setups_and_the_releases_venv(tools: Tools, tmp_path: Path) -> None:
    debs.download(tmp_path / "debs", tmp_path, ARM, _say)
    argv = tools.ran[1]
    assert {*debs.PACKAGES, "python3.13-venv", "--no-install-recommends"} <= set(argv)


@pytest.mark.parametrize(("release", "source"), [("bookworm", "deb host bookworm"), ("trixie", "debian trixie main")])
def test_packages_come_from_this_hosts_mirror_for_its_own_release_alone(
    tools: Tools, tmp_path: Path, release: str, source: str
) -> None:
    del tools
    debs.download(tmp_path / "debs", tmp_path, Target(architecture="arm64", release=release, python="3.11"), _say)
    assert source in (tmp_path / "kit-apt" / "sources.list").read_text()


def test_packages_that_cannot_be_downloaded_are_told(tools: Tools, tmp_path: Path) -> None:
    tools.failing = "update"
    with pytest.raises(InvalidEnvironmentError, match="packages could not be downloaded"):
        debs.download(tmp_path / "debs", tmp_path, ARM, _say)


def test_a_target_is_a_platform_with_a_release_and_its_python() -> None:
    assert releases.target("linux/arm64", "trixie") == ARM


def test_an_unknown_release_is_told_with_the_known() -> None:
    with pytest.raises(UnknownNameError, match="'bookworn'; did you mean 'bookworm'"):
        releases.target("linux/arm64", "bookworn")


def test_an_unknown_platform_is_told_with_the_known() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown platform 'arm64'.*linux/arm64"):
        releases.target("arm64", "bookworm")
