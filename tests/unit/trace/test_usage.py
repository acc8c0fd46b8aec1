"""What processes took: of the ended the kernel's records, of the living their own files."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from pathlib import Path

import pytest

from coldstart.model.sample import ProcessUse
from coldstart.trace import usage
from coldstart.trace.taskstats import TaskRecord
from coldstart.trace.usage import Usage, open_usage
from tests.unit.trace.recording import CONTAINERD, Recording, window

US = 1000


class Records:
    """Taskstats that say what they are told to; each is said once."""

    def __init__(self, *records: TaskRecord) -> None:
        self.waiting = list(records)
        self.overflows = False
        self.closed = False

    def records(self) -> tuple[TaskRecord, ...]:
        if self.overflows:
            raise OverflowError("the socket's buffer was full")
        found, self.waiting = tuple(self.waiting), []
        return found

    def close(self) -> None:
        self.closed = True


def record(task: int, *, cpu_us: int = 10, peak_kib: int = 100, read: int = 0, write: int = 0) -> TaskRecord:
    return TaskRecord(
        task=task,
        name=f"task {task}",
        cpu_ns=cpu_us * US,
        peak_rss_bytes=peak_kib << 10,
        read_bytes=read,
        write_bytes=write,
    )


def used(stats: Records | None, recording: Recording, init: int, *, daemons: tuple[int, ...] = ()) -> list[ProcessUse]:
    """What a trial's processes took, by a gatherer that began it with those records waiting to come."""
    records = stats.waiting if stats is not None else []
    if stats is not None:
        stats.waiting = []
    gatherer = Usage(stats)  # type: ignore[arg-type]  # a fake
    gatherer.begin(daemons)
    if stats is not None:
        stats.waiting = records
    return list(gatherer.end(recording.tree, window(init)))


def of(uses: list[ProcessUse], role: str) -> ProcessUse:
    (found,) = (use for use in uses if use.role == role)
    return found


def threaded() -> tuple[Recording, int]:
    """A start whose runtime create (102) had a thread (170), which ended before it."""
    recording = Recording()
    init = recording.runc()
    recording.fork(30, 102, 170, is_thread=True)
    recording.exit(35, 170)
    return recording, init


# --- the ended ---


def test_an_ended_process_took_what_all_its_threads_took_and_was_as_large_as_at_its_largest() -> None:
    recording, init = threaded()
    stats = Records(
        record(102, cpu_us=30, peak_kib=200, read=4096, write=1), record(170, cpu_us=5, peak_kib=300, read=512, write=2)
    )
    assert of(used(stats, recording, init), "runtime_create") == ProcessUse(
        role="runtime_create",
        name="task 102",
        source="taskstats",
        container=0,
        peak_rss_bytes=300 << 10,
        cpu_ns=35 * US,
        read_bytes=4608,
        write_bytes=3,
    )


@pytest.mark.parametrize("left", [102, 170])
def test_a_process_with_a_thread_that_left_no_record_is_not_told_of(left: int) -> None:
    recording, init = threaded()
    assert [use.role for use in used(Records(record(left)), recording, init)] == []


def test_a_process_that_has_not_ended_is_not_told_of_by_records() -> None:
    recording = Recording()
    init = recording.runc()
    assert used(Records(record(init)), recording, init) == []


def test_every_ended_process_with_a_role_is_told_of() -> None:
    recording = Recording()
    init = recording.runc()
    uses = used(Records(record(102), record(106), record(109), record(103)), recording, init)
    assert {use.role for use in uses} == {"runtime_create", "network_hook", "runtime_start"}


def test_records_of_before_the_trial_are_forgotten() -> None:
    """Its number may be one of the trial's."""
    recording = Recording()
    init = recording.runc()
    gatherer = Usage(Records(record(102)))  # type: ignore[arg-type]  # a fake
    gatherer.begin(())
    assert gatherer.end(recording.tree, window(init)) == ()


def test_records_that_were_lost_tell_of_nobody() -> None:
    recording = Recording()
    init = recording.runc()
    stats = Records(record(102))
    stats.overflows = True
    assert used(stats, recording, init) == []


def test_without_taskstats_nobody_who_ended_is_told_of() -> None:
    recording = Recording()
    assert used(None, recording, recording.runc()) == []


# --- the living ---


def living_shim(pid: int) -> tuple[Recording, int]:
    """A start whose shim has that number."""
    recording = Recording()
    recording.run(CONTAINERD, pid, "/usr/bin/shim", 9)
    recording.run(pid, 2**22 + 2, "/usr/bin/runc", 21, 70)
    recording.fork(25, 2**22 + 2, 2**22 + 5)
    return recording, 2**22 + 5  # above every number a kernel gives


def test_a_living_shim_is_told_of_by_its_own_files() -> None:
    use = of(used(None, *living_shim(os.getpid())), "shim")
    assert (use.source, use.container, use.read_bytes, use.write_bytes) == ("proc", 0, None, None)


def test_a_living_shims_cpu_time_is_that_since_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "_cpu_ns", lambda _pid: 7)
    assert of(used(None, *living_shim(os.getpid())), "shim").cpu_ns == 7


def test_a_living_processs_own_memory_is_within_its_share_and_that_within_its_peak() -> None:
    use = of(used(None, *living_shim(os.getpid())), "shim")
    assert use.uss_bytes is not None
    assert use.pss_bytes is not None
    assert use.peak_rss_bytes is not None
    assert 0 < use.uss_bytes <= use.pss_bytes <= use.peak_rss_bytes


def test_a_living_process_has_its_own_name() -> None:
    use = of(used(None, *living_shim(os.getpid())), "shim")
    assert use.name.startswith(Path("/proc/self/comm").read_text().strip())


def test_a_living_app_is_not_told_of() -> None:
    """It has hardly begun; what it takes is its own."""
    recording = Recording()
    recording.run(CONTAINERD, 2**22, "/usr/bin/shim", 9)
    recording.fork(25, 2**22, os.getpid())
    assert used(None, recording, os.getpid()) == []


def gone() -> int:
    """A process that is no more."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_a_shim_that_is_gone_is_not_told_of() -> None:
    assert used(None, *living_shim(gone())) == []


def test_a_daemons_cpu_time_is_that_of_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = iter([100, 130])
    monkeypatch.setattr(usage, "_cpu_ns", lambda _pid: next(stamps))
    use = of(used(None, Recording(), 1, daemons=(os.getpid(),)), "engine")
    assert (use.cpu_ns, use.container) == (30, None)


@pytest.mark.parametrize("stamps", [(None, 130), (100, None)])
def test_a_daemons_cpu_time_with_one_end_is_unknown(
    monkeypatch: pytest.MonkeyPatch, stamps: tuple[int | None, int | None]
) -> None:
    waiting = iter(stamps)
    monkeypatch.setattr(usage, "_cpu_ns", lambda _pid: next(waiting))
    assert of(used(None, Recording(), 1, daemons=(os.getpid(),)), "engine").cpu_ns is None


def test_a_daemon_that_is_gone_is_not_told_of() -> None:
    assert used(None, Recording(), 1, daemons=(gone(),)) == []


def test_the_ended_come_before_the_living_and_the_daemons_last() -> None:
    recording, init = living_shim(os.getpid())
    uses = used(Records(record(2**22 + 2)), recording, init, daemons=(os.getpid(),))
    assert [use.role for use in uses] == ["runtime_create", "shim", "engine"]


# --- a process's own files ---


def proc(tmp_path: Path, name: str, text: str) -> Path:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / name).write_text(text)
    return tmp_path


def test_cpu_time_is_the_processs_own_clock() -> None:
    before = time.process_time_ns()
    told = usage._cpu_ns(os.getpid())
    assert told is not None
    assert before <= told <= time.process_time_ns()


def test_cpu_time_of_nobody_is_unknown() -> None:
    assert usage._cpu_ns(gone()) is None


def test_the_peak_is_the_high_water_mark_in_kib(tmp_path: Path) -> None:
    status = "Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t     100 kB\nVmRSS:\t  50 kB\n"
    assert usage._high_water_bytes(7, proc(tmp_path, "status", status)) == 102_400


def test_the_peak_of_a_process_without_memory_is_unknown(tmp_path: Path) -> None:
    assert usage._high_water_bytes(7, proc(tmp_path, "status", "Name:\tkthreadd\n")) is None


def test_the_peak_of_nobody_is_unknown(tmp_path: Path) -> None:
    assert usage._high_water_bytes(7, tmp_path) is None


# --- opening and closing ---


def test_close_closes_taskstats() -> None:
    stats = Records()
    Usage(stats).close()  # type: ignore[arg-type]  # a fake
    assert stats.closed


def test_close_without_taskstats_is_fine() -> None:
    Usage(None).close()


def test_taskstats_are_used_where_they_are_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    stats = Records()
    monkeypatch.setattr(usage, "TaskStats", lambda: stats)
    open_usage().close()
    assert stats.closed


def test_where_taskstats_are_not_to_be_had_they_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(usage, "TaskStats", refuse)
    recording = Recording()
    gatherer = open_usage()
    gatherer.begin(())
    assert gatherer.end(recording.tree, window(recording.runc())) == ()
