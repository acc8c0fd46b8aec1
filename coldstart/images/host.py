"""Where images are built and kept: an engine, the registry it pulls from, a cache of our own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import docker.errors
import msgspec
import requests
import urllib3
from docker.utils import kwargs_from_env

from coldstart.errors import EngineUnreachableError, ImageBuildError
from coldstart.images import platforms
from coldstart.images.registry import Registry

_CONNECT_S = 10
_ANSWER_S = 120  # a large image is removed without a word on a slow card
_SILENCE_S = 900  # a layer of hundreds of megabytes is committed without a word on a slow card


class ImageHost(msgspec.Struct, frozen=True, kw_only=True):
    """An engine and, for a testbed, its registry.

    ``docker_socket`` is the engine's address (``unix:///…``); ``registry_address`` is ``None`` for a user's own engine,
    whose images then stay in it; ``registry_netns`` is the network namespace the registry is reached in (``None``:
    ours).
    """

    docker_socket: str
    registry_address: str | None
    registry_netns: Path | None
    cache: Path

    @property
    def registry(self) -> Registry | None:
        """The registry, to ask."""
        return None if self.registry_address is None else Registry(self.registry_address, self.registry_netns)


class _BoundedClient(docker.APIClient):
    """docker-py's client, but without the requests that it lets wait for ever: builds, pulls and saved images."""

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Every request has the client's time limit for a silence, streams too."""
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self.timeout
        return super().request(*args, **kwargs)

    def _disable_socket_timeout(self, socket: object) -> None:
        """Called before a saved image is read: its limit stays."""


@contextmanager
def patient(client: docker.APIClient) -> Iterator[None]:
    """For what the engine works on at length: a silence of minutes is none yet."""
    before, client.timeout = client.timeout, _SILENCE_S
    try:
        yield
    finally:
        client.timeout = before


@contextmanager
def engine_client(url: str, timeout_s: int = _ANSWER_S) -> Iterator[docker.APIClient]:
    """A connection to the engine at ``url``; its errors become ours. It may be silent for ``timeout_s``.

    Raises:
        EngineUnreachableError: nobody answers there.
        ImageBuildError: the engine refused a request.
    """
    if url.startswith("unix://") and not Path(url.removeprefix("unix://")).exists():
        raise EngineUnreachableError(f"no engine answers at {url}: there is no such socket. Is it running?")
    tls = kwargs_from_env().get("tls", False) if url == os.environ.get("DOCKER_HOST") else False
    try:
        client = _BoundedClient(base_url=url, version="auto", timeout=min(_CONNECT_S, timeout_s), tls=tls)
    except docker.errors.DockerException as error:
        raise EngineUnreachableError(f"no engine answers at {url} ({error}). Is it running?") from error
    client.timeout = timeout_s
    try:
        yield client
    except docker.errors.APIError as error:
        raise ImageBuildError(f"the engine at {url} refused: {error.explanation or error}") from error
    except (docker.errors.DockerException, requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise EngineUnreachableError(f"lost the engine at {url}: {error}") from error
    finally:
        client.close()


def platform_of(client: docker.APIClient) -> str:
    """What the engine runs natively."""
    return platforms.of_engine(str(client.version()["Arch"]))
