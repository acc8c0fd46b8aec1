"""Whether containers tried to reach other networks than the testbed's: its kernel counts what it had to refuse."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from coldstart.engines.netns import inside

# Packets without a route, forwarded for a container or sent by one with network host; and lookups at the resolver's
# address, which nobody serves (RFC 4293 and 4113 by the kernel's names, net/ipv4/proc.c).
_COUNTERS = {"netstat": (("IpExt", "InNoRoutes"),), "snmp": (("Ip", "OutNoRoutes"), ("Udp", "NoPorts"))}


def refused(namespaces: Iterable[Path]) -> int | None:
    """Packets refused so far in these network namespaces; ``None`` where they cannot be counted."""
    total = 0
    try:
        for netns in namespaces:
            with inside(netns):
                total += sum(counted((Path("/proc/thread-self/net") / file).read_text(), file) for file in _COUNTERS)
    except (OSError, ValueError):
        return None
    return total


def counted(text: str, file: str) -> int:
    """The sum of a file's counters of interest: pairs of lines, of names and of values.

    Raises:
        ValueError: it does not look so.
    """
    total = 0
    lines = text.splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        group, *columns = names.replace(":", "").split()
        numbers = dict(zip(columns, map(int, values.partition(":")[2].split()), strict=True))
        total += sum(numbers.get(name, 0) for wanted, name in _COUNTERS[file] if wanted == group)
    return total
