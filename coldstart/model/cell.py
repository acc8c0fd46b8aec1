"""What is varied: the factors of one treatment, and one trial of it in the schedule."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Tier(StrEnum):
    """How cold the image is when the clock starts; each tier has its own proof."""

    ABSENT = "absent"  # not in the engine: the start pulls it
    CACHED = "cached"  # in the engine, none of its pages in memory
    WARM = "warm"  # in the engine, its pages in memory


class Network(StrEnum):
    """The container's network mode, in Docker's words."""

    BRIDGE = "bridge"
    HOST = "host"
    NONE = "none"


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One treatment: a level for every factor."""

    engine: str
    runtime: str
    workload: str
    variant: str
    tier: Tier
    network: Network = Network.BRIDGE

    @property
    def key(self) -> str:
        """The cell's name in tables, files and messages; unique within a run."""
        return f"{self.engine}/{self.runtime}/{self.workload}/{self.variant}/{self.tier}/{self.network}"

    @property
    def image_key(self) -> tuple[str, str]:
        """Workload and variant: which image the cell starts."""
        return (self.workload, self.variant)


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One planned start: its place in the schedule and its treatment.

    ``attempt`` counts from 0; a trial that was not cold or not quiet is tried again within its block.
    """

    block: int
    position: int
    cell: Cell
    attempt: int = 0
    warmup: bool = False
