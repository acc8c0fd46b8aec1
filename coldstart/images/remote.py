"""A registry's image brought here by skopeo: unchanged, from the host's network, with the user's own credentials."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from coldstart.errors import RegistryUnreachableError, UsageError
from coldstart.images import platforms, processes
from coldstart.images.upstream import platform_options

# How skopeo's libraries word a registry that cannot be reached, against one that has no such image.
_UNREACHABLE = (
    "dial tcp",
    "no such host",
    "i/o timeout",
    "tls handshake",
    "connection re",
    "server misbehaving",
    "eof",
)
_UNKNOWN_IMAGE = ("manifest unknown", "name unknown", "not found", "denied", "unauthorized", "requested access")
_LOGGED = re.compile(r'msg="(.*)"$')
_NO_SUCH_PLATFORM = "no image found in"


def fetch(reference: str, folder: Path, platform: str) -> str:
    """A registry's image as skopeo keeps it, manifest and compressed layers unchanged, from the host's network."""
    name, at, digest = reference.partition("@")
    if at and ":" in name.rpartition("/")[2]:
        name = name.rpartition(":")[0]  # skopeo refuses a tag beside a digest; the digest decides anyhow
    source = f"docker://{name}{at}{digest}"
    try:
        try:
            _copy(source, f"dir:{folder}", platform)
        except processes.ToolFailedError as error:
            if _NO_SUCH_PLATFORM not in error.output:
                raise
            _copy(source, f"dir:{folder}", _first_platform(source))
    except processes.ToolFailedError as error:
        if not error.output:
            raise
        raise refusal(reference, error.output) from error
    return f"dir:{folder}"


def refusal(reference: str, said: str) -> UsageError | RegistryUnreachableError:
    """A registry's refusal: no such image is the caller's mistake, no answer the network's."""
    lowered = said.lower()
    why = reason(said)
    if any(word in lowered for word in _UNREACHABLE) and not any(word in lowered for word in _UNKNOWN_IMAGE[:3]):
        return RegistryUnreachableError(
            f"--image {reference}: no local image of that name, and its registry cannot be reached: {why}"
        )
    return UsageError(
        f"--image {reference}: no local image of that name, and its registry does not give it (misspelt, or private: "
        f"docker login): {why}"
    )


def reason(said: str) -> str:
    """The last thing skopeo or an engine said, without a logger's frame around it."""
    lines = said.strip().splitlines()
    last = lines[-1] if lines else "no reason given"
    framed = _LOGGED.search(last)
    return framed.group(1).replace('\\"', '"') if framed else last


def _copy(source: str, destination: str, platform: str) -> None:
    processes.run(["skopeo", "copy", "--quiet", *_credentials(), *platform_options(platform), source, destination])


def _first_platform(source: str) -> str:
    """A platform the image is for, where it is not for ours: it is measured as ``wrong_platform``, not refused."""
    index = msgspec.json.decode(processes.run(["skopeo", "inspect", "--raw", *_inspect_credentials(), source]))
    named = index["manifests"][0]["platform"]
    return platforms.normalize(named["os"], named["architecture"], named.get("variant"))


def _credentials() -> list[str]:
    """Skopeo finds its user's own; under sudo the user is the one who typed it."""
    path = _sudo_users_credentials()
    return [f"--src-authfile={path}"] if path else []


def _inspect_credentials() -> list[str]:
    path = _sudo_users_credentials()
    return [f"--authfile={path}"] if path else []


def _sudo_users_credentials() -> Path | None:
    user = os.environ.get("SUDO_USER")
    if not user:
        return None
    path = Path(f"~{user}").expanduser() / ".docker" / "config.json"
    return path if path.is_file() else None
