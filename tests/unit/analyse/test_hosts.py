"""Hosts side by side: the cells they share, medians and unpaired ratios to the first."""

from __future__ import annotations

import pytest

from coldstart.analyse.compare import unpaired_ratio
from coldstart.analyse.hosts import HostPhase, side_by_side
from coldstart.errors import UsageError
from coldstart.model.cell import Tier
from tests.unit import tidy
from tests.unit.factories import MS, make_cell

WARM, COLD = make_cell(tier=Tier.WARM), make_cell()
PI = tidy.starts(WARM, 100, 101, 102, 103, 104, 105)
JETSON = tidy.starts(WARM, 50, 51, 52, 53, 54, 55)


def phase(found: tuple[HostPhase, ...], column: str = "e2e_ns") -> HostPhase:
    (only,) = (one for one in found if one.column == column)
    return only


def test_the_cells_that_two_hosts_timed_are_compared_with_the_first_host() -> None:
    pi, jetson = tidy.frame([*PI, *tidy.starts(COLD, 900)]), tidy.frame(JETSON)
    found = side_by_side({"pi": [pi], "jetson": [jetson]})
    assert found.hosts == ("pi", "jetson")
    assert {one.cell for one in found.phases} == {WARM}
    e2e = phase(found.phases)
    assert [median.value for median in e2e.medians if median] == [102.5 * MS, 52.5 * MS]
    assert e2e.ratios == (None, unpaired_ratio([row["e2e_ns"] for row in PI], [row["e2e_ns"] for row in JETSON]))


def test_a_phase_that_took_no_time_has_medians_but_no_ratio() -> None:
    pull = phase(side_by_side({"a": [tidy.frame(PI)], "b": [tidy.frame(JETSON)]}).phases, "pull_ns")
    assert pull.ratios == (None, None)
    assert [median.value for median in pull.medians if median] == [0, 0]


def test_a_phase_that_only_one_host_tells_is_left_out() -> None:
    pi = tidy.frame([{**row, "unpack_ns": 5 * MS} for row in PI])
    found = side_by_side({"a": [pi], "b": [tidy.frame(JETSON)]})
    assert "unpack_ns" not in {one.column for one in found.phases}


def test_a_host_that_lacks_a_cell_of_two_others_has_a_gap_there() -> None:
    hosts = {"a": [tidy.frame(tidy.starts(COLD, 900))], "b": [tidy.frame(PI)], "c": [tidy.frame(JETSON)]}
    e2e = phase(side_by_side(hosts).phases)
    assert [median is None for median in e2e.medians] == [True, False, False]
    assert e2e.ratios == (None, None, None)


def test_several_runs_of_a_host_are_taken_together() -> None:
    halves = [tidy.frame(PI[:3]), tidy.frame(PI[3:])]
    found = side_by_side({"a": halves, "b": [tidy.frame(JETSON)]})
    median = phase(found.phases).medians[0]
    assert median is not None
    assert (median.n, median.value) == (6, 102.5 * MS)


def test_throttled_starts_are_counted_for_each_host_and_never_averaged() -> None:
    hot = tidy.frame([*PI, tidy.failed(WARM, 7, "throttled"), tidy.failed(WARM, 8, "throttled")])
    found = side_by_side({"a": [hot], "b": [tidy.frame(JETSON)]})
    assert found.throttled == (2, 0)
    median = phase(found.phases).medians[0]
    assert median is not None
    assert median.n == 6


def test_hosts_without_a_common_cell_are_refused_with_what_each_has() -> None:
    with pytest.raises(UsageError, match="no cell in common") as told:
        side_by_side({"a": [tidy.frame(PI)], "b": [tidy.frame(tidy.starts(COLD, 900))]})
    assert f"a: {WARM.key}; b: {COLD.key}" in str(told.value)


def test_a_host_with_nothing_ok_has_no_cell_at_all() -> None:
    with pytest.raises(UsageError, match="b: none"):
        side_by_side({"a": [tidy.frame(PI)], "b": [tidy.frame([tidy.failed(WARM, 0)])]})
