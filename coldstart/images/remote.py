"""A registry's image brought here by skopeo: unchanged, from the host's network, with the user's own credentials."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from coldstart.errors import RegistryUnreachableError, UsageError
from coldstart.images import oci, processes
from coldstart.images.imports import SILENCE_S
from coldstart.images.reference import Reference
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
_NO_SUCH_PLATFORM = "no image found in"
_PLAIN_HTTP = "server gave http response to https client"
_INSECURE = (
    "It speaks plain HTTP, which is not trusted: if you trust it, write in /etc/containers/registries.conf.d/own.conf: "
    '[[registry]] location = "{}" insecure = true'
)


def fetch(reference: str, folder: Path, platform: str, *, is_asked: bool, hint: str = "") -> Path:
    """A registry's image as skopeo keeps it, manifest and compressed layers unchanged, from the host's network.

    ``hint`` says where else it was looked for, and ends the message where the registry does not give it.

    Raises:
        UsageError: no such image, or none for ``platform``; the message lists those there are.
        RegistryUnreachableError: the registry does not answer, or stopped answering.
    """
    parsed = Reference.parse(reference)
    assert parsed is not None  # it was looked at before
    source = f"docker://{parsed.pinned}"
    options = ["--tls-verify=false"] if parsed.is_on_loopback else []
    try:
        try:
            _copy(source, folder, platform, options)
        except processes.ToolFailedError as error:
            if _NO_SUCH_PLATFORM not in error.output:
                raise
            _refuse_platforms(reference, source, platform, options, is_asked=is_asked)
            raise
    except processes.ToolSilentError as error:
        raise RegistryUnreachableError(f"--image {reference}: its registry stopped answering: {error}{hint}") from error
    except processes.ToolFailedError as error:
        if not error.output:
            raise
        raise refusal(reference, error.output, hint) from error
    return folder


def refusal(reference: str, said: str, hint: str = "") -> UsageError | RegistryUnreachableError:
    """A registry's refusal: no such image is the caller's mistake, no answer the network's."""
    lowered = said.lower()
    why = processes.reason(said)
    if _PLAIN_HTTP in lowered:
        address = reference.partition("/")[0]
        return UsageError(f"--image {reference}: {why} {_INSECURE.format(address)}{hint}")
    if any(word in lowered for word in _UNREACHABLE) and not any(word in lowered for word in _UNKNOWN_IMAGE[:3]):
        return RegistryUnreachableError(
            f"--image {reference}: no local image of that name, and its registry cannot be reached: {why}{hint}"
        )
    return UsageError(
        f"--image {reference}: no local image of that name, and its registry does not give it (misspelt, or private: "
        f"docker login): {why}{hint}"
    )


def _copy(source: str, folder: Path, platform: str, options: Sequence[str]) -> None:
    processes.run(
        [
            *("skopeo", "--tmpdir", str(folder.parent), "copy", "--quiet", *_credentials("--src-authfile")),
            *(f"--src{option.removeprefix('-')}" for option in options),
            *platform_options(platform),
            *(source, f"dir:{folder.name}"),
        ],
        cwd=folder.parent,
        silence_s=SILENCE_S,
    )


def _refuse_platforms(reference: str, source: str, platform: str, options: Sequence[str], *, is_asked: bool) -> None:
    """Refuse an index without the platform, naming those it has."""
    where = f"--image {reference}"
    content = processes.run(
        ["skopeo", "inspect", "--raw", *options, *_credentials("--authfile"), source], silence_s=SILENCE_S
    )
    index = oci.decoded(content.encode(), oci.Document, where, "its index")
    named = [entry.platform.name for entry in index.manifests or () if entry.platform and not entry.is_attestation]
    oci.refuse_platforms(named, platform, is_asked=is_asked, where=where)


def _credentials(option: str) -> list[str]:
    """Skopeo finds its user's own; under sudo the user is the one who typed it."""
    path = _sudo_users_credentials()
    return [f"{option}={path}"] if path else []


def _sudo_users_credentials() -> Path | None:
    user = os.environ.get("SUDO_USER")
    if not user:
        return None
    path = Path(os.path.expanduser(f"~{user}")) / ".docker" / "config.json"  # noqa: PTH111  there may be no such user
    return path if path.is_file() else None
