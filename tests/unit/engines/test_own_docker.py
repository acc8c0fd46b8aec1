"""Which Docker is the user's own, in the order of Docker's command line."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from coldstart.decoding import TEXT_BYTES
from coldstart.engines.own_docker import DEFAULT_SOCKET, is_named, own_docker
from coldstart.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Docker's folder, with contexts ``colima``, which has a socket, and ``odd``, which cannot be read."""
    for name, content in (
        ("colima", json.dumps({"Name": "colima", "Endpoints": {"docker": {"Host": "unix:///colima.sock"}}})),
        ("odd", '{"Endpoints": [1]}'),
    ):
        meta = tmp_path / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
        meta.mkdir(parents=True)
        (meta / "meta.json").write_text(content)
    return tmp_path


def test_docker_host_comes_first(folder: Path) -> None:
    found = own_docker({"DOCKER_HOST": "tcp://h:1", "DOCKER_CONTEXT": "colima", "DOCKER_CONFIG": str(folder)})
    assert (found.url, str(found)) == ("tcp://h:1", "tcp://h:1 (DOCKER_HOST)")


def test_then_the_context_that_is_named(folder: Path) -> None:
    found = own_docker({"DOCKER_CONTEXT": "colima", "DOCKER_CONFIG": str(folder)})
    assert (found.url, found.is_chosen) == ("unix:///colima.sock", True)
    assert "DOCKER_CONTEXT" in str(found)


def test_then_the_context_in_use(folder: Path) -> None:
    (folder / "config.json").write_text('{"currentContext": "colima", "auths": {}}')
    found = own_docker({"DOCKER_CONFIG": str(folder)})
    assert found.url == "unix:///colima.sock"
    assert str(folder / "config.json") in str(found)


@pytest.mark.parametrize("config", ["", "{", "[1]", '{"currentContext": "default"}', '{"currentContext": 7}'])
def test_then_the_default_socket(folder: Path, config: str) -> None:
    (folder / "config.json").write_text(config)
    found = own_docker({"DOCKER_CONFIG": str(folder)})
    assert (found.url, found.is_chosen, str(found)) == (DEFAULT_SOCKET, False, DEFAULT_SOCKET)


@pytest.mark.parametrize("name", ["odd", "gone", "../../etc"])
def test_a_context_that_cannot_be_read_is_named(folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match="docker context ls"):
        own_docker({"DOCKER_CONTEXT": name, "DOCKER_CONFIG": str(folder)})


@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_what_is_not_a_file_of_dockers_is_not_waited_for(folder: Path, kind: str) -> None:
    meta = folder / "contexts" / "meta" / hashlib.sha256(b"odd").hexdigest() / "meta.json"
    meta.unlink()
    for path in (meta, folder / "config.json"):
        if kind == "pipe":
            os.mkfifo(path)
        else:
            with path.open("wb") as file:
                file.truncate(TEXT_BYTES + 1)
    with pytest.raises(UsageError, match="docker context ls"):
        own_docker({"DOCKER_CONTEXT": "odd", "DOCKER_CONFIG": str(folder)})
    assert own_docker({"DOCKER_CONFIG": str(folder)}).url == DEFAULT_SOCKET


@pytest.mark.parametrize(("name", "named"), [("DOCKER_HOST", True), ("DOCKER_CONTEXT", True), ("DOCKER_CONFIG", False)])
def test_the_environment_names_it_by_host_or_context(name: str, named: bool) -> None:
    assert (is_named({name: "x"}), is_named({name: ""})) == (named, False)


def test_under_sudo_the_context_is_the_callers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = folder / "home"
    home.mkdir()
    (home / ".docker").symlink_to(folder)
    (folder / "config.json").write_text('{"currentContext": "colima"}')
    monkeypatch.setattr("os.path.expanduser", lambda path: str(home) if path == "~me" else "/root")
    assert own_docker({"SUDO_USER": "me"}).url == "unix:///colima.sock"
    assert own_docker({}).url == DEFAULT_SOCKET
