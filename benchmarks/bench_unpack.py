"""*Unpack*, the union of the layers' unpacking, inside pull. A row a runtime and variant, tier absent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coldstart.pytest_plugin import VIRTUAL

if TYPE_CHECKING:
    from benchmarks.conftest import Replay
    from coldstart.model.cell import Cell

TIER = "absent"

pytestmark = pytest.mark.benchmark(timer=VIRTUAL)


def bench_unpack(replay: Replay, cell: Cell) -> None:
    replay(cell, "unpack_ns")
