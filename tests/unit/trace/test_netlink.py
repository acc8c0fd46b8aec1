"""Netlink's framing, and sockets that are drained without waiting."""

from __future__ import annotations

import errno
import os
import socket
import struct
from types import SimpleNamespace

import pytest

from coldstart.trace import netlink
from tests.unit.trace.fake_socket import FULL, FakeSocket


def message(kind: int, payload: bytes) -> bytes:
    """A message, not padded."""
    return struct.pack("=IHHII", 16 + len(payload), kind, 0, 0, 0) + payload


def drained(*waiting: bytes | OSError) -> list[tuple[int, bytes]]:
    return list(netlink.drain(FakeSocket(*waiting)))  # type: ignore[arg-type]  # a fake


# --- messages ---


def test_a_datagram_may_hold_several_messages_each_padded_to_four_bytes() -> None:
    piece = message(1, b"abcde") + bytes(3) + message(2, b"x")
    assert list(netlink.messages(piece)) == [(1, b"abcde"), (2, b"x")]


def test_a_message_may_be_empty() -> None:
    assert list(netlink.messages(message(3, b""))) == [(3, b"")]


def test_what_is_too_short_for_a_header_is_no_message() -> None:
    assert list(netlink.messages(message(1, b"abcd") + bytes(15))) == [(1, b"abcd")]


def test_a_message_that_says_it_is_shorter_than_its_header_ends_the_datagram() -> None:
    broken = struct.pack("=IHHII", 15, 9, 0, 0, 0)
    assert list(netlink.messages(message(1, b"abcd") + broken + message(2, b""))) == [(1, b"abcd")]


# --- attributes ---


def test_attributes_are_read_by_their_type() -> None:
    assert netlink.attributes(netlink.attribute(1, b"one") + netlink.attribute(2, b"four")) == {1: b"one", 2: b"four"}


@pytest.mark.parametrize("size", range(9))
def test_an_attribute_is_padded_to_four_bytes_which_are_not_its_own(size: int) -> None:
    packed = netlink.attribute(7, b"x" * size)
    assert (len(packed), struct.unpack_from("=HH", packed)) == (4 + (size + 3) // 4 * 4, (4 + size, 7))


@pytest.mark.parametrize("size", range(9))
def test_an_attribute_of_any_size_is_followed_by_the_next(size: int) -> None:
    packed = netlink.attribute(7, b"x" * size) + netlink.attribute(8, b"y")
    assert netlink.attributes(packed) == {7: b"x" * size, 8: b"y"}


def test_the_last_attribute_may_lack_its_padding() -> None:
    assert netlink.attributes(netlink.attribute(7, b"abcde")[:-3]) == {7: b"abcde"}


@pytest.mark.parametrize("flag", [0x8000, 0x4000])
def test_an_attributes_type_is_told_without_its_flags(flag: int) -> None:
    assert netlink.attributes(netlink.attribute(flag | 5, b"")) == {5: b""}


def test_of_two_attributes_of_one_type_the_last_counts() -> None:
    assert netlink.attributes(netlink.attribute(1, b"a") + netlink.attribute(1, b"b")) == {1: b"b"}


def test_an_attribute_that_says_it_is_shorter_than_its_header_ends_the_list() -> None:
    broken = struct.pack("=HH", 3, 9)
    assert netlink.attributes(netlink.attribute(1, b"a") + broken + netlink.attribute(2, b"b")) == {1: b"a"}


def test_what_is_too_short_for_an_attribute_is_none() -> None:
    assert netlink.attributes(netlink.attribute(1, b"a") + bytes(3)) == {1: b"a"}


# --- sockets ---


def test_a_socket_is_drained_of_every_message_of_every_datagram() -> None:
    assert drained(message(1, b"abcd") + message(2, b""), message(3, b"")) == [(1, b"abcd"), (2, b""), (3, b"")]


def test_an_empty_socket_is_not_waited_for() -> None:
    assert drained() == []


def test_a_buffer_that_was_full_is_an_overflow() -> None:
    with pytest.raises(OverflowError, match="buffer was full"):
        drained(message(1, b""), FULL)


def test_any_other_error_is_the_callers() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        drained(OSError(errno.EBADF, os.strerror(errno.EBADF)))


class Opened(FakeSocket):
    """A socket that notes how it was set up, or refuses."""

    def __init__(self, refusal: OSError | None = None) -> None:
        super().__init__()
        self.set_up: list[tuple[object, ...]] = []
        self._refusal = refusal

    def setsockopt(self, *arguments: int) -> None:
        self.set_up.append(arguments)

    def bind(self, address: tuple[int, int]) -> None:
        self.set_up.append(address)
        if self._refusal is not None:
            raise self._refusal


def opening(monkeypatch: pytest.MonkeyPatch, opened: Opened) -> list[tuple[int, ...]]:
    """Let sockets be ``opened``; with what they were asked for."""
    asked: list[tuple[int, ...]] = []

    def make(*arguments: int) -> Opened:
        asked.append(arguments)
        return opened

    names = ("AF_NETLINK", "SOCK_RAW", "SOCK_CLOEXEC", "SOL_SOCKET")
    constants = {name: getattr(socket, name) for name in names}
    monkeypatch.setattr(netlink, "socket", SimpleNamespace(socket=make, **constants))
    return asked


def test_a_socket_has_a_large_buffer_before_it_is_bound_to_its_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Opened()
    asked = opening(monkeypatch, opened)
    netlink.open_socket(11, groups=1)
    assert asked == [(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 11)]
    assert opened.set_up == [(socket.SOL_SOCKET, 33, 8 << 20), (0, 1)]


def test_a_socket_is_bound_to_no_group_where_none_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Opened()
    opening(monkeypatch, opened)
    netlink.open_socket(16)
    assert opened.set_up[-1] == (0, 0)


def test_a_socket_that_is_refused_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Opened(PermissionError(errno.EPERM, "no"))
    opening(monkeypatch, opened)
    with pytest.raises(PermissionError):
        netlink.open_socket(11)
    assert opened.closed
