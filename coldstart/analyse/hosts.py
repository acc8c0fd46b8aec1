"""Several hosts side by side: the same cells, measured on each, seen by a source that all of them have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pandas as pd

from coldstart.analyse import frames
from coldstart.analyse.compare import unpaired_ratio
from coldstart.analyse.estimate import Estimate, median_interval
from coldstart.errors import UsageError
from coldstart.model.cell import Cell
from coldstart.model.sample import Outcome

PHASES = ("e2e_ns", "pull_ns", "unpack_ns", "create_ns", "init_ns", "readiness_ns")


class HostPhase(msgspec.Struct, frozen=True, kw_only=True):
    """One phase of one cell, host by host; ``None`` where a host did not measure it.

    ``medians`` are in ns, in the hosts' order; ``ratios`` how many times as long as the first host, unpaired: the first
    one's is ``None``, and so are those of a phase that took no time.
    """

    cell: Cell
    column: str
    medians: tuple[Estimate | None, ...]
    ratios: tuple[Estimate | None, ...]


class HostComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Hosts by name, and the cells that at least two of them timed; ``throttled`` starts were repeated on each."""

    hosts: tuple[str, ...]
    throttled: tuple[int, ...]
    phases: tuple[HostPhase, ...]


def side_by_side(by_host: Mapping[str, Sequence[pd.DataFrame]]) -> HostComparison:
    """Compare hosts, the first one being the one the others are held against.

    All frames must be drawn from one source (`coldstart.store.frames.tidy` with a common profile).

    Raises:
        UsageError: no two hosts timed the same cell.
    """
    whole = {host: pd.concat(parts, ignore_index=True) for host, parts in by_host.items()}
    timed = {host: dict(frames.by_cell(frames.timed(frame))) for host, frame in whole.items()}
    met: dict[Cell, int] = {}
    for cells in timed.values():
        for cell in cells:
            met[cell] = met.get(cell, 0) + 1
    common = [cell for cell, hosts in met.items() if hosts > 1]
    if not common:
        listed = "; ".join(
            f"{host}: {', '.join(cell.key for cell in cells) or 'none'}" for host, cells in timed.items()
        )
        raise UsageError(f"these hosts have no cell in common ({listed}). Measure the same experiment on each.")
    return HostComparison(
        hosts=tuple(whole),
        throttled=tuple(int((frame["outcome"] == Outcome.THROTTLED.value).sum()) for frame in whole.values()),
        phases=tuple(
            phase
            for cell in common
            for column in PHASES
            if (phase := _phase(cell, column, [cells.get(cell) for cells in timed.values()])) is not None
        ),
    )


def _phase(cell: Cell, column: str, rows: Sequence[pd.DataFrame | None]) -> HostPhase | None:
    values = [None if one is None else frames.values(one, column) for one in rows]
    observed = [one if one is not None and len(one) else None for one in values]
    if sum(one is not None for one in observed) < 2:
        return None
    return HostPhase(
        cell=cell,
        column=column,
        medians=tuple(None if one is None else median_interval(one) for one in observed),
        ratios=(None, *(_ratio(observed[0], one) for one in observed[1:])),
    )


def _ratio(
    first: np.ndarray[tuple[int], np.dtype[np.float64]] | None,
    other: np.ndarray[tuple[int], np.dtype[np.float64]] | None,
) -> Estimate | None:
    if first is None or other is None or not ((first > 0).all() and (other > 0).all()):
        return None
    return unpaired_ratio(first, other)
