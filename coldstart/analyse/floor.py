"""The least slowdown that a readiness probe can tell: from the baseline alone, before the candidate is looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import pandas as pd

from coldstart.analyse import frames

RESOLUTIONS_THAT_COUNT = 2
"""A slowdown below twice the readiness probe's resolution, in the baseline's median start, cannot be told from none."""
FLOORED = frozenset({"e2e_ns", "readiness_ns"})
"""What ends where the probe saw readiness; other phases do not depend on the probe."""


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """``ns`` is 0 where nothing polled; ``is_bound`` says that it is one from above, of starts that 0.1 stored."""

    ns: float = 0.0
    is_bound: bool = False


def floor_of(baseline: pd.DataFrame, column: str, first: int | None = None) -> Floor:
    """The floor of ``column`` by the timed starts of a baseline, in their order; by the ``first`` of them if so many.

    A candidate never has a say in it: one that answers late would raise what it is tolerated.
    """
    if column not in FLOORED:
        return Floor()
    timed = frames.timed(baseline)
    rows = timed if first is None else timed.head(first)
    found = frames.resolutions(rows).dropna().to_numpy(dtype=np.float64)
    if not len(found):
        return Floor()
    return Floor(ns=floor_ns(found.tolist()), is_bound=bool(rows["probe_resolution_ns"].isna().all()))


def floor_ns(resolutions_ns: Sequence[float | None]) -> float:
    """The floor by what the probe could not see before each of these starts; ``None`` is a start that nobody polled."""
    known = [resolution for resolution in resolutions_ns if resolution is not None]
    return RESOLUTIONS_THAT_COUNT * float(np.median(known)) if known else 0.0


def unresolved_text(asked: float, floor: float, *, is_bound: bool = False) -> str:
    """Why a slowdown of ``asked`` cannot be ruled out where the floor is ``floor`` of the baseline, and what helps."""
    why = (
        " (version 0.1 stored this run and counted what the app took to answer, so it is less; measure again to know)"
        if is_bound
        else ""
    )
    return (
        f"this probe cannot resolve {asked:+.1%}: what it does not see of a start is up to {floor:+.1%} of the "
        f"baseline{why}. Use a tcp, http, log or notify probe, shorten the HEALTHCHECK's interval, or tolerate more "
        f"with --max-slowdown {math.ceil(floor * 100)}%"
    )
