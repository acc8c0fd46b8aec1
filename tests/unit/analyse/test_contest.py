"""Baseline against candidate: pairs by block, what is a failure and what is spoilt, effects of phases."""

from __future__ import annotations

from typing import Any

import msgspec
import pandas as pd
import pytest

from coldstart.analyse.contest import bank_of, factor_effects, moved_phase, phase_effects, run_effects, series_of
from coldstart.analyse.gate import Series
from coldstart.model.cell import Cell, CellPair, Network, Side, Tier
from coldstart.model.rule import Rule
from coldstart.model.run import Comparison, RunManifest
from tests.unit import tidy
from tests.unit.analyse.sides import AA, PAIR, WARM, absent, blocks, frame, start
from tests.unit.factories import MS, make_cell, make_experiment, make_manifest

RULE = Rule()


def only(rows: list[dict[str, Any]], pair: CellPair = PAIR, rule: Rule = RULE) -> Series:
    (series,) = series_of(frame(rows), [pair], rule)
    return series


def test_pairs_are_the_blocks_in_which_both_sides_were_timed_in_their_order() -> None:
    rows = blocks(PAIR, [100, 101, 102], [200, 201, 202])
    series = only([*rows[::-1], start(PAIR, Side.BASELINE, 3, 103)])
    assert series.baseline_ns.tolist() == [100 * MS, 101 * MS, 102 * MS]
    assert series.candidate_ns.tolist() == [200 * MS, 201 * MS, 202 * MS]
    assert (series.candidate_failed, series.baseline_failed, series.both_failed) == (0, 0, 0)


def test_sides_of_the_same_cell_are_told_apart() -> None:
    series = only(blocks(AA, [100, 101], [200, 201]), AA)
    assert (series.baseline_ns.tolist(), series.candidate_ns.tolist()) == (
        [100 * MS, 101 * MS],
        [200 * MS, 201 * MS],
    )


def test_a_block_with_a_failed_start_is_no_pair_and_is_counted_for_who_failed() -> None:
    series = only(blocks(PAIR, [100, None, None, 100, 100], [100, 100, None, None, None]))
    assert series.n == 1
    assert (series.baseline_failed, series.both_failed, series.candidate_failed) == (1, 1, 2)


@pytest.mark.parametrize(
    "outcome", ["wrong_platform", "pull_failed", "create_failed", "start_failed", "exited", "never_ready"]
)
def test_every_way_of_failing_is_a_failure(outcome: str) -> None:
    rows = [start(PAIR, Side.BASELINE, 0, 100), start(PAIR, Side.CANDIDATE, 0, None, outcome=outcome)]
    assert only(rows).candidate_failed == 1


def test_a_failure_whose_other_side_did_not_start_is_nobodys() -> None:
    rows = [start(PAIR, Side.CANDIDATE, 0, None), start(PAIR, Side.BASELINE, 1, None)]
    series = only(rows)
    assert (series.baseline_failed, series.both_failed, series.candidate_failed) == (0, 0, 0)


@pytest.mark.parametrize("spoilt", list(Side))
def test_a_failure_beside_a_spoilt_start_tells_nothing(spoilt: Side) -> None:
    rows = [start(PAIR, side, 0, None, outcome="not_quiet" if side is spoilt else "exited") for side in Side]
    series = only(rows)
    assert (series.baseline_failed, series.both_failed, series.candidate_failed) == (0, 0, 0)


@pytest.mark.parametrize("outcome", ["not_cold", "not_quiet", "throttled", "engine_lost"])
def test_what_was_spoilt_to_the_end_is_no_pair_and_nobodys_failure(outcome: str) -> None:
    rows = blocks(PAIR, [100, 100], [100, 100])[:-1]
    series = only([*rows, start(PAIR, Side.CANDIDATE, 1, None, outcome=outcome)])
    assert (series.n, series.candidate_failed, series.both_failed) == (1, 0, 0)


def test_of_a_start_that_was_repeated_the_last_attempt_counts() -> None:
    rows = [
        start(PAIR, Side.BASELINE, 0, 100),
        start(PAIR, Side.CANDIDATE, 0, 150, attempt=1),
        start(PAIR, Side.CANDIDATE, 0, None, outcome="not_quiet", attempt=0),
    ]
    assert only(rows).candidate_ns.tolist() == [150 * MS]


def test_warm_up_blocks_are_left_out() -> None:
    rows = blocks(PAIR, [100, 101], [100, 101])
    for row in rows[:2]:
        row["warmup"] = True
    assert only(rows).baseline_ns.tolist() == [101 * MS]


def test_the_floor_is_twice_the_probes_resolution_in_the_median_start() -> None:
    rows = blocks(PAIR, [100, 100, 100], [100, 100, 100])
    rows[0]["probe_resolution_ns"] = 50 * MS  # one slow poll says nothing about the others
    assert only(rows).floor_ns == 2 * MS


def test_the_floor_is_the_baselines_whatever_the_candidate_does() -> None:
    rows = blocks(PAIR, [100, 100], [100, 100])
    for row in rows:
        row["probe_resolution_ns"] = (1 if row["side"] == "baseline" else 3000) * MS
    assert only(rows).floor_ns == 2 * MS


def test_a_baseline_that_failed_says_nothing_about_the_floor() -> None:
    rows = blocks(PAIR, [100, None, None], [100, 100, 100])
    for row in rows[2:]:
        row["probe_resolution_ns"] = 50 * MS
    assert only(rows).floor_ns == 2 * MS


def test_the_floor_is_fixed_at_the_first_look() -> None:
    rows = blocks(PAIR, [100] * 40, [100] * 40)
    for row in rows:
        row["probe_resolution_ns"] = (1 if row["block"] < 10 else 40) * MS
    assert only(rows[::-1]).floor_ns == 2 * MS
    assert only(rows[:20]).floor_ns == 2 * MS


def test_where_no_resolution_is_known_there_is_no_floor() -> None:
    rows = [{**row, "probe_resolution_ns": None} for row in blocks(PAIR, [100], [100])]
    assert only(rows).floor_ns == 0.0


def test_of_a_run_of_version_0_1_the_floor_is_a_bound_from_above() -> None:
    rows = [
        {**row, "probe_resolution_ns": None, "readiness_resolution_ns": 7 * MS} for row in blocks(PAIR, [100], [100])
    ]
    assert (only(rows).floor_ns, only(rows).floor_is_bound) == (14 * MS, True)
    both = [{**row, "readiness_resolution_ns": 7 * MS} for row in blocks(PAIR, [100], [100])]
    assert (only(both).floor_ns, only(both).floor_is_bound) == (2 * MS, False)


def test_only_what_ends_with_readiness_has_a_floor() -> None:
    rows = [{**row, "pull_ns": 5 * MS} for row in blocks(PAIR, [100, 100], [100, 100])]
    found = series_of(frame(rows), [PAIR], Rule(metrics=dict.fromkeys(("pull", "create", "init", "readiness"), 0.2)))
    assert [series.floor_ns for series in found] == [2 * MS, 0.0, 0.0, 0.0, 2 * MS]


def test_without_a_pair_there_is_no_floor() -> None:
    assert (only([]).n, only([]).floor_ns) == (0, 0.0)


def test_each_pair_has_what_its_cells_tolerate() -> None:
    rule = Rule(max_slowdown=0.05, cells={"absent": 0.10})
    found = series_of(frame([]), [PAIR, absent()], rule)
    assert [series.max_slowdown for series in found] == [0.05, 0.10]
    assert [series.name for series in found] == [PAIR.key, absent().key]


def test_a_phase_that_is_gated_is_asked_about_where_both_sides_have_it() -> None:
    rows = blocks(PAIR, [100, 100], [100, 100])
    cold = [{**row, "pull_ns": 50 * MS} for row in blocks(absent(), [200, 200], [200, 200])]
    found = series_of(frame([*rows, *cold]), [PAIR, absent()], Rule(metrics={"pull": 0.2, "init": 0.3}))
    assert [(series.name, series.max_slowdown) for series in found] == [
        (PAIR.key, 0.05),
        (absent().key, 0.05),
        (f"{absent().key}: pull", 0.2),
        (f"{PAIR.key}: init", 0.3),
        (f"{absent().key}: init", 0.3),
    ]
    assert found[2].baseline_ns.tolist() == [50 * MS, 50 * MS]
    assert found[3].baseline_ns.tolist() == [60 * MS, 60 * MS]


@pytest.mark.parametrize("side", list(Side))
def test_a_phase_is_judged_by_the_blocks_in_which_both_sides_took_a_time(side: Side) -> None:
    rows = [{**row, "pull_ns": 50 * MS} for row in blocks(PAIR, [100, 100], [100, 100])]
    (own,) = (row for row in rows if row["side"] == side.value and row["block"] == 1)
    own["pull_ns"] = 0
    _, series = series_of(frame(rows), [PAIR], Rule(metrics={"pull": 0.2}))
    assert (series.name, series.n) == (f"{PAIR.key}: pull", 1)


def test_a_phase_is_not_asked_about_where_nothing_was_timed() -> None:
    (series,) = series_of(frame([]), [PAIR], Rule(metrics={"init": 0.2}))
    assert series.name == PAIR.key


def test_a_phases_effect_is_paired_by_block() -> None:
    rows = blocks(PAIR, [100, 200, 300, 400, 500, 600], [110, 210, 310, 410, 510, 610])
    rows = [*rows[::2], *rows[:0:-2]]  # the candidate's last block first
    effects = {effect.column: effect for effect in phase_effects(frame(rows), [PAIR])}
    assert set(effects) == {"e2e_ns", "pull_ns", "create_ns", "init_ns", "readiness_ns"}
    e2e = effects["e2e_ns"]
    assert (e2e.shift_ns.value, e2e.shift_ns.lower, e2e.shift_ns.upper) == (10 * MS, 10 * MS, 10 * MS)
    assert (e2e.baseline_ns, e2e.candidate_ns, e2e.paired) == (350 * MS, 360 * MS, True)
    assert e2e.ratio is not None
    assert 1 < e2e.ratio.value < 1.1


def test_a_phase_that_took_no_time_has_a_difference_but_no_ratio() -> None:
    (pull,) = (e for e in phase_effects(frame(blocks(PAIR, [100], [100])), [PAIR]) if e.column == "pull_ns")
    assert (pull.ratio, pull.shift_ns.value) == (None, 0.0)


@pytest.mark.parametrize("side", list(Side))
def test_a_phase_that_one_side_had_only_has_a_difference_but_no_ratio(side: Side) -> None:
    rows = [{**row, "pull_ns": 5 * MS * (row["side"] == side.value)} for row in blocks(PAIR, [100], [100])]
    (pull,) = (e for e in phase_effects(frame(rows), [PAIR]) if e.column == "pull_ns")
    assert (pull.ratio, pull.shift_ns.value) == (None, 5 * MS * (1 if side is Side.CANDIDATE else -1))


def test_a_block_in_which_one_side_does_not_tell_a_phase_is_left_out_of_its_effect() -> None:
    rows = blocks(PAIR, [100, 200], [101, 202])
    rows[3]["init_ns"] = None
    effects = {effect.column: effect.shift_ns.n for effect in phase_effects(frame(rows), [PAIR])}
    assert (effects["e2e_ns"], effects["init_ns"]) == (2, 1)


def test_what_failed_is_no_timing_even_where_it_has_times() -> None:
    rows = blocks(PAIR, [100, 200], [109, 202])
    rows[1]["outcome"] = "not_cold"
    assert phase_effects(frame(rows), [PAIR])[0].shift_ns.value == 2 * MS


def test_warm_up_blocks_have_no_effect() -> None:
    rows = [{**row, "warmup": row["block"] == 0} for row in blocks(PAIR, [100, 200], [109, 202])]
    assert phase_effects(frame(rows), [PAIR])[0].shift_ns.value == 2 * MS


def test_a_pair_without_a_block_has_no_effects() -> None:
    rows = [start(PAIR, Side.BASELINE, 0, 100), start(PAIR, Side.CANDIDATE, 1, 100)]
    assert phase_effects(frame(rows), [PAIR]) == ()


def test_the_phase_that_moved_most_is_the_one_that_surely_grew_by_most() -> None:
    rows = blocks(PAIR, [100] * 6, [100] * 6)
    for row in rows:
        if row["side"] == "candidate":
            grown = {"init_ns": 5 * MS, "readiness_ns": 9 * MS, "e2e_ns": 14 * MS, "create_ns": -1 * MS}
            row.update({column: row[column] + more_ns for column, more_ns in grown.items()})
    effects = phase_effects(frame(rows), [PAIR])
    moved = moved_phase(effects, PAIR)
    assert moved is not None
    assert (moved.column, moved.shift_ns.value) == ("readiness_ns", 9 * MS)
    assert moved_phase(effects, absent()) is None


def test_nothing_moved_where_no_interval_is_above_zero() -> None:
    rows = blocks(PAIR, [100] * 6, [90, 110, 90, 110, 90, 110])
    assert moved_phase(phase_effects(frame(rows), [PAIR]), PAIR) is None


def test_of_too_few_blocks_nothing_moved_for_sure() -> None:
    effects = phase_effects(frame(blocks(PAIR, [100] * 5, [200] * 5)), [PAIR])
    assert moved_phase(effects, PAIR) is None


def test_levels_of_a_factor_are_held_against_the_reference_all_else_equal() -> None:
    runc, crun = make_cell(runtime="runc"), make_cell(runtime="crun")
    lonely = make_cell(runtime="crun", variant="scratch")
    rows = [*tidy.starts(runc, *[100] * 6), *tidy.starts(crun, *[90] * 6), *tidy.starts(lonely, 5)]
    effects = factor_effects(tidy.frame(rows), "runtime", "runc")
    assert {(effect.pair.baseline, effect.pair.candidate) for effect in effects} == {(runc, crun)}
    (e2e,) = (effect for effect in effects if effect.column == "e2e_ns")
    assert (e2e.shift_ns.value, e2e.paired) == (-10 * MS, True)


def test_of_three_levels_two_are_held_against_the_reference() -> None:
    names = ("crun", "runc", "youki")
    rows = [row for name in names for row in tidy.starts(make_cell(runtime=name), 100)]
    pairs = {effect.pair for effect in factor_effects(tidy.frame(rows), "runtime", "runc")}
    assert {(pair.baseline.runtime, pair.candidate.runtime) for pair in pairs} == {("runc", "crun"), ("runc", "youki")}


def test_a_phase_that_nobody_tells_is_no_effect_of_a_factor() -> None:
    rows = [*tidy.starts(make_cell(), 100, init_ns=None), *tidy.starts(make_cell(runtime="crun"), 90, init_ns=None)]
    columns = {effect.column for effect in factor_effects(tidy.frame(rows), "runtime", "runc")}
    assert columns == {"e2e_ns", "pull_ns", "create_ns", "readiness_ns"}


def test_warm_up_blocks_have_no_effect_of_a_factor() -> None:
    rows = [*tidy.starts(make_cell(), 100, 200), *tidy.starts(make_cell(runtime="crun"), 109, 202)]
    for row in rows:
        row["warmup"] = row["block"] == 0
    assert factor_effects(tidy.frame(rows), "runtime", "runc")[0].shift_ns.value == 2 * MS


def test_two_runs_are_compared_cell_by_cell_and_unpaired() -> None:
    cell, other = make_cell(), make_cell(variant="scratch")
    first = tidy.frame([*tidy.starts(cell, 100, 102, 104, 106), *tidy.starts(other, 1)])
    second = tidy.frame(tidy.starts(cell, 111, 113, 115, 117, 119))
    effects = run_effects(first, second)
    assert {effect.pair.baseline for effect in effects} == {cell}
    e2e = effects[0]
    assert (e2e.column, e2e.paired, e2e.shift_ns.n, e2e.shift_ns.value) == ("e2e_ns", False, 4, 12 * MS)
    assert (e2e.baseline_ns, e2e.candidate_ns) == (103 * MS, 115 * MS)
    assert e2e.ratio is not None
    assert 1.1 < e2e.ratio.value < 1.13


@pytest.mark.parametrize("pulls_ns", [(0, 0), (5 * MS, 0), (0, 5 * MS)])
def test_between_two_runs_a_phase_of_no_time_has_no_ratio(pulls_ns: tuple[int, int]) -> None:
    first, second = (tidy.frame(tidy.starts(make_cell(), 100, pull_ns=pull_ns)) for pull_ns in pulls_ns)
    (pull,) = (effect for effect in run_effects(first, second) if effect.column == "pull_ns")
    assert (pull.ratio, pull.shift_ns.value) == (None, pulls_ns[1] - pulls_ns[0])


def test_warm_up_blocks_are_left_out_of_both_runs() -> None:
    first, second = (
        tidy.frame([tidy.row(block=0, e2e_ns=9 * MS, warmup=True), tidy.row(block=1, e2e_ns=e2e_ms * MS)])
        for e2e_ms in (100, 103)
    )
    e2e = run_effects(first, second)[0]
    assert (e2e.baseline_ns, e2e.candidate_ns) == (100 * MS, 103 * MS)


def test_a_phase_that_one_run_does_not_tell_is_left_out() -> None:
    cell = make_cell()
    telling, silent = (tidy.frame(tidy.starts(cell, 100, **fields)) for fields in ({}, {"init_ns": None}))
    for runs in ((telling, silent), (silent, telling)):
        assert "init_ns" not in {effect.column for effect in run_effects(*runs)}


def calibration(rows: list[dict[str, Any]], *pairs: CellPair) -> tuple[RunManifest, pd.DataFrame]:
    comparison = Comparison(candidate=make_experiment(), pairs=pairs or (AA,))
    return make_manifest(comparison=comparison), frame(rows)


def test_a_bank_has_the_pairs_of_all_runs_in_the_order_of_time() -> None:
    first = calibration(blocks(AA, [100, 101], [102, 103]))
    second = calibration([*blocks(AA, [104, None], [105, 106])])
    (bank,) = bank_of([first, second])
    assert bank.cell == AA.key
    assert bank.baseline_ns == (100 * MS, 101 * MS, 104 * MS)
    assert bank.candidate_ns == (102 * MS, 103 * MS, 105 * MS)
    assert (bank.attempts, bank.requeued, bank.failed, bank.floor_ns) == (8, 0, 1, 2 * MS)


def test_a_bank_counts_what_was_repeated() -> None:
    spoilt = start(AA, Side.BASELINE, 0, None, outcome="not_quiet")
    again = {**blocks(AA, [100], [100])[0], "attempt": 1}
    (bank,) = bank_of([calibration([spoilt, again, blocks(AA, [100], [100])[1]])])
    assert (len(bank.baseline_ns), bank.attempts, bank.requeued, bank.failed) == (1, 3, 1, 0)


def test_each_banked_pair_has_what_the_probe_of_its_baseline_could_not_see() -> None:
    rows = blocks(AA, [100, 101, 102], [100, 101, None])
    for row, resolution in zip(rows, (7, 8, 9, 10, 11, 12), strict=True):
        row["probe_resolution_ns"] = resolution
    rows[2]["probe_resolution_ns"] = None
    (bank,) = bank_of([calibration(rows[::-1])])
    assert (bank.baseline_ns, bank.resolutions_ns) == ((100 * MS, 101 * MS), (7.0, None))


def test_a_start_that_nobody_observed_is_no_failure_in_a_bank() -> None:
    rows = [*blocks(AA, [100], [100]), start(AA, Side.BASELINE, 1, None, outcome="unobserved")]
    (bank,) = bank_of([calibration(rows)])
    assert (bank.attempts, bank.requeued, bank.failed) == (3, 0, 0)


def test_warm_up_blocks_are_not_banked() -> None:
    rows = [{**row, "warmup": row["block"] == 0} for row in blocks(AA, [100, 101], [100, 101])]
    (bank,) = bank_of([calibration(rows)])
    assert (bank.baseline_ns, bank.attempts) == ((101 * MS,), 2)


def test_cells_are_banked_apart_and_runs_that_compare_nothing_passed_over() -> None:
    cold = absent(AA)
    rows = [*blocks(AA, [100], [100]), *blocks(cold, [300], [300])]
    banks = bank_of([calibration(rows, AA, cold), (make_manifest(), frame([]))])
    assert [(bank.cell, bank.baseline_ns) for bank in banks] == [(AA.key, (100 * MS,)), (cold.key, (300 * MS,))]


@pytest.mark.parametrize(
    "level",
    [
        {"engine": "containerd"},
        {"runtime": "crun"},
        {"workload": "web"},
        {"variant": "scratch"},
        {"tier": Tier.ABSENT},
        {"network": Network.HOST},
    ],
    ids=lambda level: next(iter(level)),
)
def test_a_series_is_of_its_own_cells_only(level: dict[str, Any]) -> None:
    other: Cell = msgspec.structs.replace(WARM, **level)
    rows = [*blocks(AA, [100], [101]), *blocks(CellPair(baseline=other, candidate=other), [300], [301])]
    series = only(rows, AA)
    assert (series.baseline_ns.tolist(), series.candidate_ns.tolist()) == ([100 * MS], [101 * MS])
