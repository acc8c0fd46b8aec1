"""What the processes of a start took: those that ended by taskstats, those that live on by their own files."""

from __future__ import annotations

import time
from pathlib import Path

from coldstart.model.sample import ProcessUse
from coldstart.trace.attribute import Member, Role, members
from coldstart.trace.base import TrialWindow
from coldstart.trace.taskstats import TaskRecord, TaskStats
from coldstart.trace.tree import Tree

ENDED, LIVING = "taskstats", "proc"
ENGINE = "engine"
_KIB = 1024
_CPUCLOCK_SCHED = 2


class Usage:
    """Gathers what a trial's processes took; without taskstats only those that live on are told."""

    def __init__(self, stats: TaskStats | None) -> None:
        self._stats = stats
        self._daemons: tuple[int, ...] = ()
        self._cpu_before: dict[int, int | None] = {}

    def begin(self, daemons: tuple[int, ...]) -> None:
        """Note what the daemons took so far, and forget whoever ended before."""
        self._daemons = daemons
        self._cpu_before = {pid: _cpu_ns(pid) for pid in daemons}
        self._records()

    def end(self, tree: Tree, window: TrialWindow) -> tuple[ProcessUse, ...]:
        """Of every process with a role, and of the daemons: their CPU time during the trial, their memory after it."""
        records = self._records()
        found = members(tree, window)
        ended = [use for member in found if (use := _ended_use(member, records)) is not None]
        living = [_living_use(m.process.pid, m.role, m.container) for m in found if m.role is Role.SHIM]
        daemons = [_living_use(pid, ENGINE, None, since_ns=self._cpu_before.get(pid)) for pid in self._daemons]
        return tuple(use for use in (*ended, *living, *daemons) if use is not None)

    def close(self) -> None:
        """Listen no longer."""
        if self._stats is not None:
            self._stats.close()

    def _records(self) -> dict[int, TaskRecord]:
        if self._stats is None:
            return {}
        try:
            return {record.task: record for record in self._stats.records()}
        except OverflowError:
            return {}  # a process without its record is not told of, rather than by half


def open_usage() -> Usage:
    """With taskstats where this kernel and namespace have them."""
    try:
        return Usage(TaskStats())
    except OSError:
        return Usage(None)


def _ended_use(member: Member, records: dict[int, TaskRecord]) -> ProcessUse | None:
    """A process that ended, summed over its threads; ``None`` unless each of them left its record."""
    process = member.process
    if process.exit_ns is None:
        return None
    found = [records[task] for task in process.ever if task in records]
    if len(found) != len(process.ever):
        return None
    return ProcessUse(
        role=str(member.role),
        name=records[process.pid].name,
        source=ENDED,
        container=member.container,
        peak_rss_bytes=max(record.peak_rss_bytes for record in found),
        cpu_ns=sum(record.cpu_ns for record in found),
        read_bytes=sum(record.read_bytes for record in found),
        write_bytes=sum(record.write_bytes for record in found),
    )


def _living_use(pid: int, role: str, container: int | None, since_ns: int | None = 0) -> ProcessUse | None:
    import psutil  # noqa: PLC0415  7 ms that only measuring needs to pay

    try:
        process = psutil.Process(pid)
        name, memory = process.name(), process.memory_full_info()
        cpu_ns = _cpu_ns(pid)
    except (psutil.Error, OSError):
        return None
    return ProcessUse(
        role=str(role),
        name=name,
        source=LIVING,
        container=container,
        peak_rss_bytes=_high_water_bytes(pid),
        pss_bytes=getattr(memory, "pss", None),
        uss_bytes=getattr(memory, "uss", None),
        cpu_ns=None if cpu_ns is None or since_ns is None else cpu_ns - since_ns,
    )


def _cpu_ns(pid: int) -> int | None:
    """CPU time of a process so far, its threads that ended included, to the scheduler's own ns.

    The clock of another process is named by its number (clock_getcpuclockid(3); MAKE_PROCESS_CPUCLOCK in Linux'
    ``include/linux/posix-timers_types.h``).
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        return None


def _high_water_bytes(pid: int, proc: Path = Path("/proc")) -> int | None:
    try:
        lines = (proc / str(pid) / "status").read_text(errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * _KIB for line in lines if line.startswith("VmHWM:")), None)
