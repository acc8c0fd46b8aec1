"""What the kernel refused to containers that tried to reach other networks."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from coldstart.engines.netns import inside
from coldstart.testbed.outside import counted, refused

NETSTAT = "TcpExt: A B\nTcpExt: 1 2\nIpExt: InNoRoutes InMcast\nIpExt: 7 9\n"
SNMP = "Ip: Forwarding OutNoRoutes\nIp: 1 3\nIcmp: InMsgs\nIcmp: 5\nUdp: InDatagrams NoPorts\nUdp: 11 20\n"


@pytest.mark.parametrize(("text", "file", "expected"), [(NETSTAT, "netstat", 7), (SNMP, "snmp", 23), ("", "snmp", 0)])
def test_counters_are_found_by_their_names(text: str, file: str, expected: int) -> None:
    assert counted(text, file) == expected


@pytest.mark.parametrize("text", ["Ip: OutNoRoutes\n", "Ip: OutNoRoutes\nIp: many\n", "Ip: OutNoRoutes\nIp:\n"])
def test_a_file_of_another_shape_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        counted(text, "snmp")


def test_a_namespace_that_is_gone_is_not_counted(tmp_path: Path) -> None:
    assert refused([tmp_path / "gone"]) is None


def test_this_machines_own_files_can_be_read() -> None:
    for file in ("netstat", "snmp"):
        assert counted(Path("/proc/self/net", file).read_text(), file) >= 0


@pytest.fixture
def netns() -> Iterator[Path]:
    """A network namespace without any network, of a process of ours."""
    process = subprocess.Popen(["unshare", "--net", "sleep", "60"])
    path = Path(f"/proc/{process.pid}/ns/net")
    try:
        for _ in range(500):
            with suppress(OSError):
                if path.readlink() != Path("/proc/self/ns/net").readlink():
                    break
            if process.poll() is not None:
                pytest.skip("needs root: a network namespace is made")
        yield path
    finally:
        process.kill()
        process.wait()


def test_a_packet_without_a_route_is_counted_in_its_own_namespace(netns: Path) -> None:
    before = refused([netns])
    with inside(netns), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, suppress(OSError):
        asking.sendto(b"?", ("198.51.100.7", 53))
    assert before is not None
    assert refused([netns]) == before + 1
