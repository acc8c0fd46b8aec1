"""A netlink socket without the kernel: it keeps what is sent and gives what a test lets wait in it."""

from __future__ import annotations

import errno
import os
import socket
from collections import deque

FULL = OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
"""What a socket says whose buffer was full."""


class FakeSocket:
    """What of a socket is used; ``waiting`` holds datagrams, and errors to raise in their place."""

    def __init__(self, *waiting: bytes | OSError) -> None:
        self.waiting: deque[bytes | OSError] = deque(waiting)
        self.sent: list[bytes] = []
        self.timeouts: list[float | None] = []
        self.closed = False

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        return len(data)

    def recv(self, _size: int, flags: int = 0) -> bytes:
        if not self.waiting:
            raise BlockingIOError if flags & socket.MSG_DONTWAIT else TimeoutError
        found = self.waiting.popleft()
        if isinstance(found, OSError):
            raise found
        return found

    def settimeout(self, seconds: float | None) -> None:
        self.timeouts.append(seconds)

    def close(self) -> None:
        self.closed = True
