"""What every analysis asks of the tidy frame (one row per sample, see `coldstart.store.frames`)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coldstart.model.cell import Cell, Network, Tier
from coldstart.model.sample import Outcome
from coldstart.model.timeline import ADDENDS, PULL_PARTS

CELL_COLUMNS = ("engine", "runtime", "workload", "variant", "tier", "network")
TIER_ORDER = tuple(Tier)
INSIDE_PULL = ("download_ns", "unpack_ns", "register_ns")
PHASE_COLUMNS = ("e2e_ns", *ADDENDS, *INSIDE_PULL, *PULL_PARTS, "unattributed_ns")


def planned(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows that count: those of warm-up blocks, declared before the run, do not."""
    return frame[~frame["warmup"].astype(bool)]


def timed(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows that are timings: ``ok`` and not of a warm-up block."""
    return planned(frame).loc[lambda rows: rows["outcome"] == Outcome.OK.value]


def by_cell(frame: pd.DataFrame) -> Iterator[tuple[Cell, pd.DataFrame]]:
    """The rows of each cell: tiers coldest first, then engine, network and workload, largest image first, runtime."""
    groups = [(_cell(key), rows) for key, rows in frame.groupby(list(CELL_COLUMNS), sort=True, dropna=False)]
    yield from sorted(groups, key=lambda group: _rank(*group))


def of_cell(frame: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    """The rows of one cell."""
    chosen = pd.Series(data=True, index=frame.index)
    for factor in CELL_COLUMNS:
        chosen &= frame[factor] == str(getattr(cell, factor))
    return frame[chosen]


def values(rows: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """What was observed of ``column``, in row order; empty if nothing was."""
    return rows[column].dropna().to_numpy(dtype=np.float64)


def resolutions(rows: pd.DataFrame) -> pd.Series:
    """What the readiness probe could not see before each start became ready, ns; NA where nobody polled.

    Of starts that version 0.1 stored it is an upper bound: its number holds what the app took to answer, too.
    """
    return rows["probe_resolution_ns"].fillna(rows["readiness_resolution_ns"])


def largest(rows: pd.DataFrame, column: str) -> int | None:
    """The largest observed value of an integer column."""
    seen = rows[column].dropna()
    return int(seen.max()) if len(seen) else None


def _cell(key: object) -> Cell:
    engine, runtime, workload, variant, tier, network = (str(part) for part in key)  # type: ignore[attr-defined]
    return Cell(
        engine=engine,
        runtime=runtime,
        workload=workload,
        variant=variant,
        tier=Tier(tier),
        network=Network(network),
    )


def _rank(cell: Cell, rows: pd.DataFrame) -> tuple[object, ...]:
    image_bytes = largest(rows, "image_unpacked_bytes") or largest(rows, "image_compressed_bytes") or 0
    return (
        TIER_ORDER.index(cell.tier),
        cell.engine,
        cell.network,
        cell.workload,
        -image_bytes,
        cell.variant,
        cell.runtime,
    )
