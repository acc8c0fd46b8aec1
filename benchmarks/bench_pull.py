"""*Pull*, from request to end: resolve, download, unpack, register. A row a runtime and variant, tier absent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coldstart.pytest_plugin import VIRTUAL

if TYPE_CHECKING:
    from benchmarks.conftest import Replay
    from coldstart.model.cell import Cell

TIER = "absent"

pytestmark = pytest.mark.benchmark(timer=VIRTUAL)


def bench_pull(replay: Replay, cell: Cell) -> None:
    replay(cell, "pull_ns")
