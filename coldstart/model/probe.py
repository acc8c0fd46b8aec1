"""When is it ready: the spec of a readiness probe, as written on the command line."""

from __future__ import annotations

import re
import shlex
from typing import Self

import msgspec

from coldstart.errors import UsageError


class ProbeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A probe's kind and what it looks for.

    ``kind`` is a name found among `coldstart.probes`; ``port`` is the container's own port for network
    probes; ``argument`` is the path (http, https), the text to wait for (log) or the command to run (exec).
    """

    kind: str
    port: int | None = None
    argument: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``http:8080/health``, ``https:8443/``, ``tcp:6379``, ``log:ready``, ``exec:true`` or a bare kind.

        Raises:
            UsageError: the text is none of these; the kind itself is checked where probes are discovered.
        """
        kind, _, rest = text.partition(":")
        if kind in {"http", "https", "tcp"}:
            port, slash, path = rest.partition("/")
            if ":" in port or rest.startswith("//"):
                raise UsageError(
                    f"ready {text!r}: name the container's own port and no host, such as {kind}:8080: it is asked at "
                    "the container's own address. A published port is no readiness: docker-proxy accepts there before "
                    "the app listens."
                )
            # Five digits at most, before int() sees them: it refuses very long numbers with an error of its own.
            if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
                raise UsageError(
                    f"ready {text!r}: {kind} needs the container's port (1 to 65535), such as {kind}:8080"
                    + ("." if kind == "tcp" else "/")
                )
            if kind == "tcp" and slash:
                raise UsageError(f"ready {text!r}: tcp takes a port only, such as tcp:{port}.")
            if re.search(r"[\x00-\x20\x7f]", path):
                raise UsageError(f"ready {text!r}: a path has no spaces or control characters; write %20 for a space.")
            return cls(kind=kind, port=int(port), argument="" if kind == "tcp" else f"/{path}")
        if kind == "log" and not rest:
            raise UsageError(f"ready {text!r}: log needs the text to wait for, such as log:listening.")
        if kind == "exec":
            _check_command(text, rest)
        return cls(kind=kind, argument=rest)

    def __str__(self) -> str:
        if self.port is not None:
            return f"{self.kind}:{self.port}{self.argument}"
        return f"{self.kind}:{self.argument}" if self.argument else self.kind


def _check_command(text: str, command: str) -> None:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"ready {text!r}: its quotes do not match ({error}); quote as in a shell.") from error
    if not words:
        raise UsageError(f"ready {text!r}: exec needs the command to run in the container, such as exec:pg_isready.")
