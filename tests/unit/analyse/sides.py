"""Rows of runs in which a baseline and a candidate start side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pandas as pd

from coldstart.model.cell import Cell, CellPair, Side, Tier
from tests.unit import tidy
from tests.unit.factories import MS, make_cell

WARM = make_cell(tier=Tier.WARM, variant="main")
PAIR = CellPair(baseline=WARM, candidate=msgspec.structs.replace(WARM, variant="pr"))
AA = CellPair(baseline=WARM, candidate=WARM)


def absent(pair: CellPair = PAIR) -> CellPair:
    """The pair in tier absent."""
    return CellPair(
        baseline=msgspec.structs.replace(pair.baseline, tier=Tier.ABSENT),
        candidate=msgspec.structs.replace(pair.candidate, tier=Tier.ABSENT),
    )


def start(pair: CellPair, side: Side, block: int, e2e_ms: float | None, **fields: Any) -> dict[str, Any]:
    """One row; without a time, of a start that failed."""
    cell: Cell = pair.of(side)
    said = {"attempt": 0, "side": side.value, "probe_resolution_ns": 1 * MS, **fields}
    if e2e_ms is None:
        return tidy.failed(cell, block, **said)
    return tidy.row(cell, block, round(e2e_ms * MS), **said)


def blocks(
    pair: CellPair, baseline_ms: Sequence[float | None], candidate_ms: Sequence[float | None]
) -> list[dict[str, Any]]:
    """A row of each side a block."""
    return [
        start(pair, side, block, value)
        for block, values in enumerate(zip(baseline_ms, candidate_ms, strict=True))
        for side, value in zip(Side, values, strict=True)
    ]


def frame(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """The rows as a tidy frame, with the columns that such runs have."""
    table = tidy.frame(rows)
    for column in ("side", "attempt", "sentinel_cpu_ns", "sentinel_io_ns"):
        if column not in table:
            table[column] = pd.NA
    return table.astype({"side": "string", "attempt": "Int64", "sentinel_cpu_ns": "Int64", "sentinel_io_ns": "Int64"})
