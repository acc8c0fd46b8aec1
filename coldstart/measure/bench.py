"""Everything a trial needs, put together once per run by the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from coldstart.engines.base import Engine
from coldstart.model.cell import Cell
from coldstart.model.image import Image
from coldstart.model.options import ContainerOptions
from coldstart.model.sample import Conditions, SentinelReading
from coldstart.probes.base import Probe
from coldstart.trace.base import SpanSource


class BlobTraffic(Protocol):
    """What a registry served in some interval."""

    @property
    def gets(self) -> int:
        """Blob downloads that succeeded."""

    @property
    def bytes(self) -> int:
        """Bytes of their bodies."""

    @property
    def digests(self) -> tuple[str, ...]:
        """Digests of the blobs, one for each download."""


class BlobLog(Protocol):
    """A registry's access log."""

    def mark(self) -> int:
        """A position in the log."""

    def settle(self, mark: int, *, gets: int) -> BlobTraffic:
        """Traffic since ``mark``, once ``gets`` downloads are logged or enough time has passed for them to be."""


class QuietWait(Protocol):
    """How waiting for a quiet machine went."""

    @property
    def quiet(self) -> bool:
        """Whether it became quiet."""

    @property
    def waited_ns(self) -> int:
        """How long that took."""

    @property
    def disturbance(self) -> str:
        """What kept the machine busy, in words; empty where it was quiet."""


class Surroundings(Protocol):
    """The machine around a trial."""

    def settle(self) -> None:
        """Write back what earlier trials left dirty on the engine's storage."""

    def warm_registry(self, image: Image) -> None:
        """Bring the image's blobs into the registry's page cache, so that every pull finds them in one state."""

    def wait_until_quiet(self) -> QuietWait:
        """Block until neither the CPU nor the engine's disk is in use, or give up."""

    def evict(self, paths: Sequence[Path]) -> None:
        """Drop the pages of all files below the folders."""

    def resident_bytes(self, paths: Sequence[Path]) -> int:
        """Bytes of their files that are in memory."""

    def sentinel(self) -> SentinelReading:
        """Do a fixed piece of work, and tell how long it took."""

    def open_meters(self) -> Callable[[], Conditions]:
        """Read the machine's meters; the returned call reads them again and gives the conditions between."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What the cells of one image have in common: the image, how a container of it is judged ready, on which port.

    ``emulator`` is what runs its programs here where the CPU does not; ``None`` where no emulator does.
    """

    image: Image
    new_probe: Callable[[], Probe]
    port: int | None = None
    emulator: str | None = None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The instruments of a run. ``blobs`` is ``None`` where the registry's log cannot be read.

    ``timeout_ns`` is what a container's create may take, and what its start and its readiness may take together.
    ``way_out`` opens other networks to the containers, for the whole run. ``registry_lost`` says what is wrong with the
    registry that the engine pulls from, with the remedy, or ``None``; it takes seconds at most and never raises.
    ``on_busy`` is told why the machine is not quiet, and the start is made all the same: for a start that nothing is
    claimed of.
    """

    run_id: str
    engine: Engine
    subjects: Mapping[tuple[str, str], Subject]
    sources: Sequence[SpanSource]
    surroundings: Surroundings
    blobs: BlobLog | None
    timeout_ns: int
    options: ContainerOptions = field(default_factory=ContainerOptions)
    source_profile: str = "engine"
    way_out: Callable[[], AbstractContextManager[object]] = nullcontext
    registry_lost: Callable[[], str | None] = lambda: None
    on_busy: Callable[[str], None] | None = None

    def subject(self, cell: Cell) -> Subject:
        """The cell's image and probe."""
        return self.subjects[cell.image_key]
