"""Work inside another network namespace without leaving the process: sockets keep the one they were opened in."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def inside(netns: Path | None) -> Iterator[None]:
    """Put the calling thread into ``netns`` (a /run/netns path; ``None`` is where we are) and back.

    Raises:
        OSError: no such namespace, or no privilege (CAP_SYS_ADMIN) to enter it.
    """
    if netns is None:
        yield
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(target)
        finally:
            os.close(target)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


def tcp_socket(netns: Path | None) -> socket.socket:
    """A fresh IPv4 TCP socket that lives in ``netns``."""
    with inside(netns):
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
