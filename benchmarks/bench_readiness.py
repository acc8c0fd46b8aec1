"""*Readiness*, from the entrypoint's exec to the first good answer. A row a runtime and variant, tier warm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coldstart.pytest_plugin import VIRTUAL

if TYPE_CHECKING:
    from benchmarks.conftest import Replay
    from coldstart.model.cell import Cell

TIER = "warm"

pytestmark = pytest.mark.benchmark(timer=VIRTUAL)


def bench_readiness(replay: Replay, cell: Cell) -> None:
    replay(cell, "readiness_ns")
