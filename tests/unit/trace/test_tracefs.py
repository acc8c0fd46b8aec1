"""The kernel's tracefs: its text read, and an instance kept on a folder that looks like it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from coldstart.trace import tracefs
from coldstart.trace.base import WatchingUnavailableError
from coldstart.trace.tracefs import OPTIONAL, REQUIRED, Instance, parse, remove_stale
from coldstart.trace.tree import Event, Exec, Exit, Fork, Listen, Receive

AT_NS = 2216_484_915_000
"""Of every line here but where another is said."""

EVENTS = (*REQUIRED, *OPTIONAL)
WRITE = Instance._write


def one(line: str) -> Event | None:
    found = tuple(parse(line))
    assert len(found) <= 1
    return found[0] if found else None


# --- text, as kernels 5.10 to 6.18 write it ---


def test_an_exec_names_the_program_and_the_process_it_became() -> None:
    line = (
        "            runc-4711    [002] .....  2216.484915: sched_process_exec: "
        "filename=/usr/bin/runc pid=4711 old_pid=4711"
    )
    assert one(line) == Exec(AT_NS, 4711, "/usr/bin/runc")


def test_an_exec_by_a_thread_is_its_processs() -> None:
    line = "  app-12   [000] .....  2216.484915: sched_process_exec: filename=/app pid=10 old_pid=12"
    assert one(line) == Exec(AT_NS, 10, "/app")


def test_a_programs_name_may_look_like_the_rest_of_the_line() -> None:
    line = "  sh-12   [000] .....  2216.484915: sched_process_exec: filename=/my app pid=3 old_pid=4 pid=12 old_pid=12"
    assert one(line) == Exec(AT_NS, 12, "/my app pid=3 old_pid=4")


@pytest.mark.parametrize(
    "ending",
    ["comm=runc pid=4711 prio=120 group_dead=true", "comm=runc pid=4711 prio=120"],
    ids=["with group_dead", "without"],
)
def test_an_end_is_the_tasks_whose_line_it_is(ending: str) -> None:
    line = f"            runc-4711    [002] .....  2216.484915: sched_process_exit: {ending}"
    assert one(line) == Exit(AT_NS, 4711)


@pytest.mark.parametrize(
    ("flags", "is_thread"),
    [("1200011", False), ("3d0f00", True), ("50f00", True), ("c8f00", False), ("4111", False)],
)
def test_a_new_task_is_a_thread_by_its_flags(flags: str, is_thread: bool) -> None:
    line = (
        "         dockerd-4711    [002] .....  2216.484915: task_newtask: "
        f"pid=4712 comm=dockerd clone_flags={flags} oom_score_adj=-500"
    )
    assert one(line) == Fork(AT_NS, 4711, 4712, is_thread)


def test_a_new_tasks_name_may_look_like_the_rest_of_the_line() -> None:
    line = "  sh-12   [000] .....  2216.484915: task_newtask: pid=13 comm=a pid=9 clone_flags=11 oom_score_adj=0"
    assert one(line) == Fork(AT_NS, 12, 13, is_thread=False)


def test_a_listening_socket_is_known_by_its_own_port() -> None:
    line = (
        "           hello-4711    [002] .....  2216.484915: inet_sock_set_state: family=AF_INET6 protocol=IPPROTO_TCP "
        "sport=8080 dport=0 saddr=0.0.0.0 daddr=0.0.0.0 saddrv6=:: daddrv6=:: oldstate=TCP_CLOSE newstate=TCP_LISTEN"
    )
    assert one(line) == Listen(AT_NS, 4711, 8080)


def test_what_was_read_from_a_socket_is_its_length() -> None:
    line = (
        "         dockerd-4711    [002] .....  2216.484915: sock_recv_length: sk address = 00000000d4c7a7d5, "
        "family = AF_INET protocol = IPPROTO_TCP, length = 32768, error = 0, flags = 0x0"
    )
    assert one(line) == Receive(AT_NS, 4711, 32768)


@pytest.mark.parametrize("comm", ["my-app", "a b", "kworker/u8:2", "a-1", "x-1 [000]", "7", "-", "(sd-pam)", "a: b"])
@pytest.mark.parametrize("tgid", ["", "(  4700) ", "(-------) "], ids=["no tgid", "tgid", "unknown tgid"])
@pytest.mark.parametrize("flags", [".....", "d..2.", "....1"])
def test_a_tasks_number_is_found_whatever_its_name_and_columns(comm: str, tgid: str, flags: str) -> None:
    line = f"{comm:>16}-4711    {tgid}[002] {flags}  2216.484915: sched_process_exit: comm={comm} pid=4711 prio=120"
    assert one(line) == Exit(AT_NS, 4711)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# tracer: nop",
        "#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION",
        "CPU:1 [LOST 12 EVENTS]",
        "##### CPU 1 buffer started ####",
        "  sh-12   [000] .....  2216.484915: sched_switch: prev_comm=sh prev_pid=12 prev_prio=120",
        "  sh-12   [000] .....  2216.484915: sched_process_exec: what a later kernel may write",
        "  sh-12   [000] .....  2216.484915: task_newtask: what a later kernel may write",
        "  sh-12   [000] .....  2216.484915: inet_sock_set_state: what a later kernel may write",
        "  sh-12   [000] .....  2216.484915: sock_recv_length: what a later kernel may write",
        "  sh-12   [000] .....  2216484915: sched_process_exit: comm=sh pid=12 prio=120",
    ],
)
def test_any_other_line_is_passed_over(line: str) -> None:
    assert one(line) is None


def test_lines_keep_their_order() -> None:
    line = "  sh-{}   [000] .....  {}: sched_process_exit: comm=sh pid=1 prio=120"
    text = "\n".join(["# header", line.format(1, "10.000001"), "noise", line.format(2, "10.000002")])
    assert list(parse(text)) == [Exit(10_000_001_000, 1), Exit(10_000_002_000, 2)]


# --- the instance ---


class Tracefs:
    """A folder that looks like tracefs, with an instance of this process already laid out in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clocks = "local global [mono]"
        self.writes: list[tuple[str, str]] = []
        self.refused: str | None = None
        self.instance = self.lay_out(os.getpid())

    def lay_out(self, pid: int | str, *events: str) -> Path:
        """An instance."""
        folder = self.root / "instances" / f"{tracefs.PREFIX}{pid}"
        for event in events or EVENTS:
            (folder / "events" / event).mkdir(parents=True)
        return folder

    def stats(self, cpu: int, text: str) -> None:
        """What a CPU's buffer says of itself."""
        folder = self.instance / "per_cpu" / f"cpu{cpu}"
        folder.mkdir(parents=True)
        (folder / "stats").write_text(text)

    def write(self, name: str, value: str) -> None:
        """As the kernel takes it: a clock is shown among the others."""
        if name == self.refused:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self.writes.append((name, value))
        (self.instance / name).write_text(self.clocks if name == "trace_clock" else value)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracefs:
    """A tracefs without the kernel; there, an instance's folder goes with all that is in it."""
    made = Tracefs(tmp_path)
    monkeypatch.setattr(tracefs, "_tracefs", lambda: (tmp_path, None))
    monkeypatch.setattr(Instance, "_write", made.write)
    monkeypatch.setattr(Path, "rmdir", shutil.rmtree)
    return made


def ended_pid() -> int:
    """A process that is no more."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_an_instance_runs_on_the_clock_of_everything_else_with_a_buffer_for_a_start(fake: Tracefs) -> None:
    Instance()
    assert fake.writes[:2] == [("trace_clock", "mono"), ("buffer_size_kb", "2048")]


def test_an_instance_wants_only_sockets_that_listen_and_reads_that_got_something(fake: Tracefs) -> None:
    Instance()
    assert dict(fake.writes[2:]) == {f"events/{event}/filter": wanted for event, wanted in OPTIONAL.items()}


def test_an_instance_is_made_where_there_was_none(fake: Tracefs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel lays out its files as its folder is made."""
    laid_out = fake.instance.rename(fake.root / "laid out")
    monkeypatch.setattr(Path, "mkdir", lambda path, **_: laid_out.rename(path))
    Instance()
    assert fake.instance.is_dir()


def test_nothing_is_enabled_before_the_start(fake: Tracefs) -> None:
    Instance()
    assert [name for name, _ in fake.writes if name.endswith("enable")] == []


def test_start_empties_the_buffer_and_then_enables_every_event(fake: Tracefs) -> None:
    instance = Instance()
    fake.writes.clear()
    instance.start()
    assert fake.writes == [("trace", ""), *((f"events/{event}/enable", "1") for event in EVENTS)]


def test_stop_disables_every_event(fake: Tracefs) -> None:
    instance = Instance()
    instance.start()
    fake.writes.clear()
    instance.stop()
    assert fake.writes == [(f"events/{event}/enable", "0") for event in EVENTS]


def test_an_event_that_a_kernel_may_lack_is_done_without(fake: Tracefs) -> None:
    shutil.rmtree(fake.instance / "events/sock/sock_recv_length")
    assert Instance().events == (*REQUIRED, "sock/inet_sock_set_state")


def test_events_that_are_needed_and_missing_are_named_and_nothing_is_left(fake: Tracefs) -> None:
    for event in REQUIRED[1:]:
        shutil.rmtree(fake.instance / "events" / event)
    with pytest.raises(
        WatchingUnavailableError, match=r"lacks trace events: sched/sched_process_exit, task/task_newtask$"
    ):
        Instance()
    assert not fake.instance.exists()


def test_a_kernel_without_a_monotonic_trace_clock_is_told_and_nothing_is_left(fake: Tracefs) -> None:
    fake.clocks = "[local] global\n"
    with pytest.raises(WatchingUnavailableError, match=r"trace clock is not monotonic \(\[local\] global\)$"):
        Instance()
    assert not fake.instance.exists()


def test_a_refusal_is_told_in_the_kernels_words_and_nothing_is_left(fake: Tracefs) -> None:
    fake.refused = "buffer_size_kb"
    with pytest.raises(WatchingUnavailableError, match=r"tracefs refuses an instance: .*Invalid argument"):
        Instance()
    assert not fake.instance.exists()


def test_what_is_written_is_written_to_the_instances_own_file(fake: Tracefs) -> None:
    WRITE(Instance(), "trace_options", "1")
    assert (fake.instance / "trace_options").read_text() == "1"


def test_what_is_read_is_the_buffers_text_even_where_it_is_no_utf8(fake: Tracefs) -> None:
    instance = Instance()
    (fake.instance / "trace").write_bytes(b"caf\xe9\n")
    assert instance.read() == "caf\N{REPLACEMENT CHARACTER}\n"


def test_events_that_were_overwritten_or_found_no_room_are_lost_on_every_cpu(fake: Tracefs) -> None:
    fake.stats(0, "entries: 9\noverrun: 1\ncommit overrun: 0\nbytes: 99\ndropped events: 20\nread events: 7\n")
    fake.stats(1, "entries: 9\noverrun: 300\ndropped events: 0\n\n")
    assert Instance().lost() == 321


def test_a_kernel_that_counts_no_lost_events_lost_none(fake: Tracefs) -> None:
    fake.stats(0, "entries: 9\n")
    assert Instance().lost() == 0


def test_close_disables_every_event_and_removes_the_instance(fake: Tracefs) -> None:
    instance = Instance()
    fake.writes.clear()
    instance.close()
    assert (fake.writes, fake.instance.exists()) == ([("events/enable", "0")], False)


def test_close_twice_is_fine(fake: Tracefs) -> None:
    instance = Instance()
    instance.close()
    fake.writes.clear()
    instance.close()
    assert fake.writes == []


def test_close_removes_the_instance_though_it_cannot_be_disabled(fake: Tracefs) -> None:
    instance = Instance()
    fake.refused = "events/enable"
    instance.close()
    assert not fake.instance.exists()


def test_close_gives_back_the_mount_once(fake: Tracefs, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setattr(tracefs, "_tracefs", lambda: (fake.root, writing))
    instance = Instance()
    instance.close()
    instance.close()
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b""  # its other end is closed


def test_an_instance_of_a_process_that_is_gone_is_disabled_and_removed(fake: Tracefs) -> None:
    pid = ended_pid()
    left = fake.lay_out(pid)
    written: list[tuple[Path, str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_text", lambda path, text: written.append((path, text)))
        assert remove_stale(fake.root) == 1
    assert (written, left.exists()) == ([(left / "events" / "enable", "0")], False)


@pytest.mark.parametrize("owner", ["self", "foreign", ""], ids=["no number", "a name", "nothing"])
def test_an_instance_that_is_no_processs_is_left_alone(fake: Tracefs, owner: str) -> None:
    left = fake.lay_out(owner)
    assert (remove_stale(fake.root), left.exists()) == (0, True)


def test_an_instance_that_its_owner_still_holds_is_left_alone(fake: Tracefs) -> None:
    left = fake.lay_out(ended_pid())  # in another process namespace, for one, it has another number
    held = os.open(left, os.O_RDONLY)
    flock(held, LOCK_SH)
    assert (remove_stale(fake.root), left.exists()) == (0, True)
    os.close(held)
    assert (remove_stale(fake.root), left.exists()) == (1, False)


def test_an_instance_is_held_from_its_making_to_its_close(fake: Tracefs) -> None:
    instance = Instance()
    looking = os.open(fake.instance, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        flock(looking, LOCK_EX | LOCK_NB)
    instance.close()
    flock(looking, LOCK_EX | LOCK_NB)
    os.close(looking)


def test_an_instance_of_a_living_coldstart_that_holds_none_is_left_alone(fake: Tracefs) -> None:
    """As those of version 0.1 are."""
    with subprocess.Popen(["cat", "-", "coldstart"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as living:
        while not Path(f"/proc/{living.pid}/cmdline").read_bytes():
            pass  # its words come a moment after its program
        left = fake.lay_out(living.pid)
        assert (remove_stale(fake.root), left.exists()) == (0, True)


def test_a_number_that_passed_to_another_process_does_not_keep_an_instance(fake: Tracefs) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as living:
        left = fake.lay_out(living.pid)
        assert (remove_stale(fake.root), left.exists()) == (1, False)


def test_a_killed_process_that_nobody_asked_for_yet_does_not_keep_an_instance(fake: Tracefs) -> None:
    with subprocess.Popen(["cat", "-", "coldstart"], stdin=subprocess.PIPE) as killed:
        killed.kill()
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
        left = fake.lay_out(killed.pid)
        assert (remove_stale(fake.root), left.exists()) == (1, False)


def test_a_sweep_removes_what_the_dead_left_and_gives_back_the_mount(
    fake: Tracefs, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.lay_out(ended_pid())
    reading, writing = os.pipe()
    monkeypatch.setattr(tracefs, "_tracefs", lambda: (fake.root, writing))
    assert tracefs.sweep() == 1
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b""


def test_where_there_is_no_tracefs_a_sweep_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> NoReturn:
        raise WatchingUnavailableError("no tracefs")

    monkeypatch.setattr(tracefs, "_tracefs", none)
    assert tracefs.sweep() == 0


def test_an_instance_of_somebody_else_is_left_alone(fake: Tracefs) -> None:
    left = fake.root / "instances" / str(ended_pid())
    (left / "events").mkdir(parents=True)
    assert (remove_stale(fake.root), left.exists()) == (0, True)


def test_an_instance_that_cannot_be_removed_is_not_counted(fake: Tracefs) -> None:
    left = fake.root / "instances" / f"{tracefs.PREFIX}{ended_pid()}"  # without events there is nothing to disable
    left.mkdir()
    assert (remove_stale(fake.root), left.exists()) == (0, True)


def test_an_instance_is_made_after_those_of_the_dead_are_gone(fake: Tracefs) -> None:
    left = fake.lay_out(ended_pid())
    Instance()
    assert (left.exists(), fake.instance.exists()) == (False, True)


# --- where tracefs is ---


def refuse() -> int:
    raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_tracing_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(WatchingUnavailableError, match="kernel tracing needs root"):
        Instance()


@pytest.mark.usefixtures("as_root")
def test_tracefs_is_mounted_where_nobody_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracefs, "_detached_mount", lambda: 77)
    assert tracefs._tracefs() == (Path("/proc/self/fd/77"), 77)


@pytest.mark.usefixtures("as_root")
def test_an_older_kernels_tracefs_is_used_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "second" / "instances").mkdir(parents=True)
    monkeypatch.setattr(tracefs, "_detached_mount", refuse)
    monkeypatch.setattr(tracefs, "_MOUNTED", (str(tmp_path / "first"), str(tmp_path / "second")))
    assert tracefs._tracefs() == (tmp_path / "second", None)


@pytest.mark.usefixtures("as_root")
def test_a_machine_without_tracefs_is_told_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tracefs, "_detached_mount", refuse)
    monkeypatch.setattr(tracefs, "_MOUNTED", (str(tmp_path),))
    with pytest.raises(WatchingUnavailableError, match=r"no tracefs here \(No such device\), and none is mounted"):
        tracefs._tracefs()


def test_a_detached_mount_is_opened_configured_and_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    closed: list[int] = []

    def syscall(*arguments: object) -> int:
        asked.append(arguments)
        return 70 + len(asked)

    monkeypatch.setattr(tracefs, "_syscall", syscall)
    monkeypatch.setattr(os, "close", closed.append)
    mount = tracefs._detached_mount()
    monkeypatch.undo()
    assert asked == [(430, b"tracefs", 1), (431, 71, 6, None, None, 0), (432, 71, 1, 0)]
    assert (mount, closed) == (73, [71])


def test_a_detached_mount_that_fails_leaves_no_file_open(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    answers = iter([writing])
    monkeypatch.setattr(tracefs, "_syscall", lambda *_: next(answers, None) or refuse())
    with pytest.raises(OSError, match="No such device"):
        tracefs._detached_mount()
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b""  # its other end is closed


def test_a_system_call_that_fails_says_why() -> None:
    """fsmount(2) of no file: refused to root for the file, to others for their not being root."""
    with pytest.raises(OSError) as caught:  # noqa: PT011  the number is looked at below
        tracefs._syscall(432, -1, 0, 0)
    assert caught.value.errno in {errno.EBADF, errno.EPERM, errno.ENOSYS}


@pytest.mark.parametrize("result", [0, 7])
def test_a_system_call_that_succeeds_gives_its_result(monkeypatch: pytest.MonkeyPatch, result: int) -> None:
    monkeypatch.setattr(tracefs, "_libc", SimpleNamespace(syscall=lambda *_: result))
    assert tracefs._syscall(431, 3) == result
