"""Tidy frames made by hand: what `coldstart.store.frames` returns, without a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from coldstart.model.cell import Cell
from coldstart.model.timeline import ADDENDS, PULL_PARTS
from tests.unit.factories import MS, make_cell

TEXT = ("run_id", "outcome", "reason", "engine", "runtime", "workload", "variant", "tier", "network", "source")
INTEGERS = (
    "block",
    "e2e_ns",
    *ADDENDS,
    *PULL_PARTS,
    "download_ns",
    "unpack_ns",
    "register_ns",
    "unattributed_ns",
    "image_compressed_bytes",
    "image_unpacked_bytes",
    "readiness_resolution_ns",
    "probe_resolution_ns",
    "clock_error_ns",
)


def row(cell: Cell | None = None, block: int = 0, e2e_ns: int = 100 * MS, **fields: Any) -> dict[str, Any]:
    """One row: a warm start of 10 create, 60 init and 30 readiness in each 100, unless ``fields`` say otherwise."""
    cell = cell or make_cell()
    return {
        "run_id": "synthetic",
        "block": block,
        "outcome": "ok",
        "engine": cell.engine,
        "runtime": cell.runtime,
        "workload": cell.workload,
        "variant": cell.variant,
        "tier": cell.tier.value,
        "network": cell.network.value,
        "source": "engine",
        "warmup": False,
        "e2e_ns": e2e_ns,
        "pull_ns": 0,
        "create_ns": e2e_ns // 10,
        "init_ns": e2e_ns - e2e_ns // 10 - e2e_ns // 10 * 3,
        "readiness_ns": e2e_ns // 10 * 3,
        "gap_ns": 0,
        **dict.fromkeys(PULL_PARTS, 0),
        **fields,
    }


def failed(cell: Cell | None = None, block: int = 0, outcome: str = "never_ready", **fields: Any) -> dict[str, Any]:
    """One row of a trial without timings."""
    timings = dict.fromkeys(("e2e_ns", *ADDENDS, *PULL_PARTS))
    return {**row(cell, block), **timings, "outcome": outcome, "reason": "synthetic", **fields}


def frame(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """The rows with every column, integers nullable."""
    rows = list(rows)
    columns = [*TEXT, "warmup", *INTEGERS]
    table = pd.DataFrame(rows, columns=[*columns, *sorted({key for one in rows for key in one} - set(columns))])
    return table.astype(dict.fromkeys(INTEGERS, "Int64"))


def starts(cell: Cell, *e2e_ms: float, **fields: Any) -> list[dict[str, Any]]:
    """One timed row a block, of the given milliseconds."""
    return [row(cell, block, round(value * MS), **fields) for block, value in enumerate(e2e_ms)]
