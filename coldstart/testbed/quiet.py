"""Waiting until nothing else wants the CPU, or reads from the disk that is measured."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from coldstart.testbed.block import HERE, SystemRoots
from coldstart.text import clean
from coldstart.units import NS_PER_MS, NS_PER_S

WINDOW_NS = 200 * NS_PER_MS
TIMEOUT_NS = 10 * NS_PER_S
BUSY_LIMIT = 0.20
_IDLE, _IOWAIT = 3, 4  # proc_stat(5)
_READ_MS = 3  # Documentation/block/stat.rst: "read ticks", the time that read requests waited, added up
_NAMED = 3
_LEAST_SHARE = 0.01


class CpuTicks(NamedTuple):
    """Clock ticks since boot, over all CPUs; in ``waiting`` ones a CPU was idle while a disk had work."""

    busy: int
    total: int
    waiting: int = 0


class QuietWait(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it became quiet, after how long, and how busy the last window was.

    ``busy_fraction`` is of all CPUs' time. ``reading_fraction`` is how many reads the disk had under way on average, a
    process that reads all the time being 1; ``None`` where that is not known. ``busiest`` names the programs that took
    most CPU time, where it did not become quiet.
    """

    quiet: bool
    waited_ns: int
    busy_fraction: float
    reading_fraction: float | None = None
    busiest: tuple[str, ...] = ()

    @property
    def disturbance(self) -> str:
        """What kept the machine busy, in words; empty where it was quiet."""
        if self.quiet:
            return ""
        words = f"the CPU was {self.busy_fraction:.0%} busy"
        if self.reading_fraction is not None and self.reading_fraction > self.busy_fraction:
            words += f" and the disk was read {min(self.reading_fraction, 1):.0%} of the time"
        return words + (f" (most by {', '.join(self.busiest)})" if self.busiest else "")


def read_ticks(proc: Path = Path("/proc")) -> CpuTicks:
    """The whole machine's ticks. Guests' are left out: they are counted among their hosts' already."""
    with (proc / "stat").open() as file:
        ticks = [int(field) for field in file.readline().split()[1:9]]
    waiting = ticks[_IOWAIT] if len(ticks) > _IOWAIT else 0
    return CpuTicks(busy=sum(ticks) - ticks[_IDLE] - waiting, total=sum(ticks), waiting=waiting)


def read_wait_ms(disk: str | None, roots: SystemRoots = HERE) -> int | None:
    """How long the disk's reads waited since boot, added up; ``None`` where that is not known.

    ``disk`` is its kernel name (`coldstart.testbed.block.disk_of`).
    """
    if disk is None:
        return None
    try:
        return int((roots.sys / "class" / "block" / disk / "stat").read_text().split()[_READ_MS])
    except (OSError, IndexError, ValueError):
        return None


def wait_until_quiet(
    *,
    busy_limit: float = BUSY_LIMIT,
    window_ns: int = WINDOW_NS,
    timeout_ns: int = TIMEOUT_NS,
    read: Callable[[], CpuTicks] = read_ticks,
    read_disk_ms: Callable[[], int | None] = lambda: None,
    name_busiest: Callable[[], tuple[str, ...]] | None = None,
    now_ns: Callable[[], int] = time.monotonic_ns,
    sleep_ns: Callable[[int], None] = lambda ns: time.sleep(ns / NS_PER_S),
) -> QuietWait:
    """Wait for one window in which CPUs and disk were busy for less than ``busy_limit``, at most ``timeout_ns``.

    ``read_disk_ms`` is how long the reads of the engine's disk waited so far, such as `read_wait_ms` of that disk.
    Whoever reads the disk may bring back into memory what was evicted, and is in the way of a start that reads. Where
    the disk cannot be asked, a CPU that idles while a disk has work counts as busy in its place; elsewhere it does not,
    for some kernels count so while nothing is read (io_uring before Linux 6.5).
    """
    began_ns = now_ns()
    before, begin_ns, disk_before_ms = read(), began_ns, read_disk_ms()
    while True:
        sleep_ns(window_ns)
        after, end_ns, disk_after_ms = read(), now_ns(), read_disk_ms()
        reading_fraction = None
        if disk_before_ms is not None and disk_after_ms is not None:
            reading_fraction = (disk_after_ms - disk_before_ms) * NS_PER_MS / max(end_ns - begin_ns, 1)
        total = after.total - before.total
        busy = after.busy - before.busy
        if reading_fraction is None:
            busy += after.waiting - before.waiting
        busy_fraction = busy / total if total > 0 else 1.0  # nothing seen is no proof of quiet
        waited_ns = end_ns - began_ns
        quiet = max(busy_fraction, reading_fraction or 0.0) < busy_limit
        if quiet or waited_ns + window_ns > timeout_ns:
            return QuietWait(
                quiet=quiet,
                waited_ns=waited_ns,
                busy_fraction=busy_fraction,
                reading_fraction=reading_fraction,
                busiest=() if quiet else (name_busiest or busiest_processes)(),
            )
        before, begin_ns, disk_before_ms = after, end_ns, disk_after_ms


def busiest_processes(window_ns: int = WINDOW_NS) -> tuple[str, ...]:
    """The programs, besides this process, that take most CPU time now, with their share of all CPUs."""
    before, begin_ns = _cpu_seconds(), time.monotonic_ns()
    time.sleep(window_ns / NS_PER_S)
    after, elapsed_s = _cpu_seconds(), (time.monotonic_ns() - begin_ns) / NS_PER_S
    cpus = os.cpu_count() or 1
    shares: defaultdict[str, float] = defaultdict(float)
    for pid, (name, seconds) in after.items():
        if pid in before and pid != os.getpid():
            shares[name] += (seconds - before[pid][1]) / elapsed_s / cpus
    busiest = sorted(shares.items(), key=lambda entry: entry[1], reverse=True)[:_NAMED]
    return tuple(f"{name} {share:.0%}" for name, share in busiest if share >= _LEAST_SHARE)


def _cpu_seconds() -> dict[int, tuple[str, float]]:
    """Name and CPU time so far of every process; names are anybody's choice, so they are cleaned."""
    import psutil  # noqa: PLC0415  7 ms that only a busy machine needs to pay

    found = {}
    for process in psutil.process_iter(["name", "cpu_times"]):
        times, name = process.info["cpu_times"], process.info["name"] or "?"
        if times is not None:
            found[process.pid] = clean(name), times.user + times.system
    return found
