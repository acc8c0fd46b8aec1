"""A registry that misbehaves: a proxy in front of the testbed's own, which the engine's connections are led to."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from coldstart.engines.netns import inside

_PORT = 5999
_PIECE_BYTES = 65536
_HEAD_BYTES = 65536
_SILENCE_S = 600.0


class Misbehaviour(StrEnum):
    """What becomes of an answer."""

    RESET = "reset"
    CUT = "cut"
    CORRUPT = "corrupt"
    SILENT = "silent"
    UNAUTHORIZED = "401"
    MISSING = "404"
    BROKEN = "500"


_WITH_A_BODY = frozenset({Misbehaviour.RESET, Misbehaviour.CUT, Misbehaviour.CORRUPT})


class Wanted(StrEnum):
    """Which requests it is for."""

    BLOBS = "/blobs/"
    MANIFESTS = "/manifests/"


class FaultProxy:
    """Passes requests on until ``misbehave``; then those for ``wanted`` are answered badly, ``times`` of them."""

    def __init__(self, registry_address: str) -> None:
        host, _, port = registry_address.rpartition(":")
        self._upstream = (host, int(port))
        self._behaviour: Misbehaviour | None = None
        self._wanted = Wanted.BLOBS
        self._left = 0
        self._ended = threading.Event()

    def misbehave(self, behaviour: Misbehaviour, wanted: Wanted, times: int) -> None:
        """From now on."""
        self._behaviour, self._wanted, self._left = behaviour, wanted, times

    @contextlib.contextmanager
    def serving(self, netns: Path) -> Iterator[None]:
        """For the block, every connection to the registry from elsewhere is led here."""
        led = ("--dport", str(self._upstream[1]), "-j", "REDIRECT", "--to-ports", str(_PORT))
        table = ("nsenter", f"--net={netns}", "iptables", "-t", "nat")
        with self.listening(netns, "0.0.0.0", _PORT):  # noqa: S104  inside the testbed's own namespace
            subprocess.run([*table, "-A", "PREROUTING", "-p", "tcp", *led], check=True, capture_output=True)
            try:
                yield
            finally:
                subprocess.run([*table, "-D", "PREROUTING", "-p", "tcp", *led], check=False, capture_output=True)

    @contextlib.contextmanager
    def listening(self, netns: Path | None, host: str, port: int) -> Iterator[int]:
        """Serve at an address for the block; the port."""
        with inside(netns):
            listener = socket.create_server((host, port))
        thread = threading.Thread(target=self._accept, args=(listener, netns), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            self._ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            listener.close()

    def _accept(self, listener: socket.socket, netns: Path | None) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = listener.accept()
                threading.Thread(target=self._serve, args=(caller, netns), daemon=True).start()

    def _serve(self, caller: socket.socket, netns: Path | None) -> None:
        """One request of a connection, which is closed after its answer."""
        with contextlib.suppress(OSError), caller:
            head = b""
            while b"\r\n\r\n" not in head and len(head) < _HEAD_BYTES:
                piece = caller.recv(_PIECE_BYTES)
                if not piece:
                    return
                head += piece
            bad = self._chosen(head)
            if bad in {Misbehaviour.UNAUTHORIZED, Misbehaviour.MISSING, Misbehaviour.BROKEN}:
                caller.sendall(f"HTTP/1.1 {bad} Bad\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                return
            if bad is Misbehaviour.SILENT:
                self._ended.wait(_SILENCE_S)
                return
            with inside(netns):
                upstream = socket.create_connection(self._upstream, timeout=10)
            with upstream:
                upstream.settimeout(None)
                upstream.sendall(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
                if not head.startswith((b"GET ", b"HEAD ")):  # a thread that reads would keep the connection open
                    threading.Thread(target=_pass_on, args=(caller, upstream), daemon=True).start()
                self._answer(upstream, caller, bad)

    def _chosen(self, head: bytes) -> Misbehaviour | None:
        line = head.partition(b"\r\n")[0].decode(errors="replace")
        if self._behaviour is None or self._left <= 0 or self._wanted not in line or not line.startswith("GET "):
            return None
        self._left -= 1
        return self._behaviour

    @staticmethod
    def _answer(upstream: socket.socket, caller: socket.socket, bad: Misbehaviour | None) -> None:
        head = b""
        while b"\r\n\r\n" not in head and (piece := upstream.recv(_PIECE_BYTES)):
            head += piece
        head, separator, body = head.partition(b"\r\n\r\n")
        if bad in _WITH_A_BODY and separator and not body:  # it may come after its head
            body = upstream.recv(_PIECE_BYTES)
        if bad is Misbehaviour.CORRUPT:
            body = bytes(byte ^ 1 for byte in body)
        elif bad in {Misbehaviour.CUT, Misbehaviour.RESET}:
            caller.sendall(head + separator + body[: len(body) // 2])
            if bad is Misbehaviour.RESET:  # closed with a reset instead of an end
                time.sleep(0.01)
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        caller.sendall(head + separator + body)
        while piece := upstream.recv(_PIECE_BYTES):
            caller.sendall(piece)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            target.sendall(piece)
