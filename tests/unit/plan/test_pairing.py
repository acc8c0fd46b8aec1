"""Two contenders' cells and the order of their starts."""

from __future__ import annotations

import pytest

from coldstart.errors import UsageError
from coldstart.model.cell import CellPair, Network, Side, Tier
from coldstart.plan.pairing import pair_cells, paired_block, paired_blocks
from tests.unit.factories import make_cell, make_experiment

COLD, WARM = make_cell(), make_cell(tier=Tier.WARM)
PAIRS = (
    CellPair(baseline=COLD, candidate=make_cell(variant="scratch")),
    CellPair(baseline=WARM, candidate=make_cell(variant="scratch", tier=Tier.WARM)),
)


def test_cells_are_paired_in_their_order() -> None:
    both = {"tier": (Tier.ABSENT, Tier.WARM)}
    pairs = pair_cells(make_experiment(**both), make_experiment(variant=("scratch",), **both))
    assert pairs == PAIRS


def test_another_number_of_cells_is_refused() -> None:
    with pytest.raises(UsageError, match="the baseline has 1 cells and the candidate 2"):
        pair_cells(make_experiment(), make_experiment(runtime=("runc", "crun")))


@pytest.mark.parametrize(
    ("factor", "level"), [("tier", (Tier.WARM,)), ("network", (Network.HOST,)), ("engine", ("fake",))]
)
def test_a_pair_that_would_differ_in_what_it_is_measured_under_is_refused(factor: str, level: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=f"have to have the same {factor}"):
        pair_cells(make_experiment(), make_experiment(**{factor: level}))


def test_a_block_starts_both_sides_of_every_pair_next_to_one_another() -> None:
    for block in paired_blocks(PAIRS, 20, seed=1):
        assert [trial.position for trial in block] == [0, 1, 2, 3]
        assert {(trial.side, trial.cell) for trial in block} == {
            (side, pair.of(side)) for pair in PAIRS for side in Side
        }
        for first, second in (block[:2], block[2:]):
            assert {first.side, second.side} == set(Side)
            assert first.cell.tier is second.cell.tier


def test_of_two_consecutive_blocks_each_pair_has_both_orders() -> None:
    blocks = list(paired_blocks(PAIRS, 40, seed=3))
    for even, odd in zip(blocks[::2], blocks[1::2], strict=True):
        for pair in PAIRS:
            firsts = [
                next(trial.side for trial in block if trial.cell in {pair.baseline, pair.candidate})
                for block in (even, odd)
            ]
            assert set(firsts) == set(Side)


def begins(seed: int, tier: Tier = Tier.ABSENT) -> list[Side | None]:
    """Which side of that tier's pair each of 200 couples of blocks begins with."""
    blocks = list(paired_blocks(PAIRS, 400, seed=seed))
    return [next(trial.side for trial in block if trial.cell.tier is tier) for block in blocks[::2]]


def test_which_side_begins_a_couple_of_blocks_is_random() -> None:
    assert 70 <= begins(5).count(Side.BASELINE) <= 130


def test_which_side_begins_follows_from_the_seed() -> None:
    assert begins(5) != begins(6)


def test_pairs_do_not_begin_with_the_same_side() -> None:
    same = [a is b for a, b in zip(begins(5), begins(5, Tier.WARM), strict=True)]
    assert 70 <= sum(same) <= 130


def leads(seed: int) -> list[Tier]:
    return [block[0].cell.tier for block in paired_blocks(PAIRS, 400, seed=seed)]


def test_the_order_of_pairs_is_random() -> None:
    assert 150 <= leads(5).count(Tier.ABSENT) <= 250


def test_the_order_of_pairs_follows_from_the_seed() -> None:
    assert leads(5) != leads(6)


def test_a_block_depends_on_its_number_and_the_seed_only() -> None:
    blocks = list(paired_blocks(PAIRS, 10, seed=7, warmup=2))
    assert [paired_block(PAIRS, 7, number, 2) for number in reversed(range(12))] == blocks[::-1]
    assert blocks != list(paired_blocks(PAIRS, 10, seed=8, warmup=2))


def test_warm_up_blocks_come_first_and_unbalance_nothing() -> None:
    blocks = list(paired_blocks(PAIRS[:1], 4, seed=2, warmup=1))
    assert [block[0].warmup for block in blocks] == [True, False, False, False, False]
    firsts = [block[0].side for block in blocks[1:]]
    assert {firsts[0], firsts[1]} == {firsts[2], firsts[3]} == set(Side)


def test_a_start_against_itself_is_a_pair_of_one_cell() -> None:
    (block,) = paired_blocks((CellPair(baseline=COLD, candidate=COLD),), 1, seed=1)
    assert [trial.cell for trial in block] == [COLD, COLD]
    assert {trial.side for trial in block} == set(Side)
