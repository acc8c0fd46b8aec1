"""A repeated run held against the first one, on rows made by hand."""

from __future__ import annotations

import msgspec
import pytest

from coldstart.analyse.repeat import Agreement, Repetition, repetition
from coldstart.model.cell import Tier
from coldstart.model.run import RunManifest
from tests.unit import tidy
from tests.unit.factories import MS, make_cell, make_image, make_manifest

CELL = make_cell()
TIMES_MS = (100.0, 101.0, 102.0, 103.0, 104.0, 105.0)


def repeated(factor: float, *, now: RunManifest | None = None, n: int = 6) -> Repetition:
    """The same cell, its times multiplied."""
    times = [factor * value for value in TIMES_MS[:n]]
    first, second = tidy.frame(tidy.starts(CELL, *TIMES_MS)), tidy.frame(tidy.starts(CELL, *times))
    return repetition(make_manifest(), first, now or make_manifest(), second)


@pytest.mark.parametrize(
    ("factor", "agreement"), [(1.0, Agreement.AGREES), (1.5, Agreement.SLOWER), (0.5, Agreement.FASTER)]
)
def test_a_cell_agrees_unless_the_interval_of_its_ratio_is_on_one_side_of_1(
    factor: float, agreement: Agreement
) -> None:
    (line,) = repeated(factor).cells
    assert (line.agreement, line.reason) == (agreement, None)


def test_a_cell_has_its_median_then_and_now() -> None:
    (line,) = repeated(2.0).cells
    assert line.then_ns is not None
    assert line.now_ns is not None
    assert (line.then_ns.value, line.now_ns.value) == (102.5 * MS, 205 * MS)


def test_too_few_starts_for_an_interval_decide_nothing() -> None:
    (line,) = repeated(9.0, n=1).cells
    assert line.agreement is Agreement.UNDECIDED


def test_a_cell_that_only_one_run_timed_is_not_comparable_and_says_which() -> None:
    other = make_cell(variant="scratch")
    first = tidy.frame(tidy.starts(CELL, *TIMES_MS))
    second = tidy.frame([tidy.failed(CELL), *tidy.starts(other, *TIMES_MS)])
    lines = repetition(make_manifest(), first, make_manifest(), second).cells
    assert {line.cell: (line.agreement, line.reason) for line in lines} == {
        CELL: (Agreement.NOT_COMPARABLE, "not timed here"),
        other: (Agreement.NOT_COMPARABLE, "not timed then"),
    }


def test_cells_that_were_not_started_again_are_counted_only() -> None:
    first = tidy.frame([*tidy.starts(CELL, *TIMES_MS), *tidy.starts(make_cell(variant="scratch"), *TIMES_MS)])
    second = tidy.frame(tidy.starts(CELL, *TIMES_MS))
    found = repetition(make_manifest(), first, make_manifest(), second)
    assert ([line.cell for line in found.cells], found.not_started) == ([CELL], 1)


def test_another_image_under_the_same_name_is_not_comparable_but_its_ratio_is_told() -> None:
    image = make_image(CELL.workload, CELL.variant)
    other = msgspec.structs.replace(image, image_id="sha256:other")
    first = tidy.frame(tidy.starts(CELL, *TIMES_MS))
    found = repetition(make_manifest(images=(image,)), first, make_manifest(images=(other,)), first)
    (line,) = found.cells
    assert (line.agreement, line.reason, line.ratio is None) == (Agreement.NOT_COMPARABLE, "another image", False)
    assert any(difference.endswith("sha256:other now") for difference in found.differences)


@pytest.mark.parametrize(("tier", "comparable"), [(Tier.ABSENT, False), (Tier.WARM, True)])
def test_an_image_compressed_otherwise_is_another_pull_and_the_same_start(tier: Tier, comparable: bool) -> None:
    cell = make_cell(tier=tier)
    image = make_image(cell.workload, cell.variant)
    other = msgspec.structs.replace(image, digest="sha256:other")
    first = tidy.frame(tidy.starts(cell, *TIMES_MS))
    found = repetition(make_manifest(images=(image,)), first, make_manifest(images=(other,)), first)
    assert (found.cells[0].reason is None) is comparable
    assert [difference.partition(":")[0] for difference in found.differences] == ["manifest of image hello/alpine"]


def test_what_is_as_it_was_is_no_difference() -> None:
    assert repeated(1.0).differences == ()


def test_another_engine_is_named_and_refuses_nothing() -> None:
    manifest = make_manifest()
    now = msgspec.structs.replace(manifest, engine=msgspec.structs.replace(manifest.engine, version="99"))
    found = repeated(1.0, now=now)
    assert [difference.split(":")[0] for difference in found.differences] == ["engine"]
    assert found.cells[0].agreement is Agreement.AGREES
