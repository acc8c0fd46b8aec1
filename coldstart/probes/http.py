"""``http:PORT/PATH``: ready when the container's own address answers a GET with a status below 400."""

from __future__ import annotations

import socket
import time

from coldstart.model.probe import ProbeSpec
from coldstart.probes.tcp import TcpProbe
from coldstart.units import NS_PER_S

_ANSWER_S = 5.0  # an app that has accepted may take this long to answer; asking again would only add to its work
_MOST_BYTES = 65536  # of a status line
_TLS_ALERT = b"\x15\x03"  # RFC 8446, 5.1: record type alert, protocol major version
_HOST_REFUSED = {400, 403, 421}  # what Django, Rails and Vite answer to a Host that they do not know


def make(spec: ProbeSpec) -> HttpProbe:
    """See `coldstart.probes.base.Probe`."""
    return HttpProbe(spec)


class HttpProbe(TcpProbe):
    """One request per connection, as small as HTTP allows.

    It asks for host ``localhost``, the one name that frameworks with a list of allowed hosts allow by default.
    """

    def __init__(self, spec: ProbeSpec) -> None:
        super().__init__(spec)
        path = spec.argument or "/"
        self._host = f"localhost:{spec.port}"
        self._request = f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\nConnection: close\r\n\r\n".encode()

    def converse(self, descriptor: int) -> str | None:
        """Ask and read the status line."""
        with socket.socket(fileno=descriptor) as connection:
            connection.settimeout(_ANSWER_S)
            try:
                return self.ask(connection)
            except OSError as error:
                return f"{self._spec}: connected, then {error.strerror or error}"

    def ask(self, connection: socket.socket) -> str | None:
        """Send the request and judge the status line; ``None`` on success, else what was seen."""
        deadline_ns = time.monotonic_ns() + round(_ANSWER_S * NS_PER_S)
        connection.sendall(self._request)
        received = b""
        while b"\n" not in received and len(received) < _MOST_BYTES:  # small servers may end a line by a bare LF
            connection.settimeout(max(0.001, (deadline_ns - time.monotonic_ns()) / NS_PER_S))
            piece = connection.recv(4096)
            if not piece:
                break
            received += piece
        return self._judged(received)

    def _judged(self, received: bytes) -> str | None:
        if not received:
            return f"{self._spec}: connection closed without an answer"
        if received.startswith(_TLS_ALERT):
            return f"{self._spec}: the answer is TLS; use https:{self._spec.port}{self._spec.argument}"
        words = received.partition(b"\n")[0].split()
        if not words[:1] or not words[0].startswith(b"HTTP/") or not words[1:2] or not words[1].isdigit():
            return f"{self._spec}: the answer is not HTTP"
        status = int(words[1][:4])
        if status < 400:
            return None
        hint = ""
        if status in _HOST_REFUSED:
            hint = (
                f" (if the app checks the Host header, let it allow {self._host}; if it wants TLS, use "
                f"https:{self._spec.port}{self._spec.argument}; or use an exec or log probe)"
            )
        return f"{self._spec}: status {status}{hint}"
