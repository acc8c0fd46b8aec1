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


class Side(StrEnum):
    """Which of two contenders a start belongs to, where two are measured against one another."""

    BASELINE = "baseline"
    CANDIDATE = "candidate"


class CellPair(msgspec.Struct, frozen=True, kw_only=True):
    """A cell of the baseline, and the one of the candidate that is held against it."""

    baseline: Cell
    candidate: Cell

    @property
    def key(self) -> str:
        """The pair's name in tables and messages: the cell's, with what differs as ``a→b``."""
        names = zip(self.baseline.key.split("/"), self.candidate.key.split("/"), strict=True)
        return "/".join(a if a == b else f"{a}→{b}" for a, b in names)

    def of(self, side: Side) -> Cell:
        """That side's cell."""
        return self.baseline if side is Side.BASELINE else self.candidate


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One planned start: its place in the schedule and its treatment.

    ``attempt`` counts from 0; a requeued trial (`Outcome.is_requeued`) is tried again within its block.
    ``side`` is set where two contenders are compared, which may be the same cell (an A/A comparison).
    """

    block: int
    position: int
    cell: Cell
    attempt: int = 0
    warmup: bool = False
    side: Side | None = None
