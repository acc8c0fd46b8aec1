"""Which processes are an engine's daemons, found from the socket they answer on; whether they live, and work."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from coldstart.units import NS_PER_S

_CONTAINERD = "containerd"
_CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
_CONNECT_TIMEOUT_S = 1
_BUSY_SHARE = 0.05  # of a core: an idle dockerd and containerd take a tenth of that
_DISK_WAIT_NS = 600 * NS_PER_S  # a slow card may write back for minutes, in which nobody takes CPU time
_SILENT_NS = 1800 * NS_PER_S  # unpacking a layer of gigabytes on a slow board; a daemon may be busy with other things
_PID_FILE = Path("/var/run/docker.pid")  # dockerd's own default


def daemon_pids(docker_socket: Path, proc: Path = Path("/proc")) -> tuple[int, ...]:
    """Dockerd, then its containerd: its child, or else the machine's; those that cannot be told are left out.

    Under systemd the socket is init's own, since that made it listen; dockerd's pid file tells then.
    """
    dockerd = listener_pid(docker_socket)
    if dockerd in {None, 1}:
        dockerd = _written_pid(_PID_FILE)
    if dockerd is None:
        return ()
    containerd = _child_named(dockerd, _CONTAINERD, proc) or listener_pid(_CONTAINERD_SOCKET)
    return (dockerd,) if containerd in {None, 1} else (dockerd, containerd)


def listener_pid(path: Path | str) -> int | None:
    """Who listens on a Unix socket (SO_PEERCRED, unix(7)); ``None`` if nobody, or it is not for us to ask.

    A name that begins with a NUL is an abstract one.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as asking:
        asking.settimeout(_CONNECT_TIMEOUT_S)  # a listener that accepts nobody has a backlog that fills up
        try:
            asking.connect(str(path))
            pid, _, _ = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        except OSError:
            return None
    return int(pid) or None  # 0: in a process namespace we cannot see


def condition_of(pid: int, proc: Path = Path("/proc")) -> str | None:
    """What is wrong with a process, as the end of a sentence; ``None`` if it lives and may run."""
    try:
        state = _stat(proc / str(pid)).state
    except OSError:
        return "is gone"
    return "is gone" if state in "ZX" else "is stopped" if state in "Tt" else None


def end_container(container_id: str, proc: Path = Path("/proc")) -> int:
    """Kill the shim of a container and all that descends from it; how many processes.

    For a container whose runtime hangs: the engine waits for its shim, and holds the container's lock meanwhile. A shim
    is known by the container's ID among its arguments (containerd's runtime v2 protocol: ``-id``).
    """
    ids = container_id.encode()
    shims = [pid for pid in _pids(proc) if _is_shim(proc / str(pid), ids)]
    doomed = family(shims, proc)
    for pid in doomed:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has just ended
        finally:
            os.close(descriptor)
    return len(doomed)


def family(roots: Iterable[int], proc: Path = Path("/proc")) -> tuple[int, ...]:
    """Those of ``roots`` that live, and all that descend from them."""
    children: dict[int, list[int]] = {}
    for pid in _pids(proc):
        try:
            children.setdefault(_stat(proc / str(pid)).parent, []).append(pid)
        except OSError:
            continue
    alive = {pid for of_one in children.values() for pid in of_one}
    found, waiting = [], [pid for pid in roots if pid in alive]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return tuple(found)


class Activity:
    """Whether an engine works though it says nothing, as while it unpacks a large layer or writes it to a slow disk."""

    def __init__(
        self,
        daemons: Callable[[], tuple[int, ...]],
        proc: Path = Path("/proc"),
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._daemons = daemons
        self._proc = proc
        self._now_ns = now_ns
        self._looked_ns: int | None = None
        self._waiting_since_ns: int | None = None
        self._ticks = 0

    def goes_on(self, silent_ns: int) -> bool:
        """Whether its processes took CPU time since the last look, or one waits for a disk; the first look says yes.

        But no work is waited for that has been silent for half an hour.
        """
        if silent_ns > _SILENT_NS:
            return False
        pids = family(self._daemons(), self._proc)
        now_ns, ticks = self._now_ns(), sum(self._ticks_of(pid) for pid in pids)
        looked_ns, before = self._looked_ns, self._ticks
        self._looked_ns, self._ticks = now_ns, ticks
        if looked_ns is None:
            return True
        took_ns = (ticks - before) * NS_PER_S // os.sysconf("SC_CLK_TCK")
        if took_ns > _BUSY_SHARE * (now_ns - looked_ns):
            self._waiting_since_ns = None
            return True
        if not any(self._waits_for_disk(pid) for pid in pids):
            return False
        self._waiting_since_ns = self._waiting_since_ns or now_ns
        return now_ns - self._waiting_since_ns < _DISK_WAIT_NS

    def _ticks_of(self, pid: int) -> int:
        try:
            return _stat(self._proc / str(pid)).ticks
        except OSError:
            return 0

    def _waits_for_disk(self, pid: int) -> bool:
        try:
            return any(_stat(task).state == "D" for task in (self._proc / str(pid) / "task").iterdir())
        except OSError:
            return False


class _Stat(NamedTuple):
    """Of proc_pid_stat(5): ``ticks`` is the CPU time of the process and of its children that it has waited for."""

    name: str
    state: str
    parent: int
    ticks: int


def _stat(folder: Path) -> _Stat:
    text = (folder / "stat").read_text(errors="replace")
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    return _Stat(name, fields[0], int(fields[1]), sum(int(ticks) for ticks in fields[11:15]))


def _pids(proc: Path) -> Iterator[int]:
    return (int(folder.name) for folder in proc.iterdir() if folder.name.isdigit())


def _is_shim(folder: Path, container_id: bytes) -> bool:
    try:
        words = (folder / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return (b"-id", container_id) in itertools.pairwise(words)


def _child_named(parent: int, name: str, proc: Path) -> int | None:
    for pid in _pids(proc):
        try:
            found = _stat(proc / str(pid))
        except OSError:
            continue
        if (found.name, found.parent) == (name, parent):
            return pid
    return None


def _written_pid(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
