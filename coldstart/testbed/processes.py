"""Which processes are ours, and how they end. Known by what they carry, never by a pid file: shims outlive daemons."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from coldstart.errors import TestbedError
from coldstart.testbed.config import Layout, ProcessRef
from coldstart.testbed.shell import TAG
from coldstart.units import NS_PER_S

ENGINE = "engine"
REGISTRY = "registry"
EGRESS = "egress"
TOOL = "tool"
_KILL_TIMEOUT_NS = 20 * NS_PER_S
_GRACE_NS = 2 * NS_PER_S
_POLL_S = 0.005
_LOOKS = 10


def tag(layout: Layout, role: str) -> str:
    """The environment mark of a testbed's process."""
    return f"{layout.id}:{role}"


def find(layout: Layout, proc: Path = Path("/proc")) -> tuple[ProcessRef, ...]:
    """Every live process of this testbed.

    A process is ours by our mark in its environment (`role` then says which), by our cgroup (containers), or by our
    mount namespace, which is known by the name of its private /run and so can be mistaken for no other.
    """
    found = []
    by_namespace: dict[str, bool] = {}
    for folder in proc.iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            ref = _ours(folder, layout, by_namespace)
        except OSError:
            continue  # gone meanwhile, or not for us to see and so not ours
        if ref is not None:
            found.append(ref)
    return tuple(sorted(found, key=lambda ref: ref.pid))


def has_role(layout: Layout, role: str, proc: Path = Path("/proc")) -> bool:
    """Whether a process of that role lives.

    One that is just becoming another program has no environment to be known by for a moment, so that none is there is
    believed only after some looks.
    """
    for look in range(_LOOKS):
        if look:
            time.sleep(_POLL_S)
        if any(ref.role == role for ref in find(layout, proc)):
            return True
    return False


def is_alive(ref: ProcessRef, proc: Path = Path("/proc")) -> bool:
    """Whether that very process still runs; a zombie does not."""
    try:
        state, start_ticks, _ = _stat(proc / str(ref.pid))
    except OSError:
        return False
    return start_ticks == ref.start_ticks and state not in "ZX"


def end(layout: Layout, proc: Path = Path("/proc")) -> int:
    """End every process of this testbed; how many there were.

    The registry may finish what it writes, for its storage is kept. All else is killed: what it writes is removed.

    Raises:
        TestbedError: something cannot be killed.
    """
    ours = find(layout, proc)
    registry = [ref for ref in ours if ref.role == REGISTRY]
    seen = {(ref.pid, ref.start_ticks) for ref in ours}
    _signal(registry, signal.SIGTERM)
    _signal((ref for ref in ours if ref.role != REGISTRY), signal.SIGKILL)
    _wait(registry, proc, _GRACE_NS)
    deadline_ns = time.monotonic_ns() + _KILL_TIMEOUT_NS
    while ours := find(layout, proc):  # what is killed may have forked meanwhile
        seen |= {(ref.pid, ref.start_ticks) for ref in ours}
        if time.monotonic_ns() > deadline_ns:
            names = ", ".join(f"{ref.name} ({ref.pid})" for ref in ours)
            raise TestbedError(f"cannot end {names}: the kernel holds them, most often for a disk. Repeat later.")
        _signal(ours, signal.SIGKILL)
        _wait(ours, proc, _GRACE_NS)
    return len(seen)


def _ours(folder: Path, layout: Layout, by_namespace: dict[str, bool]) -> ProcessRef | None:
    state, start_ticks, name = _stat(folder)
    if state in "ZX":
        return None
    role = _role(folder, layout)
    if role is None and not _in_cgroup(folder, layout) and not _in_namespace(folder, layout, by_namespace):
        return None
    return ProcessRef(pid=int(folder.name), start_ticks=start_ticks, name=name, role=role)


def _role(folder: Path, layout: Layout) -> str | None:
    try:
        environment = (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    mark = f"{TAG}={layout.id}:".encode()
    return next((entry.removeprefix(mark).decode() for entry in environment if entry.startswith(mark)), None)


def _in_cgroup(folder: Path, layout: Layout) -> bool:
    lines = (folder / "cgroup").read_text().splitlines()
    return any(layout.name in line.split(":", 2)[-1].split("/") for line in lines)


def _in_namespace(folder: Path, layout: Layout, by_namespace: dict[str, bool]) -> bool:
    try:
        namespace = str((folder / "ns" / "mnt").readlink())
        if namespace not in by_namespace:
            mountinfo = (folder / "mountinfo").read_text(errors="replace")
            by_namespace[namespace] = f" - tmpfs {layout.name} " in mountinfo
    except OSError:
        return False
    return by_namespace[namespace]


def _stat(folder: Path) -> tuple[str, int, str]:
    """State, start in clock ticks, and name (proc_pid_stat(5)); the name may hold spaces and parentheses."""
    text = (folder / "stat").read_text(errors="replace")
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    return fields[0], int(fields[19]), name


def _signal(refs: Iterable[ProcessRef], number: signal.Signals) -> None:
    for ref in refs:
        try:
            descriptor = os.pidfd_open(ref.pid)
        except ProcessLookupError:
            continue
        try:
            if is_alive(ref):  # the descriptor now pins the process: its id cannot pass to another one
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(descriptor)


def _wait(refs: Iterable[ProcessRef], proc: Path, timeout_ns: int) -> None:
    waiting, deadline_ns = list(refs), time.monotonic_ns() + timeout_ns
    while waiting and time.monotonic_ns() < deadline_ns:
        waiting = [ref for ref in waiting if is_alive(ref, proc)]
        if waiting:
            time.sleep(_POLL_S)
