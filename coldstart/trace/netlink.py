"""Netlink sockets for watching the kernel: opened, sized, and drained without waiting."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

RECEIVE_BYTES = 8 << 20  # of kernel memory for what nobody has read yet; a start needs a tenth
HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_SO_RCVBUFFORCE = 33  # include/uapi/asm-generic/socket.h
_PIECE_BYTES = 65536


def open_socket(protocol: int, groups: int = 0) -> socket.socket:
    """A bound netlink socket with a large buffer.

    Raises:
        OSError: no such protocol here, or no privilege.
    """
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BYTES)
        opened.bind((0, groups))
    except OSError:
        opened.close()
        raise
    return opened


def drain(opened: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Type and payload of every message that waits.

    Raises:
        OverflowError: the kernel had to drop some (ENOBUFS).
    """
    while True:
        try:
            piece = opened.recv(_PIECE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                raise OverflowError("the socket's buffer was full") from error
            raise
        yield from messages(piece)


def messages(piece: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages of one datagram (netlink(7))."""
    at = 0
    while at + HEADER.size <= len(piece):
        length, kind, *_ = HEADER.unpack_from(piece, at)
        if length < HEADER.size:
            return
        yield kind, piece[at + HEADER.size : at + length]
        at += (length + 3) & ~3


def attributes(payload: bytes) -> dict[int, bytes]:
    """Netlink attributes, the last of each type (struct nlattr)."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(payload):
        length, kind = struct.unpack_from("=HH", payload, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = payload[at + 4 : at + length]  # without the nested and byte-order flags
        at += (length + 3) & ~3
    return found


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
