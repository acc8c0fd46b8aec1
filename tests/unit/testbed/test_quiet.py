"""Waiting for quiet, on a clock that only moves when told to."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from coldstart.testbed.block import SystemRoots
from coldstart.testbed.quiet import CpuTicks, QuietWait, busiest_processes, read_ticks, read_wait_ms, wait_until_quiet
from coldstart.units import NS_PER_MS, NS_PER_S

WINDOW_NS = 200 * NS_PER_MS


class FakeTime:
    """A clock that stands still but while somebody sleeps."""

    def __init__(self) -> None:
        self.at_ns = 1_000

    def now_ns(self) -> int:
        """The time."""
        return self.at_ns

    def sleep_ns(self, span_ns: int) -> None:
        """Let it pass."""
        self.at_ns += span_ns


def wait(
    *shares: tuple[int, ...],
    timeout_ns: int = 10 * WINDOW_NS,
    busy_limit: float = 0.2,
    disk_ms: tuple[int | None, ...] = (),
) -> QuietWait:
    """Wait while each window has these busy and total ticks (and waiting ones), and the disk's reads stand there."""

    def readings() -> Iterator[CpuTicks]:
        busy, total, waiting = 500, 5000, 50
        yield CpuTicks(busy=busy, total=total, waiting=waiting)
        for more_busy, more_total, *more_waiting in shares:
            busy, total, waiting = busy + more_busy, total + more_total, waiting + sum(more_waiting)
            yield CpuTicks(busy=busy, total=total, waiting=waiting)

    read, clock, disk = readings(), FakeTime(), iter(disk_ms)
    return wait_until_quiet(
        busy_limit=busy_limit,
        window_ns=WINDOW_NS,
        timeout_ns=timeout_ns,
        read=lambda: next(read),
        read_disk_ms=lambda: next(disk, None),
        name_busiest=lambda: ("apt-get 43%",),
        now_ns=clock.now_ns,
        sleep_ns=clock.sleep_ns,
    )


def test_a_quiet_machine_is_waited_for_one_window() -> None:
    assert wait((2, 40)) == QuietWait(quiet=True, waited_ns=WINDOW_NS, busy_fraction=0.05)


def test_each_window_is_judged_by_itself() -> None:
    assert wait((40, 40), (20, 40), (1, 40)) == QuietWait(quiet=True, waited_ns=3 * WINDOW_NS, busy_fraction=0.025)


def test_a_window_at_the_limit_is_not_quiet() -> None:
    assert wait((10, 40), (9, 40), busy_limit=0.25).waited_ns == 2 * WINDOW_NS


def test_a_machine_that_stays_busy_is_given_up_on_at_the_timeout() -> None:
    assert wait(*[(30, 40)] * 3, timeout_ns=3 * WINDOW_NS) == QuietWait(
        quiet=False, waited_ns=3 * WINDOW_NS, busy_fraction=0.75, busiest=("apt-get 43%",)
    )


def test_a_machine_that_is_not_quiet_says_what_disturbs() -> None:
    assert wait(*[(30, 40)] * 3, timeout_ns=0).disturbance == "the CPU was 75% busy (most by apt-get 43%)"
    assert wait((2, 40)).disturbance == ""


def test_whoever_reads_the_disk_is_waited_for() -> None:
    found = wait((2, 40), (2, 40), disk_ms=(1000, 1050, 1051))
    assert (found.quiet, found.waited_ns, found.reading_fraction) == (True, 2 * WINDOW_NS, 0.005)


def test_a_disk_that_is_read_all_the_time_is_never_quiet() -> None:
    found = wait((2, 40), disk_ms=(1000, 1400), timeout_ns=0)
    assert (found.quiet, found.reading_fraction) == (False, 2.0)
    assert "and the disk was read 100% of the time" in found.disturbance


def test_waiting_for_a_disk_counts_where_the_disk_itself_cannot_be_asked() -> None:
    assert wait((2, 40, 20), (2, 40, 0)).waited_ns == 2 * WINDOW_NS
    assert wait((2, 40, 20), disk_ms=(5, 5)).waited_ns == WINDOW_NS


def test_reads_are_those_of_the_kernels_counter(tmp_path: Path) -> None:
    node = tmp_path / "class" / "block" / "sda1"
    node.mkdir(parents=True)
    (node / "stat").write_text("  100 2 3000 47 5 6 7 8 0 9 10\n")
    roots = SystemRoots(sys=tmp_path)
    assert read_wait_ms("sda1", roots) == 47
    assert (read_wait_ms("sdb", roots), read_wait_ms(None, roots)) == (None, None)


def test_the_busiest_processes_are_named_with_their_share() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as burning:
        try:
            assert any(re.fullmatch(r"python\S* [0-9]+%", name) for name in busiest_processes(NS_PER_S // 2))
        finally:
            burning.kill()


def test_a_process_cannot_write_to_the_terminal_by_its_name() -> None:
    script = "open('/proc/self/comm', 'w').write('bu\\x1brn')\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", script]) as burning:
        try:
            seen = (name for _ in range(10) for name in busiest_processes(NS_PER_S // 4))
            assert any(re.fullmatch("bu\N{REPLACEMENT CHARACTER}rn [0-9]+%", name) for name in seen)
        finally:
            burning.kill()


def test_no_window_is_begun_that_would_end_after_the_timeout() -> None:
    assert wait(*[(30, 40)] * 2, timeout_ns=3 * WINDOW_NS - 1).waited_ns == 2 * WINDOW_NS


def test_a_window_in_which_no_tick_was_counted_is_no_proof_of_quiet() -> None:
    assert wait((0, 0), (0, 40)).waited_ns == 2 * WINDOW_NS


def test_a_window_of_a_single_idle_tick_is_quiet() -> None:
    assert wait((0, 1)) == QuietWait(quiet=True, waited_ns=WINDOW_NS, busy_fraction=0.0)


def test_the_machines_own_ticks_and_clock_are_used_unless_others_are_given() -> None:
    found = wait_until_quiet(busy_limit=2.0, window_ns=NS_PER_MS)
    assert found.waited_ns >= NS_PER_MS


@pytest.mark.parametrize(
    ("line", "ticks"),
    [
        (
            "cpu  100 20 30 4000 500 6 7 8 90 9\n",
            CpuTicks(busy=171, total=4671, waiting=500),
        ),  # guests are among user and nice
        ("cpu  100 20 30 4000\n", CpuTicks(busy=150, total=4150)),  # kernels before 2.5.41
    ],
)
def test_idle_and_waiting_for_a_disk_is_not_busy(tmp_path: Path, line: str, ticks: CpuTicks) -> None:
    (tmp_path / "stat").write_text(f"{line}cpu0 1 1 1 1 1 1 1 1 1 1\nintr 5\n")
    assert read_ticks(tmp_path) == ticks
