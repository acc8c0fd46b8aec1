"""The kernel's records of tasks that ended, and the listener that gets them."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from coldstart.trace import netlink
from coldstart.trace.taskstats import TaskRecord, TaskStats, parse
from tests.unit.trace.fake_socket import FULL, FakeSocket

FAMILY = 0x1B
CONTROL = 16
PID, TGID, STATS, AGGR_PID, AGGR_TGID = 1, 2, 3, 4, 5


def taskstats(
    *,
    name: bytes = b"runc",
    run_ns: int = 0,
    user_us: int = 0,
    system_us: int = 0,
    peak_kib: int = 0,
    read_bytes: int = 0,
    write_bytes: int = 0,
    size: int = 416,
) -> bytes:
    """A ``struct taskstats`` (include/uapi/linux/taskstats.h), every other field of it a nine."""
    fields = bytearray(b"\x09" * 80 + name.ljust(32, b"\0") + b"\x09" * (416 - 112))
    struct.pack_into("=Q", fields, 72, run_ns)
    struct.pack_into("=QQ", fields, 152, user_us, system_us)
    struct.pack_into("=Q", fields, 200, peak_kib)
    struct.pack_into("=QQ", fields, 248, read_bytes, write_bytes)
    return bytes(fields[:size])


def message(*attributes: bytes) -> bytes:
    """The payload of a generic netlink message."""
    return struct.pack("=BBH", 2, 1, 0) + b"".join(attributes)


def ended(task: int = 7, stats: bytes | None = None) -> bytes:
    """A task's end."""
    inner = netlink.attribute(PID, struct.pack("=I", task)) + netlink.attribute(STATS, stats or taskstats())
    return message(netlink.attribute(AGGR_PID, inner))


def datagram(kind: int, payload: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(payload), kind, 0, 0, 0) + payload


def one(payload: bytes) -> TaskRecord | None:
    return next(parse(payload), None)


# --- records ---


def test_a_record_has_its_tasks_number_name_and_use() -> None:
    stats = taskstats(name=b"runc", user_us=2000, system_us=345, peak_kib=10, read_bytes=4096, write_bytes=512)
    assert one(ended(4711, stats)) == TaskRecord(
        task=4711, name="runc", cpu_ns=2_345_000, peak_rss_bytes=10_240, read_bytes=4096, write_bytes=512
    )


def test_the_schedulers_own_cpu_time_is_preferred_to_that_counted_in_ticks() -> None:
    record = one(ended(7, taskstats(run_ns=1_234_567, user_us=4000)))
    assert record is not None
    assert record.cpu_ns == 1_234_567


def test_a_name_that_is_no_utf8_is_read_all_the_same() -> None:
    record = one(ended(7, taskstats(name=b"caf\xe9")))
    assert record is not None
    assert record.name == "caf\N{REPLACEMENT CHARACTER}"


def test_a_thread_groups_sum_is_passed_over() -> None:
    inner = netlink.attribute(TGID, struct.pack("=I", 7)) + netlink.attribute(STATS, taskstats())
    assert one(message(netlink.attribute(AGGR_TGID, inner))) is None


def test_of_a_message_with_both_the_tasks_own_is_taken() -> None:
    own = ended(7, taskstats(user_us=1))
    inner = netlink.attribute(TGID, struct.pack("=I", 7)) + netlink.attribute(STATS, taskstats(user_us=99))
    assert [record.cpu_ns for record in parse(own + netlink.attribute(AGGR_TGID, inner))] == [1000]


def test_a_task_number_cut_short_is_none() -> None:
    inner = netlink.attribute(PID, b"\7") + netlink.attribute(STATS, taskstats())
    assert one(message(netlink.attribute(AGGR_PID, inner))) is None


@pytest.mark.parametrize("kind", [PID, STATS])
def test_half_a_record_is_none(kind: int) -> None:
    value = struct.pack("=I", 7) if kind == PID else taskstats()
    assert one(message(netlink.attribute(AGGR_PID, netlink.attribute(kind, value)))) is None


@pytest.mark.parametrize(("size", "is_read"), [(263, False), (264, True), (328, True)])
def test_a_kernels_record_without_the_fields_we_read_is_ignored(size: int, is_read: bool) -> None:
    assert (one(ended(7, taskstats(size=size))) is not None) is is_read


# --- the listener ---


def family_answer(family: int = FAMILY) -> bytes:
    """The controller's answer about a family, its name first."""
    name = netlink.attribute(2, b"TASKSTATS\0")
    return datagram(CONTROL, message(name, netlink.attribute(1, struct.pack("=H", family))))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> FakeSocket:
    """The socket that the listener opens, with the answer about its family in it."""
    fake = FakeSocket(family_answer())
    protocols: list[int] = []

    def open_socket(protocol: int) -> FakeSocket:
        protocols.append(protocol)
        assert protocols == [16]  # NETLINK_GENERIC
        return fake

    monkeypatch.setattr(netlink, "open_socket", open_socket)
    return fake


def requests(sent: list[bytes]) -> list[tuple[int, int, dict[int, bytes]]]:
    """Family, command and attributes of what was asked."""
    found = []
    for data in sent:
        length, kind, *rest = struct.unpack_from("=IHHII", data)
        command, *versions = struct.unpack_from("=BBH", data, 16)
        assert (length, rest, versions) == (len(data), [1, 0, 0], [1, 0])
        found.append((kind, command, netlink.attributes(data[20:])))
    return found


def cpus() -> bytes:
    return Path("/sys/devices/system/cpu/possible").read_bytes().strip() + b"\0"


def test_the_listener_asks_for_its_family_and_registers_on_every_cpu(opened: FakeSocket) -> None:
    TaskStats()
    assert requests(opened.sent) == [(CONTROL, 3, {2: b"TASKSTATS\0"}), (FAMILY, 1, {3: cpus()})]


def test_an_answer_is_waited_for_and_nothing_after_it(opened: FakeSocket) -> None:
    TaskStats()
    assert opened.timeouts == [1.0, None]


def test_an_answer_of_another_family_is_passed_over(opened: FakeSocket) -> None:
    opened.waiting[0] = datagram(99, message(netlink.attribute(1, b"\x05\0"))) + family_answer()
    TaskStats()
    assert requests(opened.sent)[1][0] == FAMILY


@pytest.mark.parametrize(
    "answer", [datagram(2, bytes(20)), datagram(CONTROL, message()), b""], ids=["an error", "no number", "nothing"]
)
def test_a_kernel_without_taskstats_is_told_and_the_socket_closed(opened: FakeSocket, answer: bytes) -> None:
    opened.waiting[0] = answer
    with pytest.raises(OSError, match="the kernel has no taskstats"):
        TaskStats()
    assert opened.closed


def test_a_kernel_that_does_not_answer_is_an_error_and_the_socket_closed(opened: FakeSocket) -> None:
    opened.waiting[0] = OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    with pytest.raises(BlockingIOError):
        TaskStats()
    assert (opened.closed, opened.timeouts) == (True, [1.0, None])


def test_records_are_those_of_every_message_that_waits(opened: FakeSocket) -> None:
    stats = TaskStats()
    opened.waiting += [datagram(FAMILY, ended(7)) + datagram(FAMILY, ended(8)), datagram(FAMILY, ended(9))]
    assert [record.task for record in stats.records()] == [7, 8, 9]


def test_messages_of_other_kinds_hold_no_record(opened: FakeSocket) -> None:
    stats = TaskStats()
    opened.waiting += [datagram(2, ended(7)), datagram(FAMILY, ended(8))]
    assert [record.task for record in stats.records()] == [8]


def test_records_that_found_the_buffer_full_are_an_overflow(opened: FakeSocket) -> None:
    stats = TaskStats()
    opened.waiting.append(FULL)
    with pytest.raises(OverflowError):
        stats.records()


def test_close_deregisters_from_every_cpu(opened: FakeSocket) -> None:
    stats = TaskStats()
    opened.sent.clear()
    stats.close()
    assert (requests(opened.sent), opened.closed) == ([(FAMILY, 1, {4: cpus()})], True)


def test_close_closes_the_socket_though_the_kernel_refuses(opened: FakeSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    stats = TaskStats()

    def refuse(_: bytes) -> int:
        raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

    monkeypatch.setattr(opened, "send", refuse)
    with pytest.raises(OSError, match="buffer"):
        stats.close()
    assert opened.closed
