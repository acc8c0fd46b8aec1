"""Reaching an engine, and saying so when nobody is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.errors import EngineUnreachableError
from coldstart.images.host import ImageHost, engine_client


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
