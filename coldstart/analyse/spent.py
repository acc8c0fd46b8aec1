"""How long a comparison took, pair by pair: waiting and preparation included, unlike the times it compares."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from coldstart.analyse import frames
from coldstart.model.cell import CellPair, Side

_OWN = ["prepare_ns", "quiet_wait_ns", "e2e_ns", "collect_ns", "teardown_ns"]  # what a start's own sample tells


def spent_ns(frame: pd.DataFrame, pairs: Sequence[CellPair]) -> dict[str, int]:
    """Nanoseconds of wall time that each pair's starts took, by its name: each until the next start of any pair began.

    Of the last one it is what its sample tells. Nothing where the frame does not say when starts began.
    """
    if "started_at" not in frame or frame.empty:
        return {}
    begun = pd.to_datetime(frame["started_at"], utc=True, format="ISO8601")
    lengths = (begun.shift(-1) - begun).dt.total_seconds().clip(lower=0) * 1e9  # a clock may have been set back
    told = frame.iloc[-1].reindex(_OWN).dropna()
    lengths.iloc[-1] = float(told.astype(float).sum())
    return {pair.key: round(sum(_of(frame, lengths, pair, side) for side in Side)) for pair in pairs}


def _of(frame: pd.DataFrame, lengths: pd.Series, pair: CellPair, side: Side) -> float:
    rows = frames.of_cell(frame[frame["side"] == side.value], pair.of(side))
    return float(lengths.loc[rows.index].sum())
