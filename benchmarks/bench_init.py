"""*Init*, from the start request to the entrypoint's exec. A row a runtime and variant, tier warm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coldstart.pytest_plugin import VIRTUAL

if TYPE_CHECKING:
    from benchmarks.conftest import Replay
    from coldstart.model.cell import Cell

TIER = "warm"

pytestmark = pytest.mark.benchmark(timer=VIRTUAL)


def bench_init(replay: Replay, cell: Cell) -> None:
    replay(cell, "init_ns")
