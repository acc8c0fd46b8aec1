"""Where a process's network namespace listens: what to tell a user whose probe asked elsewhere."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path
from typing import NamedTuple

_LISTEN = "0A"  # include/net/tcp_states.h
_WORD_HEX = 8  # the kernel prints addresses as 32-bit words in its own byte order


class Listener(NamedTuple):
    """A TCP socket in state LISTEN."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{host}:{self.port}"


def listeners(pid: int, proc: Path = Path("/proc")) -> frozenset[Listener] | None:
    """Sockets in state LISTEN, IPv4 and IPv6; ``None`` if the process cannot be looked at from here."""
    found: set[Listener] = set()
    seen = False
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / str(pid) / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        seen = True
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN:
                address, _, port = fields[1].rpartition(":")
                found.add(Listener(_address(address), int(port, 16)))
    return frozenset(found) if seen else None


def described(found: frozenset[Listener], asked: int) -> str:
    """What listens in place of the port ``asked`` at the container's own address, and what would help."""
    at_port = sorted((listener for listener in found if listener.port == asked), key=str)
    if at_port and all(listener.address.is_loopback for listener in at_port):
        return (
            f"it listens on {' and '.join(map(str, at_port))} only, where the probe cannot reach it. Let the app "
            "listen on 0.0.0.0, or use an exec or log probe"
        )
    others = map(str, sorted({listener.port for listener in found if listener.port != asked}))
    return f"it listens on {', '.join([*map(str, at_port), *others]) or 'no TCP port'}"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    words = [bytes.fromhex(text[at : at + _WORD_HEX]) for at in range(0, len(text), _WORD_HEX)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    address = ipaddress.ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
