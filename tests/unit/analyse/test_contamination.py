"""Whether a comparison may be believed, judged blind to who was faster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from scipy import stats

from coldstart.analyse.contamination import examine
from coldstart.model.cell import Side
from tests.unit.analyse.sides import PAIR, absent, blocks, frame, start
from tests.unit.factories import MS


def quiet(n: int) -> list[dict[str, Any]]:
    return blocks(PAIR, [100] * n, [100] * n)


def with_sentinels(cpu_ms: Sequence[float], io_ms: Sequence[float | None] | None = None) -> list[dict[str, Any]]:
    """A block a reading, kept with its first row."""
    rows = quiet(len(cpu_ms))
    for block, value in enumerate(cpu_ms):
        rows[2 * block]["sentinel_cpu_ns"] = round(value * MS)
        if io_ms is not None and (io := io_ms[block]) is not None:
            rows[2 * block]["sentinel_io_ns"] = round(io * MS)
    return rows


def test_nothing_spoils_a_quiet_run() -> None:
    found = examine(frame(with_sentinels([10] * 20)))
    assert (found.attempts, found.requeued, found.reasons) == (40, 0, ())


@pytest.mark.parametrize(("spoilt", "told"), [(2, False), (3, True)])
def test_more_than_a_tenth_of_repeated_starts_do(spoilt: int, told: bool) -> None:
    rows = [start(PAIR, Side.BASELINE, 0, None, outcome="not_quiet", attempt=n) for n in range(spoilt)]
    found = examine(frame([*quiet(9), *rows]))
    assert found.requeued == spoilt
    reason = f"{spoilt} of {18 + spoilt} starts had to be repeated ({spoilt} not quiet). The last: synthetic"
    assert found.reasons == ((reason,) if told else ())


@pytest.mark.parametrize(
    ("outcome", "counted"), [("not_cold", 1), ("throttled", 1), ("engine_lost", 1), ("exited", 0), ("unobserved", 0)]
)
def test_what_a_physical_reason_spoilt_was_repeated_and_what_failed_was_not(outcome: str, counted: int) -> None:
    rows = [start(PAIR, Side.BASELINE, 0, None, outcome=outcome)]
    assert examine(frame([*quiet(5), *rows])).requeued == counted


def test_a_cell_that_was_never_once_cold_spoils_no_other() -> None:
    rows = [start(absent(), Side.BASELINE, block, None, outcome="not_cold") for block in range(9)]
    found = examine(frame([*quiet(5), *rows]))
    assert (found.attempts, found.requeued, found.reasons) == (10, 0, ())


def test_nothing_spoils_a_run_without_starts() -> None:
    found = examine(frame([]))
    assert (found.attempts, found.requeued, found.sentinels, found.reasons) == (0, 0, (), ())


def test_warm_up_is_no_part_of_it() -> None:
    rows = [start(PAIR, Side.BASELINE, 0, None, outcome="not_quiet", warmup=True) for _ in range(5)]
    found = examine(frame([*quiet(5), *rows]))
    assert (found.attempts, found.requeued) == (10, 0)


@pytest.mark.parametrize(("slow", "told"), [(6, False), (7, True)])
def test_a_cpu_sentinel_that_is_slow_too_often_does(slow: int, told: bool) -> None:
    """Against one in ten, 6 slow ones of 20 have p = 0.0113 and 7 have 0.0024."""
    found = examine(frame(with_sentinels([16] * slow + [10] * (20 - slow))))
    (test,) = found.sentinels
    assert (test.n, test.slow, test.median_ns) == (20, slow, 10 * MS)
    assert test.p_value == pytest.approx(stats.binomtest(slow, 20, 0.10, alternative="greater").pvalue)
    reason = f"the CPU sentinel took more than 1.5 times its median in {slow} of 20 blocks"
    assert found.reasons == ((reason,) if told else ())


@pytest.mark.parametrize(("n", "slow", "disturbed"), [(31, 8, True), (38, 9, False)])
def test_a_sentinel_is_disturbed_at_one_percent(n: int, slow: int, disturbed: bool) -> None:
    """Against one in ten, 8 slow ones of 31 have p = 0.0096 and 9 of 38 have 0.0111."""
    (test,) = examine(frame(with_sentinels([16] * slow + [10] * (n - slow)))).sentinels
    assert test.is_disturbed is disturbed


def test_sentinels_of_warm_up_blocks_are_left_out() -> None:
    rows = with_sentinels([100, *([10] * 5)])
    for row in rows[:2]:
        row["warmup"] = True
    (test,) = examine(frame(rows)).sentinels
    assert (test.n, test.slow) == (5, 0)


def test_both_ways_of_being_disturbed_are_told() -> None:
    rows = [start(PAIR, Side.BASELINE, 0, None, outcome="not_quiet") for _ in range(9)]
    found = examine(frame([*with_sentinels([16] * 9 + [10] * 11), *rows]))
    assert [reason.split()[0] for reason in found.reasons] == ["9", "the"]


def test_half_again_as_long_is_not_slow_yet() -> None:
    (test,) = examine(frame(with_sentinels([15] * 9 + [10] * 11))).sentinels
    assert test.slow == 0


def test_the_write_is_shown_and_decides_nothing() -> None:
    found = examine(frame(with_sentinels([10] * 20, [*([100.0] * 9), *([10.0] * 11)])))
    assert [(test.name, test.slow, test.is_disturbed) for test in found.sentinels] == [
        ("CPU", 0, False),
        ("write", 9, True),
    ]
    assert found.reasons == ()


def test_readings_that_were_not_taken_are_left_out() -> None:
    (cpu, write) = examine(frame(with_sentinels([10] * 4, [1.0, None, None, 1.0]))).sentinels
    assert (cpu.n, write.n) == (4, 2)


def test_which_side_was_slow_is_of_no_matter() -> None:
    rows = with_sentinels([10] * 20)
    there = examine(frame(rows))
    for row in rows:
        row["e2e_ns"] = row["e2e_ns"] * (9 if row["side"] == "candidate" else 1)
    assert examine(frame(rows)) == there
