"""Cells: what is averaged, what is only counted, and shares that add up."""

from __future__ import annotations

import pytest

from coldstart.analyse.cells import summarise, total_share
from coldstart.analyse.frames import by_cell
from coldstart.model.cell import Tier
from coldstart.model.timeline import ADDENDS
from tests.unit.factories import MS, make_cell
from tests.unit.tidy import failed, frame, row, starts

WARM = make_cell(tier=Tier.WARM)


def test_a_failed_trial_is_counted_and_never_averaged() -> None:
    (cell,) = summarise(frame([*starts(WARM, 100, 100), failed(WARM, 2, e2e_ns=9_000 * MS)]))
    assert (cell.ok, cell.failed, cell.phases["e2e_ns"].mean.value) == (2, 1, 100 * MS)


def test_outcomes_are_counted_by_name() -> None:
    rows = [*starts(WARM, 100), failed(WARM, 1, "not_cold"), failed(WARM, 1, "exited"), failed(WARM, 1, "not_quiet")]
    (cell,) = summarise(frame(rows))
    assert (cell.outcomes, cell.requeued, cell.failed) == (
        {"exited": 1, "not_cold": 1, "not_quiet": 1, "ok": 1},
        2,
        1,
    )


def test_rows_of_warm_up_blocks_are_left_out() -> None:
    (cell,) = summarise(frame([row(WARM, 0, 900 * MS, warmup=True), *starts(WARM, 100, 100)]))
    assert (cell.attempts, cell.phases["e2e_ns"].mean.value) == (2, 100 * MS)


@pytest.mark.parametrize(("requeued", "contaminated"), [(1, False), (2, True)])
def test_more_than_a_tenth_requeued_contaminates(requeued: int, contaminated: bool) -> None:
    rows = [*starts(WARM, *[100] * (10 - requeued)), *[failed(WARM, 9, "not_quiet")] * requeued]
    (cell,) = summarise(frame(rows))
    assert cell.contaminated is contaminated


def test_shares_of_the_addends_add_up_to_one() -> None:
    rows = [
        row(WARM, 0, 100, pull_ns=0, create_ns=20, init_ns=50, readiness_ns=20, gap_ns=10),
        row(WARM, 1, 300, pull_ns=200, create_ns=40, init_ns=30, readiness_ns=20, gap_ns=10),
    ]
    (cell,) = summarise(frame(rows))
    assert sum(cell.phases[column].share for column in ADDENDS) == pytest.approx(1)


def test_a_share_is_total_over_total() -> None:
    (cell,) = summarise(frame([row(WARM, 0, 100, init_ns=50), row(WARM, 1, 300, init_ns=30)]))
    assert cell.share("init_ns") == pytest.approx(80 / 400)


def test_a_share_divides_by_the_starts_that_observed_the_phase() -> None:
    table = frame([row(WARM, 0, 100, unpack_ns=50), row(WARM, 1, 900)])
    assert total_share(table, "unpack_ns") == pytest.approx(0.5)


def test_a_phase_nobody_observed_is_none() -> None:
    (cell,) = summarise(frame(starts(WARM, 100)))
    assert (cell.median("unpack_ns"), cell.share("unpack_ns")) == (None, None)


def test_a_cell_without_a_timing_has_no_phases() -> None:
    (cell,) = summarise(frame([failed(WARM)]))
    assert (cell.ok, cell.phases, cell.resolution_ns) == (0, {}, None)


def test_the_coarsest_resolution_is_the_cells() -> None:
    rows = [row(WARM, 0, probe_resolution_ns=MS), row(WARM, 1, probe_resolution_ns=3 * MS)]
    assert summarise(frame(rows))[0].resolution_ns == 3 * MS


def test_of_starts_that_version_0_1_stored_the_resolution_is_the_bound_it_kept() -> None:
    rows = [row(WARM, 0, readiness_resolution_ns=MS), row(WARM, 1, readiness_resolution_ns=3 * MS)]
    assert summarise(frame(rows))[0].resolution_ns == 3 * MS


def test_median_quartiles_and_interval_are_of_the_phase() -> None:
    (cell,) = summarise(frame(starts(WARM, 1, 2, 3, 4, 5, 6)))
    e2e = cell.phases["e2e_ns"]
    assert (e2e.q1, e2e.median.value, e2e.q3, e2e.median.lower) == (2.25 * MS, 3.5 * MS, 4.75 * MS, MS)


def test_cells_come_coldest_first_then_largest_image_then_runtime() -> None:
    small, large = make_cell(variant="alpine"), make_cell(variant="single-stage")
    rows = [
        row(WARM),
        row(small, image_unpacked_bytes=7),
        row(make_cell(variant="single-stage", runtime="crun"), image_unpacked_bytes=600),
        row(large, image_unpacked_bytes=600),
    ]
    keys = [(cell.variant, cell.runtime, cell.tier) for cell, _ in by_cell(frame(rows))]
    assert keys == [
        ("single-stage", "crun", "absent"),
        ("single-stage", "runc", "absent"),
        ("alpine", "runc", "absent"),
        ("alpine", "runc", "warm"),
    ]


def test_an_empty_frame_has_no_cells() -> None:
    assert summarise(frame([])) == ()


def test_a_trial_that_nobody_observed_is_no_failure() -> None:
    rows = [row(), *(failed(outcome=outcome) for outcome in ("exited", "unobserved", "harness_failed"))]
    (cell,) = summarise(frame(rows))
    assert (cell.attempts, cell.ok, cell.failed, cell.unseen, cell.requeued) == (4, 1, 1, 2, 0)
