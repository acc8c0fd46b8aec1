"""What an engine is to the suite: a handful of requests, some of them timed, and what it can tell.

A new engine is one module in this package (or an entry point of group ``coldstart.engines``) whose ``connect``
returns an object with these methods; it then has to pass ``tests/contract``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from coldstart.model.cell import Network
from coldstart.model.image import Image
from coldstart.model.options import ContainerOptions
from coldstart.model.run import EngineFacts, RuntimeFacts
from coldstart.units import NS_PER_S

T = TypeVar("T")


class Capability(StrEnum):
    """What not every engine can do; callers ask for these, never for names."""

    PULL = "pull"  # pulls images itself
    PULL_PROGRESS = "pull_progress"  # a pull tells of each layer that it was fetched and unpacked, or there already
    LAYER_LOG = "layer_log"  # its log, readable here, has per-layer instants
    LAYER_PATHS = "layer_paths"  # unpacked layers are folders readable here: eviction and residency
    PRIVATE = "private"  # ours alone: any image on it may be removed
    STARTED_AT_EXEC = "started_at_exec"  # State.StartedAt: set once the runtime has started it, by this machine's clock
    ZSTD_LAYERS = "zstd_layers"  # unpacks layers that are compressed by zstd
    CONTAINER_ADDRESS = "container_address"  # containers can be reached at their own address from here
    SAME_MACHINE = "same_machine"  # its containers run on this machine, under this kernel: paths and devices are ours


class Timed(NamedTuple, Generic[T]):
    """A value with the CLOCK_MONOTONIC ns before the request was sent and after its answer was read."""

    start_ns: int
    end_ns: int
    value: T


class LayerEvent(NamedTuple):
    """A line of the engine's pull progress: when we read it, which layer (short ID), what it said."""

    at_ns: int
    layer: str
    status: str


START_LIMIT_NS = 60 * NS_PER_S


class ContainerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A container to create; its create and its start may each take ``limit_ns``, from the request on."""

    image: Image
    runtime: str
    network: Network
    options: ContainerOptions = ContainerOptions()
    limit_ns: int = START_LIMIT_NS


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What an image's own check (HEALTHCHECK) says of a container.

    ``status`` is ``starting``, ``healthy`` or ``unhealthy``; ``failed_wall_ns`` is when the last check that failed
    began (``None``: none did), ``passed_wall_ns`` when the first after it that passed did. ``shortest_ns`` is the
    length of the shortest check, ``output`` what the last one wrote.
    """

    status: str
    failed_wall_ns: int | None = None
    passed_wall_ns: int | None = None
    shortest_ns: int | None = None
    output: str = ""


class Executed(NamedTuple):
    """How a command ended that was run in a container: its exit code, and the end of what it wrote."""

    exit_code: int
    output: str


class ContainerState(msgspec.Struct, frozen=True, kw_only=True):
    """A container as the engine sees it; wall-clock instants in ns since the epoch, ``None`` before they happen.

    ``health`` is ``None`` where the image has no check, or none has begun.
    """

    running: bool
    pid: int | None
    started_wall_ns: int | None
    finished_wall_ns: int | None
    exit_code: int | None
    error: str
    address: str | None
    health: Health | None = None


class Engine(Protocol):
    """One engine, connected. Methods raise `EngineError` where it refuses, `EngineUnreachableError` where it is gone.

    No method blocks for ever: one that the engine does not answer within the limit of its kind raises `EngineError`
    where the engine answers other requests (a runtime that hangs), `EngineUnreachableError` where it answers none. Any
    of them may be interrupted at any instant, and the next one works all the same.

    ``timed`` methods stamp around the bare request: what is not the engine's work stays outside.
    """

    name: str
    capabilities: frozenset[Capability]
    data_root: Path | None  # its storage, where that is a folder here

    def facts(self) -> EngineFacts:
        """Version, storage and how it was reached."""

    def runtimes(self) -> tuple[RuntimeFacts, ...]:
        """The OCI runtimes it can start containers with."""

    def has_image(self, image: Image) -> bool:
        """Whether the image, by its reference or its ID, is in the engine."""

    def has_reference(self, image: Image) -> bool:
        """Whether its reference is known there: an engine may have the image under another name only.

        A container is created from the reference; pulling it gives the image that name, and moves no layer.
        """

    def remove_image(self, image: Image) -> None:
        """Remove it and, where all images are ours, whatever shares a layer with it. Absent is fine.

        Raises:
            EngineError: the image is not ours to remove.
        """

    def kept_layers(self, image: Image) -> str | None:
        """Why layers of it stay in the engine after `remove_image`, and no pull fetches them; ``None`` if none do."""

    def layer_paths(self, image: Image) -> tuple[Path, ...]:
        """Folders of its unpacked layers (`Capability.LAYER_PATHS`)."""

    def pull(self, image: Image) -> Timed[tuple[LayerEvent, ...]]:
        """Timed: pull by digest; the progress lines as they were read.

        However long it takes, as long as it makes progress.
        """

    def create(self, spec: ContainerSpec) -> Timed[str]:
        """Timed: create, with our label; the container's ID. What the engine warns of is kept for `take_warnings`."""

    def take_warnings(self) -> tuple[str, ...]:
        """What it warned of when containers were created since this was last asked, such as a limit it discards."""

    def start(self, container_id: str) -> Timed[None]:
        """Timed: start."""

    def state(self, container_id: str) -> ContainerState:
        """Inspect."""

    def execute(self, container_id: str, command: Sequence[str]) -> Timed[Executed]:
        """Timed: run a command in the running container, from the first request until its exit code is known.

        Safe beside other requests: it may block for as long as the container runs.
        """

    def follow_output(self, container_id: str) -> Iterator[bytes]:
        """Standard output and error, line by line as they arrive, until the container ends."""

    def output_tail(self, container_id: str, lines: int = 20) -> str:
        """The last lines it wrote; empty if none can be had, though the engine answers other requests."""

    def wait_exit(self, container_id: str) -> Callable[[], Timed[int]]:
        """Ask, before the start, to be told of the exit; the returned call blocks for the exit code."""

    def remove_container(self, container_id: str) -> None:
        """Remove it, running or not, and on an engine that is ours alone though its runtime hangs. Absent is fine."""

    def sweep(self) -> int:
        """Remove every container with our label, whoever left it; how many there were."""

    def endpoint(self, container_id: str, port: int) -> tuple[Path | None, tuple[str, int]]:
        """A probe's way in: the network namespace to open sockets in (``None``: ours) and the address to connect to.

        Raises:
            EngineError: the container has no address (network ``none``).
        """

    def obstacle_to_asking(self, network: Network) -> str | None:
        """Why no network probe can reach containers of that network mode from here; ``None`` if it can."""

    def host_endpoint(self, port: int) -> tuple[Path | None, tuple[str, int]] | None:
        """As `endpoint`, of any container with network ``host``; ``None`` where only the container itself tells."""

    def lost(self) -> str | None:
        """What of the engine died, hangs or was started anew since the last look, with the remedy; ``None``: nothing.

        Never raises, and takes seconds at most. For use after a failure, outside every timed window.
        """

    def daemons(self) -> tuple[int, ...]:
        """Process numbers of the daemons whose descendants do the engine's work; none where they cannot be told."""

    def log_mark(self) -> int:
        """A position in the engine's log (`Capability.LAYER_LOG`)."""

    def log_since(self, mark: int) -> bytes:
        """What the log gained since ``mark``."""

    def close(self) -> None:
        """Give back connections and, on an engine that is not ours alone, the images that only we brought there."""


class EngineAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where an engine is and what of it is ours: what ``connect`` of an engine module takes.

    ``netns`` is where containers are reached from (``None``: here); ``log`` its debug log and ``data_root`` its
    storage, where both can be read; ``private`` means every image on it may be removed.
    """

    url: str
    where: str
    private: bool = False
    netns: Path | None = None
    log: Path | None = None
    runtimes: tuple[tuple[str, str], ...] = ()
