"""One user at a time: who measures on a testbed holds it, and everybody else is told who that is."""

from __future__ import annotations

import errno
import hashlib
import os
import pwd
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path

import msgspec

from coldstart.decoding import UNREADABLE
from coldstart.engines.daemons import listener_pid
from coldstart.errors import TestbedError, TestbedHeldError
from coldstart.opening import open_regular
from coldstart.testbed import marker
from coldstart.testbed.config import Layout
from coldstart.units import NS_PER_MS, NS_PER_S

_GLANCE_NS = 100 * NS_PER_MS


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a testbed, for what, and since when (ISO 8601, UTC)."""

    pid: int
    user: str
    purpose: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} ({self.purpose}, since {self.since})"


@contextmanager
def hold(root: Path, purpose: str) -> Iterator[Holder]:
    """Hold the testbed in ``root`` for ``purpose`` (a few words for whoever comes second).

    The kernel drops the lock with its process, so a killed holder does not count.

    Raises:
        TestbedHeldError: somebody else holds it; the message names them.
        TestbedError: there is no testbed in ``root``, or it is not for this user.
    """
    path = Layout.of(root).hold
    descriptor = _open(path)
    try:
        try:
            _lock(descriptor)
        except BlockingIOError as error:
            raise TestbedHeldError(
                f"the testbed in {root} is held by {_read(descriptor) or 'somebody'}. Wait for them, or use a testbed "
                "of your own: set COLDSTART_STATE_DIR to another folder."
            ) from error
        if not _is_current(descriptor, path):
            raise TestbedError(f"the testbed in {root} was just removed. Start it: coldstart testbed up")
        holder = _myself(purpose)
        os.ftruncate(descriptor, 0)
        with suppress(OSError):  # a full disk: the lock is what counts, the name only helps whoever comes second
            os.pwrite(descriptor, msgspec.json.encode(holder) + b"\n", 0)
        try:
            yield holder
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


@contextmanager
def hold_engine(url: str) -> Iterator[None]:
    """Hold an engine that is not ours, so that no second run sweeps our containers off it while we measure.

    The lock is an abstract socket (unix(7)): it leaves no file, needs no privilege, and ends with its process.

    Raises:
        TestbedHeldError: another process measures it; the message names that.
    """
    name = f"\0coldstart-{hashlib.sha256(url.encode()).hexdigest()[:16]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as lock:
        try:
            lock.bind(name)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise TestbedHeldError(
                f"the engine at {url} is being measured by process {listener_pid(name) or 'unknown'}. Wait for it."
            ) from error
        lock.listen()
        yield


def holder_of(root: Path) -> Holder | None:
    """Who holds the testbed now; ``None`` if nobody does, or if this user may not know."""
    try:
        descriptor = open_regular(Layout.of(root).hold, os.O_RDONLY)
    except OSError:
        return None
    try:
        flock(descriptor, LOCK_SH | LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    finally:
        os.close(descriptor)
    return None


def user_name(environ: Mapping[str, str] = os.environ) -> str:
    """The person at the keyboard: who called sudo, else the process's own user."""
    if name := environ.get("SUDO_USER"):
        return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def _lock(descriptor: int) -> None:
    """Take the lock; whoever only looks (`holder_of`) has it for an instant, which is waited out."""
    deadline_ns = time.monotonic_ns() + _GLANCE_NS
    while True:
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            if time.monotonic_ns() > deadline_ns:
                raise
            time.sleep(_GLANCE_NS / 10 / NS_PER_S)
        else:
            return


def _open(path: Path) -> int:
    marker.check_private(path.parent)
    try:
        # For its owner only: who can open a file can lock it, and keep everybody else from measuring.
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT, 0o600)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TestbedError(f"no testbed in {path.parent}. Start one: coldstart testbed up") from error
    except PermissionError as error:
        raise TestbedError(f"{path}: permission denied. Run as root (sudo).") from error
    os.fchmod(descriptor, 0o600)  # of an older version
    return descriptor


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


def _myself(purpose: str) -> Holder:
    return Holder(
        pid=os.getpid(), user=user_name(), purpose=purpose, since=datetime.now(UTC).isoformat(timespec="seconds")
    )


def _read(descriptor: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Holder)
    except UNREADABLE:
        return None  # being written this instant
