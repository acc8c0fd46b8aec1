"""Contrasts: pairs are of one block, one tier, and differ in one factor."""

from __future__ import annotations

import pytest

from coldstart.analyse.cells import summarise
from coldstart.analyse.contrasts import block_times, cell_ratio, factor_ratios, rank
from coldstart.model.cell import Tier
from tests.unit.factories import MS, make_cell
from tests.unit.tidy import failed, frame, row, starts

RUNC = make_cell(tier=Tier.WARM, runtime="runc")
CRUN = make_cell(tier=Tier.WARM, runtime="crun")


def test_a_ratio_pairs_starts_of_the_same_block_whatever_their_order() -> None:
    rows = starts(RUNC, 100, 200, 400) + list(reversed(starts(CRUN, 50, 100, 200)))
    found = cell_ratio(block_times(frame(rows)), CRUN, RUNC)
    assert found is not None
    assert (round(found.value, 9), found.n) == (0.5, 3)


def test_a_block_that_timed_only_one_cell_makes_no_pair() -> None:
    rows = [*starts(RUNC, 100, 100), row(CRUN, 0, 50 * MS), failed(CRUN, 1)]
    found = cell_ratio(block_times(frame(rows)), CRUN, RUNC)
    assert found is not None
    assert found.n == 1


def test_cells_that_share_no_block_have_no_ratio() -> None:
    assert cell_ratio(block_times(frame([row(RUNC, 0), row(CRUN, 1)])), CRUN, RUNC) is None


def test_a_ratio_can_be_of_any_phase() -> None:
    rows = [row(RUNC, init_ns=40), row(CRUN, init_ns=10)]
    found = cell_ratio(block_times(frame(rows), "init_ns"), CRUN, RUNC)
    assert found is not None
    assert found.value == pytest.approx(0.25)


def test_a_ranking_starts_with_the_fastest_and_compares_the_rest_with_it() -> None:
    table = frame([*starts(RUNC, *[120] * 6), *starts(CRUN, *[100] * 6)])
    (found,) = rank(table, summarise(table))
    assert [summary.cell for summary in found.cells] == [CRUN, RUNC]
    assert found.ratios[0] is not None
    assert found.ratios[0].value == pytest.approx(1.2)


def test_tiers_are_never_ranked_together() -> None:
    table = frame([*starts(RUNC, 100), *starts(make_cell(tier=Tier.ABSENT), 900)])
    assert rank(table, summarise(table)) == ()


def test_a_cell_without_timings_is_not_ranked() -> None:
    table = frame([*starts(RUNC, 100), failed(CRUN)])
    assert rank(table, summarise(table)) == ()


def test_a_factor_is_compared_over_all_levels_of_the_others() -> None:
    rows = []
    for variant, base in (("alpine", 100), ("slim", 400)):
        rows += starts(make_cell(tier=Tier.WARM, variant=variant, runtime="runc"), *[base * 2] * 6)
        rows += starts(make_cell(tier=Tier.WARM, variant=variant, runtime="crun"), *[base] * 6)
    (found,) = factor_ratios(frame(rows), "runtime")
    assert (found.level, found.reference, found.over, found.ratio.n) == ("runc", "crun", 2, 6)
    assert found.ratio.value == pytest.approx(2)


def test_a_combination_timed_at_one_level_only_does_not_bend_the_factor() -> None:
    slow_only = make_cell(tier=Tier.WARM, variant="huge", runtime="runc")
    rows = [*starts(RUNC, 110, 110), *starts(CRUN, 100, 100), *starts(slow_only, 9_000, 9_000)]
    (found,) = factor_ratios(frame(rows), "runtime")
    assert found.ratio.value == pytest.approx(1.1)


def test_each_tier_has_its_own_factor_ratio() -> None:
    rows = []
    for tier in (Tier.WARM, Tier.ABSENT):
        rows += starts(make_cell(tier=tier, runtime="runc"), 120) + starts(make_cell(tier=tier, runtime="crun"), 100)
    assert [ratio.tier for ratio in factor_ratios(frame(rows), "runtime")] == ["absent", "warm"]


def test_levels_that_share_no_block_have_no_ratio() -> None:
    assert factor_ratios(frame([row(RUNC, 0), row(CRUN, 1)]), "runtime") == ()


def test_one_level_is_no_factor() -> None:
    assert factor_ratios(frame(starts(RUNC, 100)), "runtime") == ()
