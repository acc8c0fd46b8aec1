"""Two experiments to a schedule of pairs: which cells are held against one another, and in which order they start."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from coldstart.errors import UsageError
from coldstart.model.cell import Cell, CellPair, Side, Trial
from coldstart.model.experiment import Experiment
from coldstart.plan.schedule import cells

_SAME = ("tier", "network", "engine")
_SIDES = (Side.BASELINE, Side.CANDIDATE)


def pair_cells(baseline: Experiment, candidate: Experiment) -> tuple[CellPair, ...]:
    """The cells of one against those of the other, in their order.

    Tier, network and engine have to be the same in each pair: between others a difference would say nothing about the
    contenders.

    Raises:
        UsageError: they have not the same number of cells, or a pair differs in one of these.
    """
    ours, theirs = cells(baseline), cells(candidate)
    if len(ours) != len(theirs):
        raise UsageError(
            f"the baseline has {len(ours)} cells and the candidate {len(theirs)}: name as many levels of each factor "
            "in both."
        )
    pairs = tuple(CellPair(baseline=a, candidate=b) for a, b in zip(ours, theirs, strict=True))
    for pair in pairs:
        for factor in _SAME:
            if getattr(pair.baseline, factor) != getattr(pair.candidate, factor):
                raise UsageError(f"{pair.key}: baseline and candidate have to have the same {factor}.")
    return pairs


def paired_blocks(pairs: Sequence[CellPair], blocks: int, seed: int, warmup: int = 0) -> Iterator[tuple[Trial, ...]]:
    """Block after block, both starts of every pair, the two of a pair next to one another.

    The order of pairs is random in each block. Within a pair, of two consecutive blocks one has the order baseline,
    candidate and one the reverse, which of them first at random: what the first start of two meets, and a drift from
    one start to the next, is shared evenly.
    """
    for block in range(warmup + blocks):
        yield paired_block(pairs, seed, block, warmup)


def paired_block(pairs: Sequence[CellPair], seed: int, block: int, warmup: int = 0) -> tuple[Trial, ...]:
    """The trials of one block in their order; the same for the same arguments, whatever was asked before."""
    order = list(range(len(pairs)))
    random.Random(f"{seed}/{block}").shuffle(order)  # noqa: S311  an order, not a secret
    counted = block - warmup
    trials: list[Trial] = []
    for index in order:
        first = random.Random(f"{seed}/{counted - counted % 2}/{index}").randrange(2)  # noqa: S311  as above
        sides = _SIDES if (first + counted) % 2 == 0 else _SIDES[::-1]
        trials += [
            _trial(block, len(trials) + place, pairs[index].of(side), side, warmup=block < warmup)
            for place, side in enumerate(sides)
        ]
    return tuple(trials)


def _trial(block: int, position: int, cell: Cell, side: Side, *, warmup: bool) -> Trial:
    return Trial(block=block, position=position, cell=cell, side=side, warmup=warmup)
