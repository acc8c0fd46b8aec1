"""Blocks: every cell once in each, in an order that is random, balanced and the same again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldstart.errors import UnknownNameError
from coldstart.model.cell import Network, Tier, Trial
from coldstart.plan.schedule import block_of, cells, check_levels, missing_variants, new_seed, schedule
from tests.unit.factories import make_experiment

EIGHT = make_experiment(runtime=("runc", "crun"), variant=("alpine", "scratch"), tier=(Tier.ABSENT, Tier.WARM), runs=5)
TWO = make_experiment(runtime=("runc", "crun"), runs=200)

# What any CPython has to give, or runs could not be repeated elsewhere.
KNOWN_ORDER = ["bac", "acb", "bca", "abc"]

seeds = st.integers(0, 2**64)


def blocks(experiment: Any, seed: int = 1) -> list[tuple[Trial, ...]]:
    return list(schedule(experiment, cells(experiment), seed))


def test_cells_are_the_full_crossing() -> None:
    full = make_experiment(
        engine=("docker", "fake"),
        runtime=("runc", "crun"),
        workload=("a", "b"),
        variant=("c", "d"),
        tier=tuple(Tier),
        network=tuple(Network),
    )
    assert len(set(cells(full))) == 2 * 2 * 2 * 2 * 3 * 3


def test_cells_come_in_the_order_the_levels_were_given() -> None:
    assert [cell.runtime for cell in cells(make_experiment(runtime=("zrun", "arun")))] == ["zrun", "arun"]


@given(seeds)
def test_every_block_has_every_cell_once(seed: int) -> None:
    for block in blocks(EIGHT, seed):
        assert Counter(trial.cell for trial in block) == Counter(cells(EIGHT))


def test_there_are_as_many_blocks_as_warm_ups_and_runs() -> None:
    assert len(blocks(make_experiment(runs=5, warmup=2))) == 7


def test_warm_up_blocks_come_first_and_are_marked() -> None:
    found = blocks(make_experiment(runs=2, warmup=3))
    assert [trial.warmup for block in found for trial in block] == [True, True, True, False, False]


def test_block_numbers_go_on_from_the_warm_ups() -> None:
    found = blocks(make_experiment(runs=2, warmup=3))
    assert [trial.block for block in found for trial in block] == [0, 1, 2, 3, 4]


def test_positions_count_from_zero_within_a_block() -> None:
    assert [trial.position for trial in blocks(EIGHT)[3]] == list(range(8))


def test_every_trial_is_a_first_attempt() -> None:
    assert {trial.attempt for block in blocks(EIGHT) for trial in block} == {0}


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert blocks(EIGHT, 7) == blocks(EIGHT, 7)


def test_another_seed_gives_another_schedule() -> None:
    assert blocks(EIGHT, 7) != blocks(EIGHT, 8)


def test_blocks_differ_in_their_order() -> None:
    assert len({tuple(trial.cell for trial in block) for block in blocks(EIGHT)}) == 5


@given(seeds, st.integers(0, 4))
def test_any_block_can_be_recomputed_alone(seed: int, block: int) -> None:
    assert block_of(EIGHT, cells(EIGHT), seed, block) == blocks(EIGHT, seed)[block]


def test_more_runs_do_not_reorder_the_first_ones() -> None:
    longer = make_experiment(runtime=EIGHT.runtime, variant=EIGHT.variant, tier=EIGHT.tier, runs=9)
    assert blocks(longer)[:5] == blocks(EIGHT)


def test_the_order_of_a_known_seed_stays_what_it_was() -> None:
    three = make_experiment(runtime=("a", "b", "c"), runs=4)
    assert ["".join(trial.cell.runtime for trial in block) for block in blocks(three, 20261124)] == KNOWN_ORDER


@pytest.mark.parametrize("warmup", [0, 1, 2])
def test_two_arms_are_balanced_within_each_pair_of_measured_blocks(warmup: int) -> None:
    experiment = make_experiment(runtime=("runc", "crun"), runs=40, warmup=warmup)
    first = [block[0].cell.runtime for block in blocks(experiment)][warmup:]
    assert all(one != other for one, other in zip(first[::2], first[1::2], strict=True))


def test_which_of_two_arms_begins_a_pair_is_random() -> None:
    begins = Counter(block[0].cell.runtime for block in blocks(TWO)[::2])
    assert 30 < begins["runc"] < 70


def test_every_cell_visits_every_position() -> None:
    many = make_experiment(runtime=("a", "b", "c"), runs=60)
    assert {(trial.cell.runtime, trial.position) for block in blocks(many) for trial in block} == {
        (runtime, position) for runtime in "abc" for position in range(3)
    }


def test_seeds_are_not_repeated() -> None:
    assert len({new_seed() for _ in range(20)}) == 20


def test_a_seed_fits_in_32_bits() -> None:
    assert all(0 <= new_seed() < 2**32 for _ in range(20))


KNOWN: dict[str, Any] = {
    "runtimes": ["runc", "crun"],
    "engines": ["docker"],
    "workloads": {"hello": ["alpine"], "other": ["slim"]},
}


def test_levels_that_exist_are_accepted() -> None:
    check_levels(make_experiment(), **KNOWN)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"engine": ("dokcer",)}, r"experiment article: unknown engine 'dokcer'; did you mean 'docker'\?"),
        ({"runtime": ("runc", "crunn")}, r"experiment article: unknown runtime 'crunn'; did you mean 'crun'\?"),
        ({"workload": ("helo",)}, r"experiment article: unknown workload 'helo'; did you mean 'hello'\?"),
        ({"variant": ("alpin",)}, r"unknown variant of workload hello 'alpin'; did you mean 'alpine'\?"),
        ({"workload": ("hello", "other")}, "unknown variant of workload other 'alpine'"),
    ],
)
def test_a_level_that_does_not_exist_is_answered_with_the_nearest(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        check_levels(make_experiment(**changes), **KNOWN)


def test_an_ad_hoc_image_is_not_looked_up_in_the_catalogue() -> None:
    check_levels(make_experiment(image="x:1", workload=("x",), variant=("1",)), **KNOWN)


def test_an_ad_hoc_images_runtime_is_looked_up() -> None:
    with pytest.raises(UnknownNameError, match="unknown runtime 'zrun'"):
        check_levels(make_experiment(image="x:1", runtime=("zrun",)), **KNOWN)


SHARED: dict[str, Any] = {**KNOWN, "workloads": {"hello": ["alpine", "scratch"], "other": ["slim", "scratch"]}}


def test_a_variant_that_one_of_the_workloads_has_is_accepted() -> None:
    check_levels(make_experiment(workload=("hello", "other"), variant=("alpine", "scratch")), **SHARED)


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        (("alpin", "scratch"), r"unknown variant 'alpin'; did you mean 'alpine'\?"),
        (("alpine",), "unknown variant of workload other 'alpine'"),
    ],
)
def test_a_variant_without_a_workload_or_a_workload_without_a_variant_is_refused(
    variant: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UnknownNameError, match=message):
        check_levels(make_experiment(workload=("hello", "other"), variant=variant), **SHARED)


def test_the_pairs_that_do_not_exist_are_found() -> None:
    experiment = make_experiment(workload=("hello", "other"), variant=("alpine", "slim", "scratch"))
    assert missing_variants(experiment, SHARED["workloads"]) == (("hello", "slim"), ("other", "alpine"))


def test_an_ad_hoc_image_misses_nothing() -> None:
    assert missing_variants(make_experiment(image="x:1", workload=("x",), variant=("1",)), SHARED["workloads"]) == ()


def test_pairs_that_are_missing_have_no_cells() -> None:
    experiment = make_experiment(
        workload=("hello", "other"), variant=("alpine", "slim"), missing=(("hello", "slim"), ("other", "alpine"))
    )
    assert {cell.image_key for cell in cells(experiment)} == {("hello", "alpine"), ("other", "slim")}
