"""Reaching an engine, and saying so when nobody is there."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from coldstart.errors import EngineUnreachableError
from coldstart.images import host as module
from coldstart.images.host import ImageHost, engine_client, patient
from tests.unit.engines.fake_daemon import FakeDaemon


def _open(url: str) -> None:
    with engine_client(url):
        """Only opened."""


@pytest.mark.parametrize("url", ["unix:///nonexistent/docker.sock", "tcp://127.0.0.1:9", "ftp://x"])
def test_an_engine_that_does_not_answer_is_named(url: str) -> None:
    with pytest.raises(EngineUnreachableError, match=url):
        _open(url)


def test_without_an_address_there_is_no_registry(tmp_path: Path) -> None:
    host = ImageHost(docker_socket="unix:///x", registry_address=None, registry_netns=None, cache=tmp_path)
    assert host.registry is None


def test_a_registry_is_reached_in_its_network_namespace(tmp_path: Path) -> None:
    host = ImageHost(docker_socket="unix:///x", registry_address="r:5", registry_netns=tmp_path, cache=tmp_path)
    assert host.registry is not None
    assert (host.registry.address, host.registry.netns) == ("r:5", tmp_path)


def _save(client: docker.APIClient) -> None:
    list(client.get_image("app:1"))


def _pull(client: docker.APIClient) -> None:
    list(client.pull("app", tag="1", stream=True, decode=True))


def _build(client: docker.APIClient) -> None:
    list(client.build(fileobj=io.BytesIO(b""), custom_context=True, decode=True))


@pytest.mark.parametrize("ask", [_save, _pull, _build])
def test_what_docker_py_would_wait_for_without_end_ends_too(
    daemon: FakeDaemon, ask: Callable[[docker.APIClient], None]
) -> None:
    daemon.silent.update({"GET /images/app:1/get", "POST /images/create", "POST /build"})
    begin_ns = time.monotonic_ns()
    with pytest.raises(EngineUnreachableError, match="lost the engine"), engine_client(daemon.url, 1) as client:
        ask(client)
    assert time.monotonic_ns() - begin_ns < 5_000_000_000


def test_an_engine_that_hangs_is_not_waited_for_at_the_first_request(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CONNECT_S", 1)
    daemon.silent.add("")
    with pytest.raises(EngineUnreachableError, match="no engine answers"):
        _open(daemon.url)


def test_patience_is_for_what_it_is_asked_for_and_no_longer(daemon: FakeDaemon) -> None:
    with engine_client(daemon.url, 7) as client:
        with patient(client):
            assert client.timeout == 900
        assert client.timeout == 7
