"""Ground truth: known delays put where they belong, and how well they were found again."""

from __future__ import annotations

import msgspec

from coldstart.model.host import HostFacts
from coldstart.model.run import EngineFacts, RuntimeFacts
from coldstart.model.sample import Phase
from coldstart.model.timeline import Phases

POINTS = (
    Phase.DOWNLOAD,
    Phase.UNPACK,
    Phase.RUNTIME_CREATE,
    Phase.RUNTIME_START,
    Phase.APP_START,
    Phase.RESPOND,
)
"""The phases a delay can be put into."""


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """One treatment: a delay in one phase of one runtime's starts; the control arm has none (``point`` of ``None``)."""

    runtime: str
    point: Phase | None = None
    delay_ns: int = 0

    @property
    def is_control(self) -> bool:
        """Whether nothing is injected."""
        return self.point is None


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """An injection as its injector saw it: CLOCK_MONOTONIC ns."""

    phase: Phase
    start_ns: int
    end_ns: int


class TruthTrial(msgspec.Struct, frozen=True, kw_only=True):
    """One start of an arm: what was injected, the span it was to be found in, every phase's length in ns.

    ``lengths_ns`` maps each phase that was seen to the union of its spans; ``span_start_ns`` and ``span_end_ns`` are of
    the arm's own phase. A trial that did not come about has a ``failure`` instead. ``process_ns`` is what starting a
    process cost just before it, ``None`` where that was not measured (before 0.2).
    """

    block: int
    position: int
    arm: Arm
    source: str
    stamps: tuple[Stamp, ...] = ()
    span_start_ns: int | None = None
    span_end_ns: int | None = None
    lengths_ns: dict[str, int] = {}
    phases: Phases | None = None
    failure: str | None = None
    process_ns: int | None = None


class TruthRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A selftest as stored: everything that was observed, and on what.

    ``looks`` are how many trials there were whenever the bounds were judged, of ``planned_looks`` at most; none is one
    look at the end (before 0.2).
    """

    schema_version: int
    coldstart_version: str
    started_at: str
    seed: int
    delays_ns: tuple[int, ...]
    runs: int
    host: HostFacts
    engine: EngineFacts
    runtimes: tuple[RuntimeFacts, ...]
    trials: tuple[TruthTrial, ...]
    looks: tuple[int, ...] = ()
    planned_looks: int = 1
