"""``tcp:PORT``: ready when the container's own address accepts a connection.

Never a published port: docker-proxy accepts there before the app listens.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from pathlib import Path

import msgspec

from coldstart.engines.base import Engine
from coldstart.engines.netns import tcp_socket
from coldstart.model.probe import ProbeSpec
from coldstart.probes._listeners import described, listeners
from coldstart.probes.base import NotReady, Ready, poll

_CONNECT_S = 0.1  # an unanswered connection attempt is made afresh after this


def make(spec: ProbeSpec) -> TcpProbe:
    """See `coldstart.probes.base.Probe`."""
    return TcpProbe(spec)


def is_served(netns: Path | None, address: tuple[str, int]) -> bool:
    """Whether something accepts connections there."""
    try:
        connection, code = _connected(netns, address)
    except OSError:
        return False
    connection.close()
    return code == 0


def _connected(netns: Path | None, address: tuple[str, int]) -> tuple[socket.socket, int]:
    """A fresh socket, and the error that connecting it ended with, 0 for none.

    Raises:
        OSError: no such network namespace any more, or no such host.
    """
    connection = tcp_socket(netns)
    try:
        connection.setblocking(False)
        code = connection.connect_ex(address)
        if code == errno.EINPROGRESS:
            _, writable, _ = select.select((), (connection,), (), _CONNECT_S)
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if writable else errno.ETIMEDOUT
    except BaseException:
        connection.close()
        raise
    return connection, code


class TcpProbe:
    """Polls a connection; subclasses say what to do on it."""

    def __init__(self, spec: ProbeSpec) -> None:
        assert spec.port is not None
        self._spec = spec
        self._port = spec.port

    def arm(self, engine: Engine, container_id: str) -> None:
        """Nothing listens before the start; with network ``host`` that is seen to before the container is created."""

    def wait(self, engine: Engine, container_id: str, deadline_ns: int) -> Ready | NotReady:
        """Poll the container's address; a failure names what it listens on instead."""
        started_ns = time.monotonic_ns()
        way = engine.endpoint(container_id, self._port)  # before the first attempt: meanwhile nobody looks
        found = poll(lambda: self.attempt(*way), engine, container_id, deadline_ns, started_ns)
        if isinstance(found, Ready) or found.state is not None:
            return found
        state = engine.state(container_id)
        seen = listeners(state.pid) if state.pid is not None else None
        if seen is None:
            return found
        reason = f"{found.reason}; {described(seen, self._port)}"
        return msgspec.structs.replace(found, reason=reason, state=state)

    def close(self) -> None:
        """Nothing was kept."""

    def attempt(self, netns: Path | None, address: tuple[str, int]) -> str | None:
        """Connect once; ``None`` on success, else what was seen."""
        try:
            connection, code = _connected(netns, address)
        except OSError as error:  # the container's network went with its process
            return f"{self._spec}: {error.strerror or error}"
        with connection:
            if code != 0:
                return f"{self._spec}: {os.strerror(code)}"
            return self.converse(connection.detach())

    def converse(self, descriptor: int) -> str | None:
        """What follows the connection; takes ownership of the descriptor."""
        os.close(descriptor)
        return None
