"""Waiting until nothing else wants the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from coldstart.units import NS_PER_MS, NS_PER_S

WINDOW_NS = 200 * NS_PER_MS
TIMEOUT_NS = 10 * NS_PER_S
BUSY_LIMIT = 0.20
_IDLE_FIELDS = (3, 4)  # idle, iowait (proc_stat(5)): waiting for a disk takes no CPU


class CpuTicks(NamedTuple):
    """Clock ticks since boot, over all CPUs."""

    busy: int
    total: int


class QuietWait(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it became quiet, after how long, and the busy share of all CPUs in the last window."""

    quiet: bool
    waited_ns: int
    busy_fraction: float


def read_ticks(proc: Path = Path("/proc")) -> CpuTicks:
    """The whole machine's ticks. Guests' are left out: they are counted among their hosts' already."""
    with (proc / "stat").open() as file:
        ticks = [int(field) for field in file.readline().split()[1:9]]
    idle = sum(ticks[field] for field in _IDLE_FIELDS if field < len(ticks))
    return CpuTicks(busy=sum(ticks) - idle, total=sum(ticks))


def wait_until_quiet(
    *,
    busy_limit: float = BUSY_LIMIT,
    window_ns: int = WINDOW_NS,
    timeout_ns: int = TIMEOUT_NS,
    read: Callable[[], CpuTicks] = read_ticks,
    now_ns: Callable[[], int] = time.monotonic_ns,
    sleep_ns: Callable[[int], None] = lambda ns: time.sleep(ns / NS_PER_S),
) -> QuietWait:
    """Wait for one window in which less than ``busy_limit`` of all CPU time was used, at most ``timeout_ns``."""
    began_ns = now_ns()
    before = read()
    while True:
        sleep_ns(window_ns)
        after = read()
        total = after.total - before.total
        busy_fraction = (after.busy - before.busy) / total if total > 0 else 1.0  # nothing seen is no proof of quiet
        waited_ns = now_ns() - began_ns
        quiet = busy_fraction < busy_limit
        if quiet or waited_ns + window_ns > timeout_ns:
            return QuietWait(quiet=quiet, waited_ns=waited_ns, busy_fraction=busy_fraction)
        before = after
