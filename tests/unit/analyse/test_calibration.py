"""Error rates replayed on banked pairs: windows, bounds, power, and what a host class is."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats

from coldstart.analyse.calibration import (
    Bank,
    calibrate,
    combined,
    host_class,
    merged,
    rates,
    replay,
    smallest_found,
)
from coldstart.analyse.gate import Call, Series, judge
from coldstart.model.rule import Rule
from tests.unit.factories import make_host

RULE = Rule()


def bank(n: int = 400, seed: int = 1, spread: float = 0.05, **fields: Any) -> Bank:
    """Pairs of the same noisy start."""
    rng = np.random.default_rng(seed)
    a, b = 1e8 * np.exp(rng.normal(0, spread, n)), 1e8 * np.exp(rng.normal(0, spread, n))
    defaults = {"floor_ns": 0.0, "attempts": 2 * n, "requeued": 0, "failed": 0}
    return Bank(**{"cell": "cell", "baseline_ns": tuple(a), "candidate_ns": tuple(b), **defaults, **fields})


def cut(series: Series, start: int, n: int) -> Series:
    """The ``n`` pairs from ``start`` on."""
    part: Series = msgspec.structs.replace(
        series, baseline_ns=series.baseline_ns[start : start + n], candidate_ns=series.candidate_ns[start : start + n]
    )
    return part


def slower(series: Series, slowdown: float) -> Series:
    more: Series = msgspec.structs.replace(series, candidate_ns=series.candidate_ns * (1 + slowdown))
    return more


def calls(series: Series, n: int) -> bool:
    """Whether one look at ``n`` pairs, at the level that it has in the rule, calls a regression."""
    return judge([series], Rule(alpha=RULE.alpha_at_look, looks=(n,)))[0].call is Call.REGRESSION


def test_a_bank_as_a_gate_sees_it_has_a_candidate_that_is_slower_by_so_much() -> None:
    series = Bank(
        cell="c", baseline_ns=(1.0, 2.0), candidate_ns=(4.0, 8.0), floor_ns=5.0, attempts=4, requeued=0, failed=0
    ).series(0.25)
    assert (series.name, series.floor_ns, series.max_slowdown) == ("c", 5.0, None)
    assert (series.baseline_ns.tolist(), series.candidate_ns.tolist()) == ([1.0, 2.0], [5.0, 10.0])


def test_windows_follow_one_another_where_the_rule_ends_each() -> None:
    """The first ten pairs are a regression, the next ten are ok, and the third window has no room for its last look."""
    steady = np.linspace(0.9999, 1.0001, 10)
    one = bank(n=1)
    series = msgspec.structs.replace(
        one.series(),
        baseline_ns=np.full(179, 1e8),
        candidate_ns=1e8 * np.concatenate([1.3 * steady, steady, np.ones(159)]),
    )
    assert replay(series, RULE) == ((Call.REGRESSION, 10), (Call.OK, 10))


def test_a_gate_that_stays_undecided_takes_all_pairs_to_the_last_look() -> None:
    pairs = 1.05 * (1 + np.array([-1, 1] * 80) * np.linspace(0.001, 0.01, 160))
    series = msgspec.structs.replace(
        bank(n=1).series(), baseline_ns=np.full(320, 1e8), candidate_ns=1e8 * np.tile(pairs, 2)
    )
    assert [call for call, _ in replay(series, RULE)] == [Call.INCONCLUSIVE, Call.INCONCLUSIVE]
    assert [n for _, n in replay(series, RULE)] == [160, 160]


def test_windows_are_contiguous_each_judged_by_itself_and_end_where_no_whole_gate_is_left() -> None:
    series = bank(n=1000, spread=0.02).series(0.06)
    found, start = replay(series, RULE), 0
    for call, taken in found:
        (decision,) = judge([cut(series, start, 160)], RULE)
        assert (call, taken) == (decision.call, decision.n)
        start += taken
    assert 1000 - 160 < start <= 1000
    assert len({taken for _, taken in found}) > 2  # they ended at several looks


def test_as_many_pairs_as_the_last_look_needs_are_a_gate() -> None:
    assert len(replay(msgspec.structs.replace(bank(n=160).series(), candidate_ns=np.full(160, 1e9)), RULE)) == 1


def test_fewer_pairs_than_a_gate_may_need_are_no_gate() -> None:
    assert replay(bank(n=159).series(), RULE) == ()


@pytest.mark.parametrize(("called", "gates"), [(0, 50), (1, 40), (5, 5), (3, 300)])
def test_bounds_are_those_of_clopper_and_pearson(called: int, gates: int) -> None:
    ended = [(Call.REGRESSION, 10)] * called + [(Call.OK, 20)] * (gates - called)
    found = rates(iter(ended))
    upper = stats.binomtest(called, gates, alternative="less").proportion_ci(0.95, method="exact").high
    lower = stats.binomtest(called, gates, alternative="greater").proportion_ci(0.95, method="exact").low
    assert [found.upper, found.lower] == pytest.approx([upper, lower])


def test_the_bounds_of_one_false_alarm_in_ten_gates_are_those_of_the_tables() -> None:
    """One-sided 95 %, solved by hand: 1 - (1 - L)^10 = 0.05 and (1 - U)^10 + 10 U (1 - U)^9 = 0.05."""
    found = rates([(Call.REGRESSION, 10)] + [(Call.OK, 10)] * 9)
    assert found.lower == pytest.approx(1 - 0.95**0.1)
    assert (1 - found.upper) ** 10 + 10 * found.upper * (1 - found.upper) ** 9 == pytest.approx(0.05)


def test_no_gate_bounds_nothing() -> None:
    found = rates([])
    assert (found.gates, found.lower, found.upper, found.median_pairs) == (0, 0.0, 1.0, None)


def test_calls_are_counted_by_kind_with_the_pairs_they_took() -> None:
    found = rates([(Call.REGRESSION, 10), (Call.OK, 20), (Call.INCONCLUSIVE, 160)])
    assert (found.gates, found.regressions, found.inconclusive, found.median_pairs) == (3, 1, 1, 20.0)


def test_cells_together_are_the_sum_of_their_gates() -> None:
    parts = [rates([(Call.OK, 10)] * 30), rates([(Call.REGRESSION, 40)] + [(Call.INCONCLUSIVE, 160)] * 9)]
    found = combined(parts)
    assert (found.gates, found.regressions, found.inconclusive, found.median_pairs) == (40, 1, 9, 160.0)
    assert found.upper == pytest.approx(stats.beta.ppf(0.95, 2, 39))


def test_a_cell_without_gates_adds_nothing() -> None:
    assert combined([rates([]), rates([(Call.OK, 10)])]) == rates([(Call.OK, 10)])
    assert combined([]) == rates([])


@pytest.mark.parametrize("n", [10, 20, 40])
def test_the_smallest_slowdown_found_is_where_the_look_begins_to_call_a_regression(n: int) -> None:
    series = bank(n=n).series()
    point = smallest_found(series, RULE, n)
    assert point.windows == 1
    assert point.slowdown is not None
    assert calls(slower(series, point.slowdown + 1e-6), n)
    assert not calls(slower(series, point.slowdown - 1e-6), n)


@pytest.mark.parametrize(("n", "windows"), [(10, 50), (20, 25)])
def test_it_is_what_a_search_over_slowdowns_finds_in_95_percent_of_the_windows(n: int, windows: int) -> None:
    series = bank(n=n * windows + n - 1).series()
    parts = [cut(series, start, n) for start in range(0, n * windows, n)]
    step = 0.0005
    searched = next(
        slowdown
        for slowdown in np.arange(0, 1, step)
        if sum(calls(slower(part, slowdown), n) for part in parts) >= 0.95 * windows
    )
    point = smallest_found(series, RULE, n)
    assert point.windows == windows
    assert point.slowdown == pytest.approx(searched, abs=step)


def test_where_the_candidate_is_slower_already_no_more_is_needed() -> None:
    assert smallest_found(bank(n=10).series(1.0), RULE, 10).slowdown == 0.0


def test_a_look_at_too_few_pairs_for_its_level_finds_nothing() -> None:
    found = smallest_found(bank(n=50).series(), RULE, 5)
    assert (found.n, found.slowdown, found.windows) == (5, None, 0)


def test_more_pairs_find_less_and_too_few_find_nothing() -> None:
    series = bank(n=400).series()
    found = [smallest_found(series, RULE, n).slowdown for n in (10, 40, 160)]
    assert all(value is not None for value in found)
    assert found == sorted(found, key=lambda value: -(value or 0))
    assert len(set(found)) == 3
    assert smallest_found(series, RULE, 800).slowdown is None


def test_the_floor_is_part_of_what_has_to_be_passed() -> None:
    low, high = bank(n=10).series(), bank(n=10, floor_ns=20e6).series()
    without, with_floor = smallest_found(low, RULE, 10).slowdown, smallest_found(high, RULE, 10).slowdown
    assert without is not None
    assert with_floor is not None
    assert with_floor > without + 0.1


def test_a_calibration_judges_the_same_pairs_in_three_ways() -> None:
    one = bank(requeued=3, failed=2)
    found = calibrate([one], RULE, host_class="x", version="1", runs=("r",), schema_version=7)
    (cell,) = found.cells
    assert (cell.pairs, cell.attempts, cell.requeued, cell.failed) == (400, 800, 3, 2)
    assert (found.runs, found.host_class, found.coldstart_version, found.schema_version) == (("r",), "x", "1", 7)
    assert (found.rule, cell.cell) == (RULE, "cell")
    assert cell.as_shipped == rates(replay(bank().series(), RULE))
    assert cell.without_tolerance == rates(replay(bank().series(), Rule(max_slowdown=0.0)))
    assert cell.at_limit == rates(replay(bank().series(0.05), RULE))
    assert [point.n for point in cell.power] == list(RULE.looks)
    assert cell.power == tuple(smallest_found(bank().series(), RULE, n) for n in RULE.looks)


def test_all_cells_together_are_judged_as_shipped() -> None:
    banks = [bank(), bank(seed=2, spread=0.2, cell="noisy")]
    found = calibrate(banks, RULE, host_class="x", version="1", runs=(), schema_version=1)
    assert found.together == combined([rates(replay(one.series(), RULE)) for one in banks])


def test_without_tolerance_half_a_percent_is_a_regression_and_as_shipped_it_is_none() -> None:
    steady = 1e8 * (1 + np.arange(160) * 1e-6)
    one = bank(baseline_ns=tuple(steady), candidate_ns=tuple(1.005 * steady[::-1]))
    (cell,) = calibrate([one], RULE, host_class="x", version="1", runs=(), schema_version=1).cells
    assert (cell.without_tolerance.regressions, cell.as_shipped.regressions) == (1, 0)


def test_without_tolerance_there_is_no_floor_either() -> None:
    found = calibrate([bank(floor_ns=50e6)], RULE, host_class="x", version="1", runs=(), schema_version=1)
    assert found.cells[0].without_tolerance == rates(replay(bank().series(), Rule(max_slowdown=0.0)))


def test_the_spread_and_the_autocorrelation_are_those_of_the_logarithms_differences() -> None:
    one = bank(n=5)
    logs = np.log(one.candidate_ns) - np.log(one.baseline_ns)
    centred = logs - logs.mean()
    (cell,) = calibrate([one], RULE, host_class="x", version="1", runs=(), schema_version=1).cells
    assert cell.spread == pytest.approx(np.std(logs, ddof=1))
    assert cell.autocorrelation == pytest.approx((centred[1:] * centred[:-1]).sum() / (centred**2).sum())


def test_one_pair_has_no_spread_and_an_empty_bank_no_cell() -> None:
    found = calibrate([bank(n=1), bank(n=0)], RULE, host_class="x", version="1", runs=(), schema_version=1)
    assert [(cell.pairs, cell.spread, cell.autocorrelation) for cell in found.cells] == [(1, 0.0, 0.0)]


@pytest.mark.parametrize("floors_ns", [(1.0, 2.0), (2.0, 1.0)])
def test_banks_of_a_cell_become_one_in_their_order(floors_ns: tuple[float, float]) -> None:
    first = bank(n=2, floor_ns=floors_ns[0], requeued=1, failed=2)
    second = bank(n=3, seed=2, floor_ns=floors_ns[1], requeued=4, failed=8)
    other = bank(n=1, cell="other")
    (joined, alone) = merged([first, other, second])
    assert joined.baseline_ns == first.baseline_ns + second.baseline_ns
    assert joined.candidate_ns == first.candidate_ns + second.candidate_ns
    assert (joined.attempts, joined.requeued, joined.failed, joined.floor_ns) == (10, 5, 10, 2.0)
    assert alone == other


def test_each_replayed_gate_has_the_floor_of_its_own_first_starts() -> None:
    """As a gate on a machine has it: what the probe could not see at another time says nothing about this one."""
    coarse, fine = (10e6,) * 60, (0.0,) * 60
    series, rule = bank(n=120).series(0.15), Rule(looks=(10, 60))
    by_window = replay(series, rule, coarse + fine)
    assert by_window[0] == replay(cut(_floored(series, 20e6), 0, 60), rule)[0]
    assert by_window[-1][0] is Call.REGRESSION
    assert by_window[0][0] is not Call.REGRESSION


def test_only_starts_up_to_the_first_look_make_a_gates_floor() -> None:
    series, rule = bank(n=60).series(0.15), Rule(looks=(10, 60))
    later = (0.0,) * 10 + (50e6,) * 50
    assert replay(series, rule, later) == replay(_floored(series, 0.0), rule)
    assert smallest_found(series, rule, 60, later) == smallest_found(_floored(series, 0.0), rule, 60)
    early = (10e6,) * 10 + (0.0,) * 50
    assert smallest_found(series, rule, 60, early) == smallest_found(_floored(series, 20e6), rule, 60)


def test_starts_that_nobody_polled_have_no_floor() -> None:
    series, rule = bank(n=60, floor_ns=50e6).series(0.15), Rule(looks=(10, 60))
    assert replay(series, rule, (None,) * 60) == replay(_floored(series, 0.0), rule)


def test_an_old_bank_has_its_floor_in_every_window_though_a_new_one_is_joined_to_it() -> None:
    old, new = bank(n=2, floor_ns=8.0), bank(n=3, seed=2, floor_ns=2.0, resolutions_ns=(1.0, None, 3.0))
    (joined,) = merged([old, new])
    assert joined.resolutions_ns == (4.0, 4.0, 1.0, None, 3.0)


def test_a_calibration_judges_by_the_resolutions_that_are_banked() -> None:
    resolutions = (10e6,) * 100 + (0.0,) * 300
    found = calibrate([bank(resolutions_ns=resolutions)], RULE, host_class="x", version="1", runs=(), schema_version=7)
    (cell,) = found.cells
    assert cell.as_shipped == rates(replay(bank().series(), RULE, resolutions))
    assert cell.at_limit == rates(replay(bank().series(0.05), RULE, resolutions))
    assert cell.power == tuple(smallest_found(bank().series(), RULE, n, resolutions) for n in RULE.looks)


def _floored(series: Series, floor_ns: float) -> Series:
    found: Series = msgspec.structs.replace(series, floor_ns=floor_ns)
    return found


def test_a_host_class_is_the_same_for_ever() -> None:
    """Stored calibrations are found by it: ``printf 'aarch64/Synthetic Board 1/2cpu/1GiB/ext4/v2' | sha256sum``."""
    assert host_class(make_host()) == "aarch64-synthetic-board-1-2cpu-73cf0e"


def test_machines_of_a_kind_are_of_one_class() -> None:
    told = {"host_id": "another", "kernel": "9", "os_name": None, "python": "3.13", "memory_bytes": 990 * 1024**2}
    assert host_class(make_host(**told)) == host_class(make_host())


@pytest.mark.parametrize("board", ["../../etc/passwd", "Rechner Größe 1\n", "  ", "a" * 300, "NUL:", "-rf *", None])
def test_a_host_class_is_safe_in_file_names(board: str | None) -> None:
    name = host_class(make_host(board=board))
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,47}-[0-9a-f]{6}", name)


def test_a_machine_of_a_strange_name_has_a_class_that_is_no_option_of_a_command() -> None:
    assert host_class(make_host(machine="-x")).startswith("x-")


def test_a_host_class_is_named_after_the_board_and_else_after_the_processor() -> None:
    assert host_class(make_host(board="Pi 4", cpu_model="A72")).startswith("aarch64-pi-4-2cpu-")
    assert host_class(make_host(board=None, cpu_model="A72")).startswith("aarch64-a72-2cpu-")
    assert host_class(make_host(board=None, cpu_model=None)).startswith("aarch64-unknown-2cpu-")


def test_boards_whose_names_are_cut_short_are_told_apart() -> None:
    assert host_class(make_host(board="a" * 300)) != host_class(make_host(board="a" * 299))


@pytest.mark.parametrize(
    "fields",
    [
        {"machine": "x86_64"},
        {"board": "Other"},
        {"cpus": 4},
        {"memory_bytes": 8 * 1024**3},
        {"filesystem": "xfs"},
        {"cgroup": "v1"},
        {"board": None, "cpu_model": "Cortex-A72"},
        {"board": None},
        {"filesystem": None},
    ],
)
def test_another_kind_of_machine_is_another_class(fields: dict[str, Any]) -> None:
    assert host_class(make_host(**fields)) != host_class(make_host())


def test_of_forty_windows_thirty_eight_are_enough() -> None:
    series = bank(n=400).series()
    point = smallest_found(series, RULE, 10)
    each = sorted(
        smallest_found(
            msgspec.structs.replace(
                series,
                baseline_ns=series.baseline_ns[start : start + 10],
                candidate_ns=series.candidate_ns[start : start + 10],
            ),
            RULE,
            10,
        ).slowdown
        or 0.0
        for start in range(0, 400, 10)
    )
    assert (point.windows, point.slowdown) == (40, each[37])
