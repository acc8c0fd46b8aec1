"""The kernel's process connector as a source, where there is no tracing: forks, execs and ends, without names.

Messages are the kernel's ``struct proc_event`` (include/uapi/linux/cn_proc.h), stamped on the monotonic clock. They
reach the host's network namespace only.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator

from coldstart.model.run import SourceFacts
from coldstart.model.sample import Source
from coldstart.trace import netlink
from coldstart.trace.base import WatchingUnavailableError
from coldstart.trace.tree import Event, Exec, Exit, Fork
from coldstart.trace.usage import open_usage
from coldstart.trace.watch import EventsLostError, ProcessSource

FACTS = SourceFacts(
    name=Source.PROC,
    resolution_ns=100_000,
    bias="the kernel's own instants of forks, execs and ends, as exact as its trace; it tells no program's name and no "
    "socket, so unpacking, the network hook and the first listening are not seen",
)

_NETLINK_CONNECTOR = 11
_CN_IDX_PROC = _CN_VAL_PROC = 1
_LISTEN, _IGNORE = 1, 2
_NLMSG_DONE = 3
_CN_MSG = struct.Struct("=IIIIHH")
_EVENT = struct.Struct("=IIQ")  # what, CPU, stamp
_FORK, _EXEC, _EXIT, _NONE = 0x1, 0x2, 0x80000000, 0x0


class ConnectorWatcher:
    """See `coldstart.trace.watch.Watcher`."""

    def __init__(self) -> None:
        """Open the connector and see that it answers.

        Raises:
            WatchingUnavailableError: no root, not in the kernel, or not in this network namespace.
        """
        if os.geteuid() != 0:
            raise WatchingUnavailableError("the process connector needs root")
        try:
            self._socket = netlink.open_socket(_NETLINK_CONNECTOR, _CN_IDX_PROC)
        except OSError as error:
            raise WatchingUnavailableError(f"the kernel has no process connector ({error.strerror})") from error
        self._ask(_LISTEN)
        self._ask(_IGNORE)
        if not self._answered():
            self._socket.close()
            raise WatchingUnavailableError("the process connector does not answer in this network namespace")

    def start(self) -> None:
        """Forget what waits, then listen."""
        self._forget()
        self._ask(_LISTEN)

    def stop(self) -> None:
        """Listen no longer."""
        self._ask(_IGNORE)

    def events(self) -> Iterable[Event]:
        """What waits in the socket."""
        try:
            return tuple(parse(payload for _, payload in netlink.drain(self._socket)))
        except OverflowError as error:
            raise EventsLostError(f"process events were lost: {error}") from error

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _ask(self, operation: int) -> None:
        body = _CN_MSG.pack(_CN_IDX_PROC, _CN_VAL_PROC, 0, 0, 4, 0) + struct.pack("=I", operation)
        self._socket.send(netlink.HEADER.pack(netlink.HEADER.size + len(body), _NLMSG_DONE, 0, 0, 0) + body)

    def _answered(self) -> bool:
        self._socket.settimeout(1.0)
        try:
            return bool(self._socket.recv(4096))
        except OSError:
            return False
        finally:
            self._socket.settimeout(None)

    def _forget(self) -> None:
        while True:
            try:
                for _ in netlink.drain(self._socket):
                    pass
            except OverflowError:
                continue
            return


def parse(payloads: Iterable[bytes]) -> Iterator[Event]:
    """The events of connector messages, in order of time."""
    found: list[Event] = []
    for payload in payloads:
        if len(payload) < _CN_MSG.size + _EVENT.size:
            continue  # an answer to a request has no event
        what, _, at_ns = _EVENT.unpack_from(payload, _CN_MSG.size)
        numbers = struct.unpack_from("=4I", payload.ljust(_CN_MSG.size + _EVENT.size + 16, b"\0"), _CN_MSG.size + 16)
        if what == _FORK:
            parent, _, child, process = numbers
            # Of a thread the kernel tells its process's parent, not its maker: its process is known all the same.
            found.append(Fork(at_ns, parent if child == process else process, child, child != process))
        elif what == _EXEC:
            found.append(Exec(at_ns, numbers[1], None))
        elif what == _EXIT:
            found.append(Exit(at_ns, numbers[0]))
    yield from sorted(found, key=lambda event: event.at_ns)  # CPUs deliver independently


def open_source(daemons: Callable[[], tuple[int, ...]]) -> ProcessSource:
    """The process connector's view of these daemons' families.

    Raises:
        WatchingUnavailableError: it is not to be had.
    """
    return ProcessSource(FACTS, ConnectorWatcher(), daemons, open_usage())
