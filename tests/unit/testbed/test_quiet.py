"""Waiting for quiet, on a clock that only moves when told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coldstart.testbed.quiet import CpuTicks, QuietWait, read_ticks, wait_until_quiet
from coldstart.units import NS_PER_MS

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


def wait(*shares: tuple[int, int], timeout_ns: int = 10 * WINDOW_NS, busy_limit: float = 0.2) -> QuietWait:
    """Wait while each window has these busy and total ticks."""

    def readings() -> Iterator[CpuTicks]:
        busy, total = 500, 5000
        yield CpuTicks(busy=busy, total=total)
        for more_busy, more_total in shares:
            busy, total = busy + more_busy, total + more_total
            yield CpuTicks(busy=busy, total=total)

    read, clock = readings(), FakeTime()
    return wait_until_quiet(
        busy_limit=busy_limit,
        window_ns=WINDOW_NS,
        timeout_ns=timeout_ns,
        read=lambda: next(read),
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
        quiet=False, waited_ns=3 * WINDOW_NS, busy_fraction=0.75
    )


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
        ("cpu  100 20 30 4000 500 6 7 8 90 9\n", CpuTicks(busy=171, total=4671)),  # guests are among user and nice
        ("cpu  100 20 30 4000\n", CpuTicks(busy=150, total=4150)),  # kernels before 2.5.41
    ],
)
def test_idle_and_waiting_for_a_disk_is_not_busy(tmp_path: Path, line: str, ticks: CpuTicks) -> None:
    (tmp_path / "stat").write_text(f"{line}cpu0 1 1 1 1 1 1 1 1 1 1\nintr 5\n")
    assert read_ticks(tmp_path) == ticks
