"""Which TCP ports a process's network namespace listens on: what to tell a user whose probe asked another."""

from __future__ import annotations

from pathlib import Path

_LISTEN = "0A"  # include/net/tcp_states.h


def listening_ports(pid: int, proc: Path = Path("/proc")) -> frozenset[int] | None:
    """Ports in state LISTEN, IPv4 and IPv6; ``None`` if the process cannot be looked at from here."""
    ports: set[int] = set()
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
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return frozenset(ports) if seen else None
