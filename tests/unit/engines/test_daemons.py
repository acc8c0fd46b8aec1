"""An engine's daemons, found from the socket they answer on."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coldstart.engines import daemons
from coldstart.engines.daemons import Activity, condition_of, daemon_pids, end_container, family, listener_pid

INIT = 1
DOCKERD, CONTAINERD, OTHERS = 500, 501, 900


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder for sockets: unix(7) wants their paths short."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A ``/proc`` with a folder that is no process's, a process that is just ending, and ``init``."""
    (tmp_path / "proc" / "400").mkdir(parents=True)
    (tmp_path / "proc" / "thread-self").mkdir()
    (tmp_path / "proc" / "thread-self" / "stat").write_text(f"{OTHERS} (containerd) S {DOCKERD} 0 0 0 -1")
    add(tmp_path / "proc", INIT, "init", parent=0)
    return tmp_path / "proc"


def add(proc: Path, pid: int, name: str, parent: int) -> None:
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "stat").write_text(f"{pid} ({name}) S {parent} {pid} {pid} 0 -1 4194560")


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, int]:
    """Who listens on which socket, instead of asking; and nobody's pid file."""
    listeners: dict[str, int] = {}
    monkeypatch.setattr(daemons, "listener_pid", lambda path: listeners.get(str(path)))
    monkeypatch.setattr(daemons, "_PID_FILE", tmp_path / "docker.pid")
    return listeners


ON = Path("/sock")
MACHINES = "/run/containerd/containerd.sock"


def test_dockerd_comes_first_and_then_the_containerd_it_started(proc: Path, listening: dict[str, int]) -> None:
    listening[str(ON)] = DOCKERD
    add(proc, CONTAINERD, "containerd", parent=DOCKERD)
    assert daemon_pids(ON, proc) == (DOCKERD, CONTAINERD)


def test_its_own_containerd_is_preferred_to_the_machines(proc: Path, listening: dict[str, int]) -> None:
    listening.update({str(ON): DOCKERD, MACHINES: OTHERS})
    add(proc, CONTAINERD, "containerd", parent=DOCKERD)
    assert daemon_pids(ON, proc) == (DOCKERD, CONTAINERD)


def test_a_containerd_that_another_started_is_not_its_own(proc: Path, listening: dict[str, int]) -> None:
    listening[str(ON)] = DOCKERD
    add(proc, OTHERS, "containerd", parent=INIT)
    assert daemon_pids(ON, proc) == (DOCKERD,)


def test_another_program_that_it_started_is_no_containerd(proc: Path, listening: dict[str, int]) -> None:
    listening[str(ON)] = DOCKERD
    add(proc, OTHERS, "containerd-shim", parent=DOCKERD)
    assert daemon_pids(ON, proc) == (DOCKERD,)


def test_a_process_may_be_called_anything(proc: Path, listening: dict[str, int]) -> None:
    listening[str(ON)] = DOCKERD
    add(proc, OTHERS, f"x) S {DOCKERD} (containerd", parent=INIT)
    add(proc, CONTAINERD, "containerd", parent=DOCKERD)
    assert daemon_pids(ON, proc) == (DOCKERD, CONTAINERD)


def test_a_dockerd_that_started_none_uses_the_machines_containerd(proc: Path, listening: dict[str, int]) -> None:
    listening.update({str(ON): DOCKERD, MACHINES: CONTAINERD})
    assert daemon_pids(ON, proc) == (DOCKERD, CONTAINERD)


def test_a_containerd_whose_socket_is_systemds_cannot_be_told(proc: Path, listening: dict[str, int]) -> None:
    listening.update({str(ON): DOCKERD, MACHINES: INIT})
    assert daemon_pids(ON, proc) == (DOCKERD,)


@pytest.mark.parametrize("listener", [INIT, None], ids=["systemd", "nobody"])
def test_dockerds_pid_file_tells_where_its_socket_does_not(
    proc: Path, listening: dict[str, int], tmp_path: Path, listener: int | None
) -> None:
    if listener is not None:
        listening[str(ON)] = listener
    (tmp_path / "docker.pid").write_text(f"{DOCKERD}\n")
    add(proc, CONTAINERD, "containerd", parent=DOCKERD)
    assert daemon_pids(ON, proc) == (DOCKERD, CONTAINERD)


@pytest.mark.parametrize("text", [None, "", "none"])
def test_an_engine_that_neither_tells_of_has_no_daemons(
    proc: Path, listening: dict[str, int], tmp_path: Path, text: str | None
) -> None:
    listening[MACHINES] = CONTAINERD
    if text is not None:
        (tmp_path / "docker.pid").write_text(text)
    assert daemon_pids(ON, proc) == ()


# --- who listens ---


def test_who_listens_on_a_socket_is_known_by_number(short: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short / "s"))
        server.listen()
        assert listener_pid(short / "s") == os.getpid()


def test_another_process_that_listens_is_not_the_one_that_asks(short: Path) -> None:
    serve = "import socket, sys; s = socket.socket(1); s.bind(sys.argv[1]); s.listen(); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", serve, str(short / "s")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        server.stdout.readline()
        found = listener_pid(short / "s")
        server.communicate(b"\n")
    assert found == server.pid


def test_a_name_that_begins_with_a_nul_is_an_abstract_one() -> None:
    name = f"\0coldstart-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        assert listener_pid(name) == os.getpid()


def leave(path: Path) -> None:
    """A socket whose listener is gone."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize("make", [lambda _: None, Path.touch, leave], ids=["nothing", "a file", "left behind"])
def test_where_nobody_listens_there_is_nobody(short: Path, make: Callable[[Path], None]) -> None:
    make(short / "s")
    assert listener_pid(short / "s") is None


class Foreign(socket.socket):
    """A socket whose peer is in a process namespace that cannot be seen: its number is 0."""

    def connect(self, address: object) -> None:
        """Do nothing."""

    def getsockopt(self, *_: object) -> bytes:  # type: ignore[override]  # one of its overloads is enough
        return struct.pack("3i", 0, 0, 0)


def test_a_listener_in_another_process_namespace_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", Foreign)
    assert listener_pid("/sock") is None


def test_a_listener_that_accepts_nobody_is_not_waited_for_long(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemons, "_CONNECT_TIMEOUT_S", 0.001)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(str(short / "s"))
        server.listen(0)
        with contextlib.suppress(BlockingIOError):  # its backlog is full
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(str(short / "s"))
        assert listener_pid(short / "s") is None


# --- whether they live, and work ---


@pytest.mark.parametrize(
    ("state", "condition"),
    [
        ("S", None),
        ("R", None),
        ("D", None),
        ("T", "is stopped"),
        ("t", "is stopped"),
        ("Z", "is gone"),
        ("X", "is gone"),
    ],
)
def test_a_process_is_judged_by_its_state(proc: Path, state: str, condition: str | None) -> None:
    run_for(proc, DOCKERD, ticks=0, state=state)
    assert condition_of(DOCKERD, proc) == condition


def test_a_process_without_a_folder_is_gone(proc: Path) -> None:
    assert condition_of(DOCKERD, proc) == "is gone"


def run_for(proc: Path, pid: int, *, ticks: int, state: str = "S", parent: int = INIT) -> None:
    """A process that used so much CPU time, with one task."""
    text = f"{pid} (some (odd) name) {state} {parent} {pid} {pid} 0 -1 4194560 0 0 0 0 {ticks} 0 0 0 20 0"
    for folder in (proc / str(pid), proc / str(pid) / "task" / str(pid)):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "stat").write_text(text)


def test_a_family_is_what_descends_from_its_roots(proc: Path) -> None:
    for pid, parent in ((DOCKERD, INIT), (CONTAINERD, DOCKERD), (502, CONTAINERD), (OTHERS, INIT)):
        run_for(proc, pid, ticks=0, parent=parent)
    assert sorted(family([DOCKERD, 77], proc)) == [DOCKERD, CONTAINERD, 502]


class Looks:
    """Looks at dockerd and its child, one second of the clock apart."""

    def __init__(self, proc: Path) -> None:
        self.proc = proc
        self.now_ns = self.silent_ns = 0
        self.activity = Activity(lambda: (DOCKERD,), proc, lambda: self.now_ns)

    def after(self, seconds: float = 1, *, ticks: int, state: str = "S") -> bool:
        """What the next look finds, after the child used ``ticks`` in all."""
        self.now_ns += int(seconds * 1e9)
        self.silent_ns += int(seconds * 1e9)
        run_for(self.proc, DOCKERD, ticks=7)
        run_for(self.proc, CONTAINERD, ticks=ticks, state=state, parent=DOCKERD)
        return self.activity.goes_on(self.silent_ns)


@pytest.fixture
def looks(proc: Path) -> Looks:
    """The first look is done: it has nothing to compare with, and says yes."""
    found = Looks(proc)
    assert found.after(ticks=100)
    return found


def test_an_engine_works_while_a_process_of_its_family_takes_cpu_time(looks: Looks) -> None:
    assert [looks.after(ticks=110), looks.after(ticks=110)] == [True, False]


def test_the_little_that_an_idle_daemon_takes_is_no_work(looks: Looks) -> None:
    ticks_per_second = os.sysconf("SC_CLK_TCK")
    assert not looks.after(30, ticks=100 + ticks_per_second)


def test_who_waits_for_a_disk_works_but_not_for_ever(looks: Looks) -> None:
    assert looks.after(30, ticks=100, state="D")
    assert looks.after(590, ticks=100, state="D")
    assert not looks.after(20, ticks=100, state="D")


def test_after_some_work_a_disk_may_be_waited_for_anew(looks: Looks) -> None:
    assert looks.after(30, ticks=100, state="D")
    assert looks.after(400, ticks=9000, state="D")
    assert looks.after(400, ticks=9000, state="D")


def test_work_of_which_nothing_is_heard_is_not_waited_for_without_end(looks: Looks) -> None:
    """The daemon may be busy with something else than the pull, which has stalled."""
    assert [looks.after(899, ticks=100_000), looks.after(899, ticks=200_000)] == [True, True]
    assert not looks.after(2, ticks=300_000)
    looks.silent_ns = 0  # a message has come
    assert looks.after(30, ticks=400_000)


def test_an_engine_whose_processes_are_gone_does_not_work(looks: Looks, proc: Path) -> None:
    for pid in (DOCKERD, CONTAINERD):
        (proc / str(pid) / "stat").unlink()
    looks.now_ns += 1_000_000_000
    assert not looks.activity.goes_on(looks.silent_ns)


def test_the_shim_of_a_container_is_killed_with_all_that_descends_from_it_and_no_other() -> None:
    wanted, other = uuid.uuid4().hex * 2, uuid.uuid4().hex * 2  # the suite may run twice on one machine
    shims = [
        subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; wait", "shim", "-id", name], stdout=subprocess.PIPE)
        for name in (wanted, other)
    ]
    try:
        assert all(shim.stdout is not None for shim in shims)
        children = [int(shim.stdout.readline()) for shim in shims if shim.stdout is not None]
        assert end_container(wanted) == 2
        assert [shims[0].wait(5), shims[1].poll()] == [-9, None]
        assert [_settles(condition_of, children[0]), condition_of(children[1])] == ["is gone", None]
        assert end_container(wanted) == 0
    finally:
        end_container(other)
        for shim in shims:
            shim.communicate()


def _settles(condition: Callable[[int], str | None], pid: int) -> str | None:
    for _ in range(100):
        if (found := condition(pid)) is not None:
            return found
        time.sleep(0.02)
    return None
