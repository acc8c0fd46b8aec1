"""Which processes are ours, in trees of /proc (proc(5)) and among real children; and how those end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from coldstart.errors import TestbedError
from coldstart.testbed import processes
from coldstart.testbed.config import Layout, ProcessRef
from coldstart.testbed.processes import EGRESS, ENGINE, REGISTRY, end, find, has_role, is_alive, tag
from coldstart.testbed.shell import TAG
from tests.unit.testbed.records import reference_to, tagged

IGNORE_SIGTERM = ("sh", "-c", "trap '' TERM; echo ready; read -r never")


@pytest.fixture
def layout() -> Layout:
    """A layout whose folder nobody looks at."""
    return Layout(Path("/coldstart-test"))


class FakeProc:
    """A tree of /proc, empty at first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        pid: int,
        *,
        name: str = "sleep",
        state: str = "S",
        start_ticks: int = 777,
        environ: str | None = "PATH=/bin\0",
        cgroup: str | None = "0::/system.slice/ssh.service\n",
        namespace: str | None = None,
        mountinfo: str | None = None,
    ) -> None:
        """Add a process; ``None`` is a file that is not there."""
        folder = self.folder / str(pid)
        (folder / "ns").mkdir(parents=True)
        before_start = "1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0"
        (folder / "stat").write_text(f"{pid} ({name}) {state} {before_start} {start_ticks} 99 98 97\n")
        for file, text in (("environ", environ), ("cgroup", cgroup), ("mountinfo", mountinfo)):
            if text is not None:
                (folder / file).write_text(text)
        if namespace is not None:
            (folder / "ns" / "mnt").symlink_to(namespace)


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    """A tree of /proc with what is no process in it."""
    (tmp_path / "self").mkdir()
    (tmp_path / "meminfo").touch()
    return FakeProc(tmp_path)


def test_a_tag_names_the_testbed_and_the_role(layout: Layout) -> None:
    assert tag(layout, ENGINE) == f"{layout.id}:engine"


def test_a_process_that_carries_our_mark_is_ours_in_its_role(proc: FakeProc, layout: Layout) -> None:
    proc.add(12, name="dockerd", environ=f"PATH=/bin\0{TAG}={layout.id}:engine\0HOME=/\0")
    ours = ProcessRef(pid=12, start_ticks=777, name="dockerd", role=ENGINE)
    assert find(layout, proc.folder) == (ours,)


def test_a_process_in_our_cgroup_is_ours_without_a_role(proc: FakeProc, layout: Layout) -> None:
    proc.add(12, name="nginx", cgroup=f"0::/{layout.name}/0123abcd\n")
    assert find(layout, proc.folder) == (ProcessRef(pid=12, start_ticks=777, name="nginx"),)


def test_a_process_in_our_cgroup_of_any_hierarchy_is_ours(proc: FakeProc, layout: Layout) -> None:
    proc.add(12, cgroup=f"5:memory:/{layout.name}\n1:name=systemd:/user.slice\n0::/\n")
    assert [ref.pid for ref in find(layout, proc.folder)] == [12]


def test_a_process_in_our_mount_namespace_is_ours(proc: FakeProc, layout: Layout) -> None:
    table = f"40 39 0:50 / /run rw,relatime - tmpfs {layout.name} rw,mode=755\n"
    proc.add(12, namespace="mnt:[4026532200]", mountinfo=table)
    assert [ref.pid for ref in find(layout, proc.folder)] == [12]


def test_a_namespaces_mounts_are_read_once(proc: FakeProc, layout: Layout) -> None:
    proc.add(12, namespace="mnt:[4026532200]", mountinfo=f"40 39 0:50 / /run rw - tmpfs {layout.name} rw\n")
    proc.add(13, namespace="mnt:[4026532200]")
    known: dict[str, bool] = {}
    found = [processes._in_namespace(proc.folder / pid, layout, known) for pid in ("12", "13")]
    assert (found, known) == ([True, True], {"mnt:[4026532200]": True})


@pytest.mark.parametrize(
    "foreign",
    [
        {},
        {"environ": f"{TAG}=ffffffff:engine\0"},
        {"environ": f"NOT_{TAG}={Layout(Path('/coldstart-test')).id}:engine\0"},
        {"cgroup": "0::/coldstart-ffffffff/x\n"},
        {"cgroup": f"0::/{Layout(Path('/coldstart-test')).name}0/x\n"},
        {"cgroup": f"1:name={Layout(Path('/coldstart-test')).name}:/\n"},
        {"namespace": "mnt:[1]", "mountinfo": "40 39 0:50 / /run rw - tmpfs coldstart-ffffffff rw\n"},
        {"namespace": "mnt:[1]", "mountinfo": f"40 39 0:50 / /{Layout(Path('/coldstart-test')).name} rw - ext4 x rw\n"},
        {"namespace": "mnt:[1]"},
    ],
)
def test_any_other_process_is_not_ours(proc: FakeProc, layout: Layout, foreign: dict[str, Any]) -> None:
    proc.add(12, **foreign)
    assert find(layout, proc.folder) == ()


def test_a_process_whose_environment_is_not_for_us_to_see_is_known_by_its_cgroup(
    proc: FakeProc, layout: Layout
) -> None:
    proc.add(12, environ=None, cgroup=f"0::/{layout.name}\n")
    assert [ref.pid for ref in find(layout, proc.folder)] == [12]


@pytest.mark.parametrize("state", ["Z", "X"])
def test_the_dead_are_not_ours_any_more(proc: FakeProc, layout: Layout, state: str) -> None:
    proc.add(12, state=state, cgroup=f"0::/{layout.name}\n")
    assert find(layout, proc.folder) == ()


def test_we_ourselves_are_not_among_them(proc: FakeProc, layout: Layout) -> None:
    proc.add(os.getpid(), cgroup=f"0::/{layout.name}\n")
    assert find(layout, proc.folder) == ()


def test_a_process_that_goes_meanwhile_does_not_hide_the_others(proc: FakeProc, layout: Layout) -> None:
    (proc.folder / "11").mkdir()
    proc.add(12, cgroup=None)
    proc.add(13, cgroup=f"0::/{layout.name}\n")
    (proc.folder / "14").mkdir()
    assert [ref.pid for ref in find(layout, proc.folder)] == [13]


def test_processes_are_in_the_order_of_their_numbers(proc: FakeProc, layout: Layout) -> None:
    for pid in (100, 20, 3):
        proc.add(pid, cgroup=f"0::/{layout.name}\n")
    assert [ref.pid for ref in find(layout, proc.folder)] == [3, 20, 100]


@pytest.mark.parametrize("name", ["a b", "(sd-pam)", "a) S 1 (b", ""])
def test_a_name_may_hold_anything(proc: FakeProc, layout: Layout, name: str) -> None:
    proc.add(12, name=name, cgroup=f"0::/{layout.name}\n")
    assert find(layout, proc.folder) == (ProcessRef(pid=12, start_ticks=777, name=name),)


@pytest.mark.parametrize(
    ("state", "start_ticks", "alive"),
    [("S", 777, True), ("R", 777, True), ("Z", 777, False), ("X", 777, False), ("S", 778, False)],
)
def test_a_process_lives_if_it_is_that_very_one_and_no_zombie(
    proc: FakeProc, state: str, start_ticks: int, alive: bool
) -> None:
    proc.add(12, state=state, start_ticks=start_ticks)
    assert is_alive(ProcessRef(pid=12, start_ticks=777, name="sleep"), proc.folder) is alive


def test_a_process_that_is_not_there_does_not_live(proc: FakeProc) -> None:
    assert not is_alive(ProcessRef(pid=12, start_ticks=777, name="sleep"), proc.folder)


def test_we_live() -> None:
    assert is_alive(reference_to(os.getpid()))


def test_a_real_process_is_found_by_its_mark(layout: Layout) -> None:
    with tagged(layout, EGRESS) as pid:
        assert find(layout) == (reference_to(pid, EGRESS),)


def test_where_there_is_nothing_nothing_is_ended(layout: Layout) -> None:
    assert end(layout) == 0


def test_everything_is_ended_and_counted(layout: Layout) -> None:
    with tagged(layout, ENGINE), tagged(layout, REGISTRY), tagged(layout, "tool"):
        count = end(layout)
        assert (count, find(layout)) == (3, ())


def test_others_are_not_ended(layout: Layout) -> None:
    with tagged(Layout(Path("/coldstart-test-other")), ENGINE) as other:
        end(layout)
        assert is_alive(reference_to(other))


def test_the_registry_may_finish_what_it_writes(layout: Layout, tmp_path: Path) -> None:
    finish = f"trap 'echo done > {tmp_path}/written; exit' TERM; echo ready; while :; do sleep 0.005; done"
    with tagged(layout, REGISTRY, "sh", "-c", finish):
        end(layout)
    assert (tmp_path / "written").read_text() == "done\n"


def test_a_registry_that_does_not_end_is_killed(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_GRACE_NS", 1)
    with tagged(layout, REGISTRY, *IGNORE_SIGTERM):
        end(layout)
        assert find(layout) == ()


def test_everything_else_is_killed_at_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it writes is removed anyway; a trap must not delay it."""
    sent: list[int] = []
    send = signal.pidfd_send_signal

    def record(descriptor: int, number: int) -> None:
        sent.append(number)
        send(descriptor, number)

    monkeypatch.setattr(signal, "pidfd_send_signal", record)
    with tagged(layout, ENGINE, *IGNORE_SIGTERM):
        end(layout)
    assert set(sent) == {signal.SIGKILL}


def test_what_cannot_be_killed_is_an_error_that_names_it(
    proc: FakeProc, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_KILL_TIMEOUT_NS", -1)
    monkeypatch.setattr(processes, "_GRACE_NS", 0)
    proc.add(2**22 + 1, name="dockerd", state="D", cgroup=f"0::/{layout.name}\n")
    with pytest.raises(TestbedError, match=r"cannot end dockerd \(4194305\): the kernel holds them"):
        end(layout, proc.folder)


def test_what_was_forked_meanwhile_is_ended_and_counted_too(
    proc: FakeProc, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers above the highest a process can have (proc(5), pid_max): whatever is sent to them reaches nobody."""
    first, forked = 2**22 + 1, 2**22 + 2
    cgroup = f"0::/{layout.name}\n"
    proc.add(first, cgroup=cgroup)
    rounds: list[int] = []

    def signal_all(refs: Iterable[ProcessRef], _: signal.Signals) -> None:
        for ref in refs:
            rounds.append(ref.pid)
            (proc.folder / str(ref.pid) / "stat").unlink()
            if ref.pid == first:
                proc.add(forked, cgroup=cgroup)

    monkeypatch.setattr(processes, "_signal", signal_all)
    assert (end(layout, proc.folder), rounds) == (2, [first, forked])


def test_a_process_that_took_the_number_of_one_of_ours_is_not_signalled() -> None:
    child = subprocess.Popen(["sleep", "600"])
    try:
        ours = reference_to(child.pid)
        before = ProcessRef(pid=ours.pid, start_ticks=ours.start_ticks - 1, name=ours.name)
        processes._signal([before], signal.SIGKILL)
        assert is_alive(ours)
    finally:
        child.kill()
        child.wait()


def test_a_process_that_is_gone_is_not_signalled() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    processes._signal([ProcessRef(pid=child.pid, start_ticks=1, name="true")], signal.SIGKILL)


def test_a_process_that_goes_while_it_is_signalled_does_not_keep_the_next_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[int] = []

    def refuse(descriptor: int, _: int) -> None:
        sent.append(descriptor)
        raise ProcessLookupError

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    myself = reference_to(os.getpid())
    processes._signal([myself, myself], signal.SIGKILL)
    assert len(sent) == 2


# --- a role ---


def test_a_process_that_is_just_becoming_another_program_is_looked_for_again(
    proc: FakeProc, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc.add(7, environ="")

    def become(_seconds: float) -> None:
        (proc.folder / "7" / "environ").write_text(f"{TAG}={tag(layout, ENGINE)}\0")

    monkeypatch.setattr("coldstart.testbed.processes.time.sleep", become)
    assert has_role(layout, ENGINE, proc.folder)


def test_a_process_of_another_role_is_none_of_this(proc: FakeProc, layout: Layout) -> None:
    proc.add(7, environ=f"{TAG}={tag(layout, REGISTRY)}\0")
    assert has_role(layout, REGISTRY, proc.folder)
    assert not has_role(layout, ENGINE, proc.folder)
