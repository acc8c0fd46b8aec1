"""``http:PORT/PATH``: ready when the container's own address answers a GET with a status below 400."""

from __future__ import annotations

import socket

from coldstart.model.probe import ProbeSpec
from coldstart.probes.tcp import TcpProbe

_ANSWER_S = 5.0  # an app that has accepted may take this long to answer; asking again would only add to its work


def make(spec: ProbeSpec) -> HttpProbe:
    """See `coldstart.probes.base.Probe`."""
    return HttpProbe(spec)


class HttpProbe(TcpProbe):
    """One request a connection, as small as HTTP allows."""

    def __init__(self, spec: ProbeSpec) -> None:
        super().__init__(spec)
        path = spec.argument or "/"
        self._request = f"GET {path} HTTP/1.1\r\nHost: container\r\nConnection: close\r\n\r\n".encode()

    def converse(self, descriptor: int) -> str | None:
        """Ask and read the status line."""
        with socket.socket(fileno=descriptor) as connection:
            connection.settimeout(_ANSWER_S)
            received = b""
            try:
                connection.sendall(self._request)
                while b"\r\n" not in received:
                    piece = connection.recv(4096)
                    if not piece:
                        return f"{self._spec}: connection closed without an answer"
                    received += piece
            except OSError as error:
                return f"{self._spec}: connected, then {error.strerror or error}"
        status = received.split(b" ", 2)[1:2]
        if not received.startswith(b"HTTP/") or not status or not status[0].isdigit():
            return f"{self._spec}: the answer is no HTTP"
        return None if int(status[0]) < 400 else f"{self._spec}: status {int(status[0])}"
