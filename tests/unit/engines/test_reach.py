"""From where containers are reached, told from the daemon's kernel and network namespace."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from coldstart.engines.reach import Reach, container_netns, reach

KERNEL = os.uname().release
OURSELVES = os.getpid()
ID = "c0ffee" * 10


@pytest.fixture
def docker_socket() -> Iterator[Path]:
    """A socket that this process listens on, as a daemon would."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{folder}/d.sock")
        listening.listen(8)
        yield Path(folder, "d.sock")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A ``/proc`` in which we are ``dockerd``, in the network namespace that we are in."""
    for name in ("self", str(OURSELVES)):
        (tmp_path / name / "net").mkdir(parents=True)
    (tmp_path / "self" / "net" / "dev").touch()
    (tmp_path / str(OURSELVES) / "net" / "dev").hardlink_to(tmp_path / "self" / "net" / "dev")
    (tmp_path / str(OURSELVES) / "comm").write_text("dockerd\n")
    return tmp_path


def elsewhere(proc: Path) -> None:
    """Put the daemon into another network namespace."""
    (proc / str(OURSELVES) / "net" / "dev").unlink()
    (proc / str(OURSELVES) / "net" / "dev").touch()


@pytest.mark.parametrize("kernel", [KERNEL, None])
def test_a_daemon_in_our_network_has_its_containers_within_reach(
    docker_socket: Path, proc: Path, kernel: str | None
) -> None:
    assert reach(docker_socket, kernel, proc) == Reach()


def test_another_kernel_is_a_virtual_machine(docker_socket: Path, proc: Path) -> None:
    found = reach(docker_socket, "6.6.12-linuxkit", proc)
    assert not found.is_here
    assert f"another kernel (6.6.12-linuxkit, here {KERNEL})" in (found.obstacle or "")


def test_a_kernel_is_the_same_though_docker_writes_it_with_a_third_number(
    docker_socket: Path, proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "coldstart.engines.reach.os.uname", lambda: os.uname_result(("Linux", "box", "6.1-rc1", "#1", "x86_64"))
    )
    assert reach(docker_socket, "6.1.0-rc1", proc).is_here
    assert not reach(docker_socket, "6.1.1-rc1", proc).is_here


def test_a_daemon_in_another_network_namespace_is_asked_there(docker_socket: Path, proc: Path) -> None:
    elsewhere(proc)
    (proc / str(OURSELVES) / "ns").mkdir()
    (proc / str(OURSELVES) / "ns" / "net").symlink_to("/proc/self/ns/net")
    if os.geteuid() != 0:
        pytest.skip("needs root: only root may enter a network namespace")
    assert reach(docker_socket, KERNEL, proc) == Reach(netns=proc / str(OURSELVES) / "ns" / "net")


def test_a_network_namespace_that_cannot_be_entered_is_an_obstacle(docker_socket: Path, proc: Path) -> None:
    elsewhere(proc)
    found = reach(docker_socket, KERNEL, proc)
    assert found.is_here
    assert "in another network namespace, as of a rootless Docker (No such file" in (found.obstacle or "")


@pytest.mark.parametrize(("user", "by_container"), [(0, True), (1000, False)])
def test_a_listener_that_is_not_dockerd_proves_nothing_about_its_containers(
    docker_socket: Path, proc: Path, monkeypatch: pytest.MonkeyPatch, user: int, *, by_container: bool
) -> None:
    """Such as a proxy in front of the socket: then each container has to prove where it is."""
    (proc / str(OURSELVES) / "comm").write_text("socat\n")
    monkeypatch.setattr("coldstart.engines.reach.os.geteuid", lambda: user)
    found = reach(docker_socket, KERNEL, proc)
    assert (found.by_container, found.obstacle is None, found.is_here) == (by_container, by_container, True)


@pytest.mark.parametrize(
    ("file", "text", "is_its"),
    [
        ("cgroup", f"0::/docker/{ID}\n", True),
        ("mountinfo", f"1 2 8:1 /lib/containers/{ID}/hosts /etc/hosts rw - ext4 x rw\n", True),
        ("cgroup", "0::/user.slice\n", False),
    ],
)
def test_a_process_is_a_containers_if_it_bears_its_name(tmp_path: Path, file: str, text: str, *, is_its: bool) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / file).write_text(text)
    assert container_netns(ID, 7, tmp_path) == (tmp_path / "7" / "ns" / "net" if is_its else None)


@pytest.mark.parametrize("pid", [None, 8])
def test_a_process_that_is_not_here_is_nobodys(tmp_path: Path, pid: int | None) -> None:
    assert container_netns(ID, pid, tmp_path) is None


def test_the_kernel_tells_network_namespaces_apart_by_a_file_that_anybody_may_look_at() -> None:
    """The claim that the comparison rests on, asked of the kernel itself."""
    code = "import os; print(os.stat('/proc/self/net/dev').st_ino)"
    ours, theirs = (
        subprocess.run([*where, sys.executable, "-c", code], capture_output=True, text=True, check=False)
        for where in ([], ["unshare", "--net", "--map-root-user"])
    )
    if theirs.returncode != 0:
        pytest.skip(f"no network namespace can be made here: {theirs.stderr.strip()}")
    assert int(ours.stdout) == Path("/proc/self/net/dev").stat().st_ino
    assert int(theirs.stdout) != int(ours.stdout)
