"""A tracing instance of our own in the kernel's tracefs (Documentation/trace/ftrace.rst), and its text read.

The filesystem is mounted without a place in the mount table (fsopen(2), fsmount(2): Linux 5.2), so the host sees no
mount of ours; where the kernel is older it is used where it is mounted already.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from collections.abc import Iterator
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path

from coldstart.trace.base import WatchingUnavailableError
from coldstart.trace.tree import Event, Exec, Exit, Fork, Listen, Receive

PREFIX = "coldstart-"
BUFFER_KB = 2048  # a CPU; a start writes 100 to 500 KB in all, and an overrun is found out
CLOCK = "mono"
REQUIRED = ("sched/sched_process_exec", "sched/sched_process_exit", "task/task_newtask")
OPTIONAL = {
    "sock/inet_sock_set_state": "newstate==10",  # include/net/tcp_states.h: TCP_LISTEN
    "sock/sock_recv_length": "(family==2||family==10)&&ret>0",
}

_MOUNTED = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
_CLONE_THREAD = 0x10000  # include/uapi/linux/sched.h
_SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT = 430, 431, 432  # the same on every architecture
_FSCONFIG_CMD_CREATE = 6
_libc = ctypes.CDLL(None, use_errno=True)

_LINE = re.compile(r"^.+?-(\d+)\s+(?:\(\s*[\d-]+\)\s+)?\[\d+\]\s+\S+\s+(\d+)\.(\d{6}): (\w+): (.*)$")
_EXEC = re.compile(r"filename=(.*) pid=(\d+) old_pid=\d+$")
_NEWTASK = re.compile(r"pid=(\d+) comm=.* clone_flags=([0-9a-f]+) ")
_LISTEN = re.compile(r"sport=(\d+) ")
_RECEIVED = re.compile(r"length = (\d+),")


class Instance:
    """One tracing instance. Nothing is traced but between `start` and `stop`; then no event is enabled either."""

    def __init__(self) -> None:
        """Make it.

        Raises:
            WatchingUnavailableError: no root, no tracefs, no monotonic clock, or an event is missing from the kernel.
        """
        self._root, self._mount = _tracefs()
        self._folder = self._root / "instances" / f"{PREFIX}{os.getpid()}"
        self._owned: int | None = None
        try:
            remove_stale(self._root)
            self._folder.mkdir(exist_ok=True)
            self._owned = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            flock(self._owned, LOCK_SH)  # which the kernel gives back when we end, however that is
            self._write("trace_clock", CLOCK)
            self._write("buffer_size_kb", str(BUFFER_KB))
            self._check_clock()
            self.events = self._available()
        except OSError as error:
            self.close()
            raise WatchingUnavailableError(f"tracefs refuses an instance: {error}") from error
        except WatchingUnavailableError:
            self.close()
            raise

    def start(self) -> None:
        """Empty the buffer and enable the events."""
        self._write("trace", "")
        for event in self.events:
            self._write(f"events/{event}/enable", "1")

    def stop(self) -> None:
        """Disable the events: merely pausing would leave their cost in the kernel's paths."""
        for event in self.events:
            self._write(f"events/{event}/enable", "0")

    def read(self) -> str:
        """What was traced since `start`."""
        return (self._folder / "trace").read_text(errors="replace")

    def lost(self) -> int:
        """Events that found the buffer full, or were written over, since `start`."""
        total = 0
        for stats in self._folder.glob("per_cpu/cpu*/stats"):
            fields = dict(line.split(": ", 1) for line in stats.read_text().splitlines() if ": " in line)
            total += int(fields.get("overrun", 0)) + int(fields.get("dropped events", 0))
        return total

    def close(self) -> None:
        """Remove the instance."""
        with contextlib.suppress(OSError):
            self.stop_all()
        with contextlib.suppress(OSError):
            self._folder.rmdir()
        for descriptor in (self._owned, self._mount):
            if descriptor is not None:
                os.close(descriptor)
        self._owned = self._mount = None

    def stop_all(self) -> None:
        """Disable every event of the instance, whoever enabled it."""
        if self._folder.is_dir():
            self._write("events/enable", "0")

    def _check_clock(self) -> None:
        clock = (self._folder / "trace_clock").read_text()
        if f"[{CLOCK}]" not in clock:
            raise WatchingUnavailableError(f"the kernel's trace clock is not monotonic ({clock.strip()})")

    def _available(self) -> tuple[str, ...]:
        missing = [event for event in REQUIRED if not (self._folder / "events" / event).is_dir()]
        if missing:
            raise WatchingUnavailableError(f"the kernel lacks trace events: {', '.join(missing)}")
        present = [event for event in OPTIONAL if (self._folder / "events" / event).is_dir()]
        for event in present:
            self._write(f"events/{event}/filter", OPTIONAL[event])
        return (*REQUIRED, *present)

    def _write(self, name: str, value: str) -> None:
        (self._folder / name).write_text(value)


def sweep() -> int:
    """Remove what killed runs left in the kernel; how many instances there were, 0 where none can be looked for."""
    try:
        root, mount = _tracefs()
    except WatchingUnavailableError:
        return 0
    try:
        return remove_stale(root)
    finally:
        if mount is not None:
            os.close(mount)


def remove_stale(root: Path, proc: Path = Path("/proc")) -> int:
    """Remove instances whose owners have ended, turned off first; how many there were."""
    count = 0
    for folder in (root / "instances").glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX)
        if pid.isdigit() and int(pid) != os.getpid() and not _is_owned(folder, proc / pid):
            with contextlib.suppress(OSError):
                (folder / "events" / "enable").write_text("0")
                folder.rmdir()
                count += 1
    return count


def _is_owned(folder: Path, process: Path) -> bool:
    """Whether somebody still uses an instance: its owner's lock is on it, or it is that of a coldstart without locks.

    A process of that number alone proves nothing: numbers are given anew, and a killed process keeps its own until
    its parent has asked for it.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return True  # gone meanwhile, or not ours to look at
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    try:
        return b"coldstart" in (process / "cmdline").read_bytes()
    except OSError:
        return False


def parse(text: str) -> Iterator[Event]:
    """The events of a trace's text, in order of time; lines of other kinds are passed over.

    Stamps have six decimals: what is read is up to 1 µs early.
    """
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        task, seconds, micros, name, rest = match.groups()
        event = _event(int(seconds) * 1_000_000_000 + int(micros) * 1000, int(task), name, rest)
        if event is not None:
            yield event


def _event(at_ns: int, task: int, name: str, rest: str) -> Event | None:
    match name:
        case "sched_process_exec" if found := _EXEC.search(rest):
            return Exec(at_ns, int(found[2]), found[1])
        case "sched_process_exit":
            return Exit(at_ns, task)
        case "task_newtask" if found := _NEWTASK.search(rest):
            return Fork(at_ns, task, int(found[1]), bool(int(found[2], 16) & _CLONE_THREAD))
        case "inet_sock_set_state" if found := _LISTEN.search(rest):
            return Listen(at_ns, task, int(found[1]))
        case "sock_recv_length" if found := _RECEIVED.search(rest):
            return Receive(at_ns, task, int(found[1]))
    return None


def _tracefs() -> tuple[Path, int | None]:
    if os.geteuid() != 0:
        raise WatchingUnavailableError("kernel tracing needs root")
    try:
        mount = _detached_mount()
    except OSError as error:
        for point in _MOUNTED:
            if (Path(point) / "instances").is_dir():
                return Path(point), None
        raise WatchingUnavailableError(f"no tracefs here ({error.strerror}), and none is mounted") from error
    return Path(f"/proc/self/fd/{mount}"), mount


def _detached_mount() -> int:
    context = _syscall(_SYS_FSOPEN, b"tracefs", 1)  # 1: FSOPEN_CLOEXEC
    try:
        _syscall(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
        return _syscall(_SYS_FSMOUNT, context, 1, 0)  # 1: FSMOUNT_CLOEXEC
    finally:
        os.close(context)


def _syscall(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
