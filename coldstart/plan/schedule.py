"""An experiment to its seeded, blocked schedule.

A block is one start of every cell, in random order, so that what drifts over a run is shared by all cells alike.
The order of a block depends on the seed and the block's number only: a run that goes on recomputes any block without
the ones before it. It is reproducible as far as `random.Random` is: seeding with a string and ``shuffle`` have
given the same order in every CPython since 3.2.
"""

from __future__ import annotations

import itertools
import random
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence

from coldstart.errors import UnknownNameError, UsageError
from coldstart.model.cell import Cell, Trial
from coldstart.model.experiment import Experiment


def new_seed() -> int:
    """A seed nobody chose: 32 random bits, short enough to type again."""
    return secrets.randbits(32)


def cells(experiment: Experiment) -> tuple[Cell, ...]:
    """The full crossing of the experiment's factors, the first factor slowest, but for pairs that are missing.

    Raises:
        UsageError: a factor without levels: an ad hoc image that was not taken in yet.
    """
    for factor in ("engine", "runtime", "workload", "variant", "tier", "network"):
        if not getattr(experiment, factor):
            raise UsageError(f"experiment {experiment.name!r} has no {factor}; name at least one.")
    return tuple(
        Cell(engine=engine, runtime=runtime, workload=workload, variant=variant, tier=tier, network=network)
        for engine, runtime, workload, variant, tier, network in itertools.product(
            experiment.engine,
            experiment.runtime,
            experiment.workload,
            experiment.variant,
            experiment.tier,
            experiment.network,
        )
        if (workload, variant) not in experiment.missing
    )


def schedule(experiment: Experiment, cells: Sequence[Cell], seed: int) -> Iterator[tuple[Trial, ...]]:
    """Block after block, each a trial of every cell; warm-up blocks first, block numbers going on from them.

    For exactly two cells A and B, each pair of consecutive blocks has one in the order A, B and one in B, A.
    """
    for block in range(experiment.warmup + experiment.runs):
        yield block_of(experiment, cells, seed, block)


def block_of(experiment: Experiment, cells: Sequence[Cell], seed: int, block: int) -> tuple[Trial, ...]:
    """The trials of one block, in their order; the same for the same arguments, whatever was asked before."""
    is_warmup = block < experiment.warmup
    # Pairs are counted from the first measured block on, so that warm-up blocks unbalance nothing.
    second_of_pair = (block if is_warmup else block - experiment.warmup) % 2 if len(cells) == 2 else 0
    order = list(cells)
    random.Random(f"{seed}/{block - second_of_pair}").shuffle(order)  # noqa: S311  an order, not a secret
    if second_of_pair:
        order.reverse()
    return tuple(
        Trial(block=block, position=position, cell=cell, warmup=is_warmup) for position, cell in enumerate(order)
    )


def check_levels(
    experiment: Experiment,
    *,
    runtimes: Iterable[str],
    engines: Iterable[str],
    workloads: Mapping[str, Iterable[str]],
) -> None:
    """Refuse levels that this machine or catalogue does not have.

    ``workloads`` maps each workload to its variants; an ad hoc image's own names are not looked up in it. Not every
    workload needs every variant (`missing_variants`), but each needs one of them, and each of them a workload.

    Raises:
        UnknownNameError: the first unknown one, with the nearest name.
    """
    where = f"experiment {experiment.name}"
    _require("engine", experiment.engine, engines, where)
    _require("runtime", experiment.runtime, runtimes, where)
    if experiment.image is not None:
        return
    _require("workload", experiment.workload, workloads, where)
    for workload in experiment.workload:
        if not set(experiment.variant) & set(workloads[workload]):
            _require(f"variant of workload {workload}", experiment.variant, workloads[workload], where)
    offered = {variant for workload in experiment.workload for variant in workloads[workload]}
    kind = f"variant of workload {experiment.workload[0]}" if len(experiment.workload) == 1 else "variant"
    _require(kind, experiment.variant, offered, where)


def missing_variants(experiment: Experiment, workloads: Mapping[str, Iterable[str]]) -> tuple[tuple[str, str], ...]:
    """The pairs of the experiment's workloads and variants that do not exist; none for an ad hoc image."""
    if experiment.image is not None:
        return ()
    return tuple(
        (workload, variant)
        for workload in experiment.workload
        for variant in experiment.variant
        if variant not in workloads[workload]
    )


def _require(kind: str, levels: Iterable[str], known: Iterable[str], where: str) -> None:
    names = tuple(known)
    for level in levels:
        if level not in names:
            raise UnknownNameError(kind, level, names, where)
