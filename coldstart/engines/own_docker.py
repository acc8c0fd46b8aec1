"""Which Docker is the user's own: the one that ``docker`` itself would ask, as far as this user can tell.

The command line's order (https://docs.docker.com/engine/manage-resources/contexts/): DOCKER_HOST, DOCKER_CONTEXT, the
context that ``docker context use`` noted in config.json, the default socket. Under sudo that file is the one of the
user who typed it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from coldstart.decoding import UNREADABLE, read_named
from coldstart.errors import InputFileError, UsageError

DEFAULT_SOCKET = "unix:///var/run/docker.sock"


class OwnDocker(NamedTuple):
    """Its address, and what says so, in words; ``is_chosen`` where the user chose it rather than nobody."""

    url: str
    chosen_by: str

    @property
    def is_chosen(self) -> bool:
        """Whether it was named by somebody: then that it does not answer is worth a word."""
        return bool(self.chosen_by)

    def __str__(self) -> str:
        return f"{self.url} ({self.chosen_by})" if self.chosen_by else self.url


class _Config(msgspec.Struct, frozen=True, rename="camel"):
    current_context: str = ""


class _Endpoint(msgspec.Struct, frozen=True, rename="pascal"):
    host: str = ""


class _Endpoints(msgspec.Struct, frozen=True):
    docker: _Endpoint = _Endpoint()


class _Context(msgspec.Struct, frozen=True, rename="pascal"):
    endpoints: _Endpoints = _Endpoints()


def is_named(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment names it: who asks for Docker then means that one, not a testbed's."""
    return bool(environ.get("DOCKER_HOST") or environ.get("DOCKER_CONTEXT"))


def own_docker(environ: Mapping[str, str] = os.environ) -> OwnDocker:
    """The user's own Docker.

    Raises:
        UsageError: a context is named that does not exist or cannot be read.
    """
    if host := environ.get("DOCKER_HOST"):
        return OwnDocker(host, "DOCKER_HOST")
    folder = _folder(environ)
    name, chosen_by = environ.get("DOCKER_CONTEXT") or "", "DOCKER_CONTEXT"
    if not name:
        name, chosen_by = _current(folder / "config.json"), str(folder / "config.json")
    if name in {"", "default"}:
        return OwnDocker(DEFAULT_SOCKET, "")
    file = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
    try:
        host = msgspec.json.decode(read_named(file), type=_Context).endpoints.docker.host
    except (OSError, InputFileError, *UNREADABLE) as error:
        raise UsageError(
            f"Docker's context {name!r} (from {chosen_by}) cannot be read from {file}: {error}. docker context ls "
            "lists them; DOCKER_HOST names one for this command."
        ) from error
    return OwnDocker(host or DEFAULT_SOCKET, f"context {name!r}, from {chosen_by}")


def _folder(environ: Mapping[str, str]) -> Path:
    if config := environ.get("DOCKER_CONFIG"):
        return Path(config)
    user = environ.get("SUDO_USER")
    return Path(os.path.expanduser(f"~{user}" if user else "~")) / ".docker"  # noqa: PTH111  no such user: no folder


def _current(config: Path) -> str:
    """The context in use; none where the file cannot be read or is not one of Docker's."""
    try:
        return msgspec.json.decode(read_named(config), type=_Config).current_context
    except (OSError, InputFileError, *UNREADABLE):
        return ""
