"""Who is faster: cells of one run against one another, paired by block within a tier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec
import numpy as np
import pandas as pd

from coldstart.analyse import frames
from coldstart.analyse.cells import CellSummary
from coldstart.analyse.compare import paired_effect, paired_ratio
from coldstart.analyse.estimate import Estimate
from coldstart.model.cell import Cell

BlockTimes: TypeAlias = "dict[Cell, pd.Series[float]]"


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """The cells of one tier (and engine, workload, network), fastest median first.

    ``ratios[i]`` is how many times as long as ``cells[0]`` the cell ``cells[i + 1]`` takes, ``None`` where they share
    no block. The fastest was chosen after looking: each interval holds for its pair alone.
    """

    cells: tuple[CellSummary, ...]
    ratios: tuple[Estimate | None, ...]


class FactorRatio(msgspec.Struct, frozen=True, kw_only=True):
    """How many times as long starts take at ``level`` of a factor as at ``reference``, all other factors equal.

    ``tier`` names the tier; ``over`` is the number of combinations of the other factors it averages over.
    """

    factor: str
    level: str
    reference: str
    tier: str
    over: int
    ratio: Estimate


def block_times(frame: pd.DataFrame, column: str = "e2e_ns") -> BlockTimes:
    """What each cell took in each block that timed it, in one pass over a tidy frame."""
    groups = frames.by_cell(frames.timed(frame))
    return {cell: rows.dropna(subset=[column]).groupby("block")[column].last() for cell, rows in groups}


def cell_ratio(times: BlockTimes, cell: Cell, against: Cell) -> Estimate | None:
    """How many times as long ``cell`` takes as ``against``; ``None`` if no block timed both.

    Raises:
        ValueError: a value is not positive.
    """
    if cell not in times or against not in times:
        return None
    pairs = pd.concat([times[against], times[cell]], axis=1, join="inner")
    if pairs.empty:
        return None
    return paired_ratio(pairs.iloc[:, 0].to_numpy(dtype=np.float64), pairs.iloc[:, 1].to_numpy(dtype=np.float64))


def rank(frame: pd.DataFrame, summaries: Sequence[CellSummary]) -> tuple[Ranking, ...]:
    """A ranking for each tier with at least two timed cells, coldest tier first."""
    groups: dict[tuple[str, ...], list[CellSummary]] = {}
    for summary in summaries:
        if summary.ok:
            cell = summary.cell
            groups.setdefault((cell.tier, cell.engine, cell.workload, cell.network), []).append(summary)
    times = block_times(frame)
    return tuple(_ranking(times, group) for group in groups.values() if len(group) > 1)


def factor_ratios(frame: pd.DataFrame, factor: str) -> tuple[FactorRatio, ...]:
    """Per tier, every level of ``factor`` against the level whose starts are fastest there.

    In each block the logarithms' differences are averaged over the combinations of the other factors that were timed
    at both levels; the block averages are then one sample of a paired comparison.
    """
    others = [column for column in frames.CELL_COLUMNS if column != factor]
    rows = frames.timed(frame)
    logs = rows.assign(log_e2e=np.log(rows["e2e_ns"].to_numpy(dtype=np.float64)))
    found: list[FactorRatio] = []
    for tier in frames.TIER_ORDER:
        of_tier = logs[logs["tier"] == tier.value]
        table = of_tier.pivot_table(index=["block", *others], columns=factor, values="log_e2e", aggfunc="last")
        found += _ratios_of_tier(table, factor, tier.value, others)
    return tuple(found)


def _ratios_of_tier(table: pd.DataFrame, factor: str, tier: str, others: list[str]) -> list[FactorRatio]:
    if len(table.columns) < 2:
        return []
    complete = table.dropna()
    reference = str((complete if len(complete) else table).mean().idxmin())
    found = []
    for level in (str(name) for name in table.columns if name != reference):
        differences = (table[level] - table[reference]).dropna()
        if differences.empty:
            continue
        per_block = differences.groupby(level="block").mean()
        found.append(
            FactorRatio(
                factor=factor,
                level=level,
                reference=reference,
                tier=tier,
                over=len(differences.reset_index()[others].drop_duplicates()),
                ratio=paired_effect(per_block.to_numpy(dtype=np.float64)),
            )
        )
    return found


def _ranking(times: BlockTimes, group: list[CellSummary]) -> Ranking:
    ordered = sorted(group, key=lambda summary: summary.phases["e2e_ns"].median.value)
    best = ordered[0].cell
    return Ranking(
        cells=tuple(ordered),
        ratios=tuple(cell_ratio(times, summary.cell, best) for summary in ordered[1:]),
    )
