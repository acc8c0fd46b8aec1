"""An image reference in its parts, as Docker writes one: NAME, NAME:TAG, NAME@DIGEST or NAME:TAG@DIGEST."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple, Self

_REFERENCE = re.compile(
    r"(?P<name>(?:\[[0-9a-f:]+\](?::\d+)?/[\w.-]+|[a-z0-9][\w.-]*(?::\d+(?=/))?)(?:/[\w.-]+)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII | re.IGNORECASE,
)


class Reference(NamedTuple):
    """``name`` is the repository with its registry, if one is written; ``tag`` and ``digest`` are empty if absent."""

    name: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The parts of ``text``; ``None`` where it is not an image reference."""
        match = _REFERENCE.fullmatch(text)
        return None if match is None else cls(match["name"], match["tag"] or "", match["digest"] or "")

    @property
    def pinned(self) -> str:
        """What decides its content, as skopeo takes it: the digest where there is one, the tag then says nothing."""
        if self.digest:
            return f"{self.name}@{self.digest}"
        return f"{self.name}:{self.tag or 'latest'}"

    @property
    def is_on_loopback(self) -> bool:
        """Whether its registry is this machine by address: Docker then speaks plain HTTP if TLS does not answer.

        Docker's rule is 127.0.0.0/8, ::1 and localhost (https://docs.docker.com/reference/cli/dockerd/, "Insecure
        registries"). A first part without a port or a dot is a repository of Docker Hub, except ``localhost``.
        """
        host, slash, _ = self.name.partition("/")
        if not slash:
            return False
        host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False
