"""The process connector: its messages read, and how it is found out whether it answers."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator

import pytest

from coldstart.trace import connector, netlink
from coldstart.trace.base import WatchingUnavailableError
from coldstart.trace.connector import ConnectorWatcher, parse
from coldstart.trace.tree import Event, Exec, Exit, Fork, Tree
from coldstart.trace.watch import EventsLostError
from tests.unit.trace.fake_socket import FULL, FakeSocket

FORK, EXEC, EXIT, NONE, UID = 0x1, 0x2, 0x80000000, 0x0, 0x4
LISTEN, IGNORE = 1, 2


def event(what: int, at_ns: int, *numbers: int, cpu: int = 0) -> bytes:
    """A ``struct cn_msg`` with a ``struct proc_event``."""
    body = struct.pack(f"=IIQ{len(numbers)}I", what, cpu, at_ns, *numbers)
    return struct.pack("=IIIIHH", 1, 1, 0, 0, len(body), 0) + body


def datagram(payload: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(payload), 3, 0, 0, 0) + payload


def parsed(*payloads: bytes) -> list[Event]:
    return list(parse(payloads))


# --- messages ---


def test_a_forked_process_is_its_parents() -> None:
    assert parsed(event(FORK, 5, 11, 10, 50, 50)) == [Fork(5, 11, 50, is_thread=False)]


def test_a_thread_is_its_processs_though_the_kernel_names_the_processs_parent() -> None:
    assert parsed(event(FORK, 5, 1, 1, 51, 50)) == [Fork(5, 50, 51, is_thread=True)]


def test_a_daemons_new_thread_is_in_its_tree() -> None:
    tree = Tree({10: (10,)}, parsed(event(FORK, 5, 1, 1, 12, 10), event(FORK, 6, 12, 10, 50, 50)))
    process = tree.process(50)
    assert process is not None
    assert [member.pid for member in process.ancestry()] == [50, 10]


def test_an_exec_is_the_processs_and_names_no_program() -> None:
    assert parsed(event(EXEC, 5, 51, 50)) == [Exec(5, 50, None)]


def test_an_end_is_the_tasks() -> None:
    assert parsed(event(EXIT, 5, 51, 50, 0, 17, 1, 1)) == [Exit(5, 51)]


@pytest.mark.parametrize("what", [NONE, UID])
def test_other_messages_are_passed_over(what: int) -> None:
    assert parsed(event(what, 5, 50, 50, 0, 0)) == []


@pytest.mark.parametrize("size", [0, 19, 20, 35])
def test_a_message_cut_short_is_passed_over(size: int) -> None:
    assert parsed(event(FORK, 5, 1, 1, 2, 2)[:size], event(EXIT, 6, 7, 7)) == [Exit(6, 7)]


def test_events_of_several_cpus_are_put_in_order_of_time() -> None:
    later, earlier = event(EXEC, 9, 50, 50, cpu=0), event(FORK, 3, 10, 10, 50, 50, cpu=1)
    assert [found.at_ns for found in parsed(later, earlier)] == [3, 9]


def test_events_of_one_instant_keep_their_order() -> None:
    assert [type(found) for found in parsed(event(FORK, 3, 1, 1, 50, 50), event(EXEC, 3, 50, 50))] == [Fork, Exec]


# --- the watcher ---


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSocket]:
    """The socket that the watcher opens, with the kernel's answer in it; as root."""
    fake = FakeSocket(datagram(event(NONE, 1, 0)))
    asked: list[tuple[int, int]] = []

    def open_socket(protocol: int, groups: int) -> FakeSocket:
        asked.append((protocol, groups))
        return fake

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(netlink, "open_socket", open_socket)
    yield fake
    assert asked == [(11, 1)]  # NETLINK_CONNECTOR, CN_IDX_PROC


def operations(sent: list[bytes]) -> list[int]:
    """What the kernel was asked, after seeing that each message is well-formed."""
    found = []
    for message in sent:
        *header, operation = struct.unpack("=IHHIIIIIIHHI", message)
        assert header == [len(message), 3, 0, 0, 0, 1, 1, 0, 0, 4, 0]  # NLMSG_DONE; CN_IDX_PROC, CN_VAL_PROC; 4 bytes
        found.append(operation)
    return found


def test_a_watcher_sees_that_the_connector_answers_and_then_listens_no_longer(opened: FakeSocket) -> None:
    ConnectorWatcher()
    assert (operations(opened.sent), opened.closed) == ([LISTEN, IGNORE], False)


def test_an_answer_is_waited_for_and_nothing_after_it(opened: FakeSocket) -> None:
    ConnectorWatcher()
    assert opened.timeouts == [1.0, None]


def test_a_connector_that_does_not_answer_is_told_and_closed(opened: FakeSocket) -> None:
    opened.waiting.clear()
    with pytest.raises(WatchingUnavailableError, match="does not answer in this network namespace"):
        ConnectorWatcher()
    assert (opened.closed, opened.timeouts) == (True, [1.0, None])


def test_start_forgets_what_waits_and_listens(opened: FakeSocket) -> None:
    watcher = ConnectorWatcher()
    opened.sent.clear()
    opened.waiting += [datagram(event(EXIT, 1, 50, 50)), FULL, datagram(event(EXIT, 2, 51, 51))]
    watcher.start()
    assert (operations(opened.sent), watcher.events()) == ([LISTEN], ())


def test_stop_listens_no_longer(opened: FakeSocket) -> None:
    watcher = ConnectorWatcher()
    opened.sent.clear()
    watcher.stop()
    assert operations(opened.sent) == [IGNORE]


def test_events_are_what_waits_in_the_socket(opened: FakeSocket) -> None:
    watcher = ConnectorWatcher()
    watcher.start()
    opened.waiting += [datagram(event(EXEC, 9, 50, 50)), datagram(event(FORK, 3, 10, 10, 50, 50))]
    assert watcher.events() == (Fork(3, 10, 50, is_thread=False), Exec(9, 50, None))


def test_events_that_found_the_buffer_full_are_lost(opened: FakeSocket) -> None:
    watcher = ConnectorWatcher()
    watcher.start()
    opened.waiting += [datagram(event(EXEC, 9, 50, 50)), FULL]
    with pytest.raises(EventsLostError, match="process events were lost: the socket's buffer was full"):
        watcher.events()


def test_close_closes_the_socket(opened: FakeSocket) -> None:
    ConnectorWatcher().close()
    assert opened.closed


def test_the_connector_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(WatchingUnavailableError, match="the process connector needs root"):
        ConnectorWatcher()


def test_a_kernel_without_the_connector_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EPROTONOSUPPORT, os.strerror(errno.EPROTONOSUPPORT))

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(netlink, "open_socket", refuse)
    with pytest.raises(WatchingUnavailableError, match=r"no process connector \(Protocol not supported\)"):
        ConnectorWatcher()


def test_the_source_is_named_as_it_is_asked_for(opened: FakeSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "open_usage", lambda: None)
    source = connector.open_source(lambda: (1,))
    source.close()
    assert (source.facts.name, opened.closed) == ("proc", True)
