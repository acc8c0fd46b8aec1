"""Which packages and files a Debian base is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.errors import ImageBuildError
from coldstart.images import debian, processes

STATUS = """\
Package: bash
Status: install ok installed
Version: 5.2-1
Description: shell
 Version: not this one

Package: apt
Version: 1:2.6

Package: half
"""


def test_packages_are_read_from_dpkgs_database_with_their_versions() -> None:
    assert debian.packages_of(STATUS) == ("apt=1:2.6", "bash=5.2-1")


@pytest.mark.parametrize(
    "name",
    ["./etc/hostname", "./etc/resolv.conf", "./etc/apt/sources.list", "./dev/null", "./var/cache/apt/pkgcache.bin",
     "./etc/.pwd.lock", "./var/lib/dpkg/status-old", "./var/lib/apt/lists/x", "./etc/dpkg/dpkg.cfg.d/99mmdebstrap"],
)  # fmt: skip
def test_what_is_the_building_hosts_own_stays_out(name: str) -> None:
    assert debian.is_dropped(name)


@pytest.mark.parametrize("name", ["./etc/passwd", "./dev", "./var/cache", "./usr/bin/clock", "./var/lib/dpkg/status"])
def test_what_is_the_systems_stays_in(name: str) -> None:
    assert not debian.is_dropped(name)


def test_only_debians_own_main_archives_of_the_suite_are_taken_from_the_host() -> None:
    rows = """\
Debian|bookworm|http://mirror/debian/|main
Debian|bookworm|http://mirror/debian/|contrib
Debian|bookworm-security|http://mirror/security/|main
Debian|trixie|http://mirror/debian/|main
Debian|bookworm|http://mirror/debian/|main
Docker|bookworm|https://docker/|main
malformed
"""
    lines = debian.configured_lines(rows, "bookworm")
    assert [line.split("] ")[1] for line in lines] == [
        "http://mirror/debian/ bookworm main",
        "http://mirror/security/ bookworm-security main",
    ]


def test_a_host_that_never_updated_its_lists_has_no_sources_of_its_own() -> None:
    assert debian.configured_lines("|bookworm|http://mirror/debian/|main\n", "bookworm") == ()


def test_a_host_with_updates_but_without_the_suite_itself_has_no_sources_of_its_own() -> None:
    assert debian.configured_lines("Debian|bookworm-updates|http://m/|main\n", "bookworm") == ()


def test_a_release_has_updates_and_security_and_sid_has_neither() -> None:
    assert (len(debian.default_lines("trixie")), len(debian.default_lines("sid"))) == (3, 1)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host whose release and keyring a test decides; its apt configures Debian bookworm from mirror ``m``."""
    keyring = tmp_path / "keyring.gpg"
    keyring.touch()
    monkeypatch.setattr(debian, "_KEYRING", keyring)
    monkeypatch.setattr(processes, "run", lambda *_, **__: "Debian|bookworm|http://m/|main\n")
    return keyring


def _release(monkeypatch: pytest.MonkeyPatch, **fields: str) -> None:
    monkeypatch.setattr(debian, "_os_release", lambda _: fields)


def test_a_debian_host_uses_its_own_release_and_mirror(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _release(monkeypatch, ID="debian", VERSION_CODENAME="bookworm")
    assert debian.sources("amd64") == ("bookworm", (f"deb [signed-by={host}] http://m/ bookworm main",))


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("name", ["ubuntu", "raspbian", "fedora"])
def test_another_distributions_host_uses_the_pinned_release_from_debians_mirror(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _release(monkeypatch, ID=name, VERSION_CODENAME="noble")
    suite, lines = debian.sources("amd64")
    assert suite == "bookworm"
    assert "deb.debian.org" in lines[0]


def test_a_host_that_cannot_verify_debian_is_told_how_to(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host.unlink()
    _release(monkeypatch, ID="ubuntu")
    with pytest.raises(ImageBuildError, match="apt-get install debian-archive-keyring"):
        debian.sources("amd64")
