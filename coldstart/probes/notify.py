"""``notify``: ready when the app sends ``READY=1`` to the socket that ``NOTIFY_SOCKET`` names, as sd_notify(3) does.

The instant is when the datagram arrives here. It comes straight from the app, so nothing is polled and no engine is in
between.
"""

from __future__ import annotations

import os
import queue
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path

from coldstart.engines.base import Capability, Engine
from coldstart.errors import EngineError, InvalidEnvironmentError, UsageError
from coldstart.model.options import ContainerOptions
from coldstart.model.probe import ProbeSpec
from coldstart.probes.base import LIVENESS_NS, NotReady, Ready

INSIDE = "/run/coldstart/notify.sock"  # where the container has it
_PREFIX = "coldstart-notify-"
_DATAGRAM_BYTES = 65536


def make(spec: ProbeSpec) -> NotifyProbe:
    """See `coldstart.probes.base.Probe`.

    Raises:
        UsageError: the probe was given an argument.
    """
    if spec.argument:
        raise UsageError(f"--ready {spec}: notify takes no argument; the app sends READY=1 to $NOTIFY_SOCKET.")
    return NotifyProbe()


class NotifyProbe:
    """A socket in a folder that only its owner can enter; the socket alone is mounted, for whatever user the app is."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._is_closing = threading.Event()
        self._ready: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._last = ""

    def options(self, engine: Engine) -> ContainerOptions:
        """See `coldstart.probes.base.Equipped`.

        Raises:
            EngineError: the engine is on another machine.
            InvalidEnvironmentError: no socket can be made here.
        """
        if Capability.SAME_MACHINE not in engine.capabilities:
            raise EngineError(
                "notify: an engine elsewhere cannot give its containers a socket of this machine. "
                "Use a log, exec or healthcheck probe."
            )
        try:
            place = _place(engine) or Path(tempfile.gettempdir())
            _sweep(place)
            self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))
            path = self._folder / "notify.sock"
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.bind(str(path))
            path.chmod(0o666)
        except OSError as error:
            where = self._folder or _place(engine) or tempfile.gettempdir()
            self.close()
            raise InvalidEnvironmentError(
                f"--ready notify: no socket can be made in {where} ({error.strerror or error}). "
                "Set TMPDIR to a folder with a short path that is yours."
            ) from error
        return ContainerOptions(env=(f"NOTIFY_SOCKET={INSIDE}",), volumes=(f"{path}:{INSIDE}",))

    def arm(self, engine: Engine, container_id: str) -> None:  # noqa: ARG002  the protocol's
        """A thread blocks on the socket from now on: an app may be ready before the engine has answered the start."""
        assert self._socket is not None, "the container was created without the probe's options"
        self._thread = threading.Thread(target=self._receive, args=(self._socket,), daemon=True)
        self._thread.start()

    def wait(self, engine: Engine, container_id: str, deadline_ns: int) -> Ready | NotReady:
        """Block for the datagram; now and then see whether the container still runs."""
        state = None
        while True:
            left_ns = deadline_ns - time.monotonic_ns()
            over = left_ns <= 0 or (state is not None and not state.running)
            try:
                at_ns = self._ready.get(timeout=0 if over else min(left_ns, LIVENESS_NS) / 1e9)
            except queue.Empty:
                if over:
                    return NotReady(reason=self._reason(), attempts=0, state=state)
                state = engine.state(container_id)
                continue
            return Ready(at_ns=at_ns, attempts=1, resolution_ns=None)

    def close(self) -> None:
        """End the thread, and remove the socket and its folder."""
        self._is_closing.set()
        if self._socket is not None:
            if self._thread is not None:
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes recv(); closing alone does not
                self._thread.join()
            self._socket.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _receive(self, receiver: socket.socket) -> None:
        while True:
            datagram = receiver.recv(_DATAGRAM_BYTES)
            at_ns = time.monotonic_ns()
            if self._is_closing.is_set():
                return
            if b"READY=1" in datagram.split(b"\n"):
                self._ready.put(at_ns)
            self._last = datagram.decode(errors="replace").strip()

    def _reason(self) -> str:
        if self._last:
            return f"notify: no READY=1 came; the last it sent was {self._last!r}"
        return "notify: no READY=1 came, nor anything else, to the socket that NOTIFY_SOCKET names"


def _sweep(place: Path) -> None:
    """Remove the folders of runs that were killed: each carries its maker's process number."""
    for left in place.glob(f"{_PREFIX}*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and left.lstat().st_uid == os.geteuid():
            shutil.rmtree(left, ignore_errors=True)


def _place(engine: Engine) -> Path | None:
    """Where the engine sees what we see: beside its data on a testbed, which hides /run; else the system's choice."""
    if Capability.PRIVATE in engine.capabilities and engine.data_root is not None:
        return engine.data_root.parent
    return None
