"""What every process took, as it ends: taskstats over generic netlink (Documentation/accounting/taskstats.rst).

Nothing is wrapped and nothing is polled: the kernel sends one record for each task that ends on a CPU listened to. They
reach the host's network namespace only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from coldstart.trace import netlink

_NETLINK_GENERIC = 16
_GENL_HEADER = struct.Struct("=BBH")
_NLM_F_REQUEST = 1
_GENL_ID_CTRL, _CTRL_CMD_GETFAMILY, _CTRL_ATTR_FAMILY_ID, _CTRL_ATTR_FAMILY_NAME = 16, 3, 1, 2
_CMD_GET, _CMD_ATTR_REGISTER_CPUMASK, _CMD_ATTR_DEREGISTER_CPUMASK = 1, 3, 4
_TYPE_PID, _TYPE_STATS, _TYPE_AGGR_PID = 1, 3, 4
_KIB = 1024

# Offsets in struct taskstats (include/uapi/linux/taskstats.h); fields are only ever added at its end.
_COMM = slice(80, 112)
_UTIME_STIME = struct.Struct("=QQ")  # microseconds, counted in clock ticks on most kernels
_RUN_VIRTUAL_AT, _UTIME_AT, _HIWATER_RSS_AT, _READ_BYTES_AT = 72, 152, 200, 248
_LEAST_BYTES = 264


class TaskRecord(NamedTuple):
    """One task that ended: ``peak_rss_bytes`` is its process's high-water mark, the rest its own."""

    task: int
    name: str
    cpu_ns: int
    peak_rss_bytes: int
    read_bytes: int
    write_bytes: int


class TaskStats:
    """A listener on every CPU."""

    def __init__(self) -> None:
        """Register.

        Raises:
            OSError: not in this kernel, not in this network namespace, or no privilege (CAP_NET_ADMIN).
        """
        self._socket = netlink.open_socket(_NETLINK_GENERIC)
        try:
            self._family = self._find_family()
            self._mask = Path("/sys/devices/system/cpu/possible").read_text().strip().encode() + b"\0"
            self._send(self._family, _CMD_GET, netlink.attribute(_CMD_ATTR_REGISTER_CPUMASK, self._mask))
        except OSError:
            self._socket.close()
            raise

    def records(self) -> tuple[TaskRecord, ...]:
        """Of every task that ended since the last call.

        Raises:
            OverflowError: some were lost.
        """
        return tuple(
            record for kind, payload in netlink.drain(self._socket) if kind == self._family for record in parse(payload)
        )

    def close(self) -> None:
        """Listen no longer."""
        try:
            self._send(self._family, _CMD_GET, netlink.attribute(_CMD_ATTR_DEREGISTER_CPUMASK, self._mask))
        finally:
            self._socket.close()

    def _find_family(self) -> int:
        self._send(_GENL_ID_CTRL, _CTRL_CMD_GETFAMILY, netlink.attribute(_CTRL_ATTR_FAMILY_NAME, b"TASKSTATS\0"))
        self._socket.settimeout(1.0)
        try:
            for kind, payload in netlink.messages(self._socket.recv(65536)):
                if kind == _GENL_ID_CTRL:
                    family = netlink.attributes(payload[_GENL_HEADER.size :]).get(_CTRL_ATTR_FAMILY_ID)
                    if family is not None:
                        return int(struct.unpack("=H", family[:2])[0])
        finally:
            self._socket.settimeout(None)
        raise OSError(0, "the kernel has no taskstats")

    def _send(self, kind: int, command: int, body: bytes) -> None:
        content = _GENL_HEADER.pack(command, 1, 0) + body
        self._socket.send(netlink.HEADER.pack(netlink.HEADER.size + len(content), kind, _NLM_F_REQUEST, 0, 0) + content)


def parse(payload: bytes) -> Iterator[TaskRecord]:
    """The records of one message: a task's own, not its thread group's sum."""
    nested = netlink.attributes(payload[_GENL_HEADER.size :]).get(_TYPE_AGGR_PID)
    if nested is None:
        return
    fields = netlink.attributes(nested)
    task, stats = fields.get(_TYPE_PID), fields.get(_TYPE_STATS)
    if task is None or len(task) < 4 or stats is None or len(stats) < _LEAST_BYTES:
        return
    (run_ns,) = struct.unpack_from("=Q", stats, _RUN_VIRTUAL_AT)  # the scheduler's own; 0 without delay accounting
    user_us, system_us = _UTIME_STIME.unpack_from(stats, _UTIME_AT)
    (peak_kib,) = struct.unpack_from("=Q", stats, _HIWATER_RSS_AT)
    read_bytes, write_bytes = struct.unpack_from("=QQ", stats, _READ_BYTES_AT)
    yield TaskRecord(
        task=struct.unpack("=I", task[:4])[0],
        name=stats[_COMM].partition(b"\0")[0].decode(errors="replace"),
        cpu_ns=run_ns or (user_us + system_us) * 1000,
        peak_rss_bytes=peak_kib * _KIB,
        read_bytes=read_bytes,
        write_bytes=write_bytes,
    )
