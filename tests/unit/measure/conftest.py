"""A bench around the fake engine whose every instrument can be made to say something else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coldstart import probes
from coldstart.engines.fake import Delays, FakeEngine
from coldstart.measure.bench import Bench, Subject
from coldstart.model.cell import Cell, Tier
from coldstart.model.image import Image, Layer
from coldstart.model.probe import ProbeSpec
from coldstart.model.sample import Conditions, SentinelReading
from coldstart.trace.engine_api import EngineApi
from coldstart.trace.engine_log import EngineLog
from tests.unit.factories import make_cell, make_image

QUICK = Delays(download_s=0.0002, unpack_s=0.0002, register_s=0.0002, create_s=0, start_s=0.0002, listen_s=0)


class Wait(msgspec.Struct, frozen=True):
    """How waiting for quiet went."""

    quiet: bool = True
    waited_ns: int = 5
    disturbance: str = ""


class Machine:
    """Surroundings that are quiet and evict everything, unless told otherwise."""

    def __init__(self) -> None:
        self.waits: list[Wait] = []
        self.left_in_memory_bytes = 0
        self.in_memory_bytes: list[int] = []  # what the next counts show, before it is the above again
        self.evicted: list[Sequence[Path]] = []
        self.settled = self.waited = 0
        self.warmed: list[str] = []

    def settle(self) -> None:
        self.settled += 1

    def warm_registry(self, image: Image) -> None:
        self.warmed.append(image.reference)

    def wait_until_quiet(self) -> Wait:
        self.waited += 1
        return self.waits.pop(0) if self.waits else Wait()

    def evict(self, paths: Sequence[Path]) -> None:
        self.evicted.append(paths)

    def resident_bytes(self, paths: Sequence[Path]) -> int:  # noqa: ARG002  the answer is the test's
        return self.in_memory_bytes.pop(0) if self.in_memory_bytes else self.left_in_memory_bytes

    def sentinel(self) -> SentinelReading:
        """Always as quick."""
        return SentinelReading(cpu_ns=1, io_ns=1)

    def open_meters(self) -> Callable[[], Conditions]:
        return lambda: Conditions(cpu_psi_us=3)


class Traffic(msgspec.Struct, frozen=True):
    """What a registry served."""

    gets: int
    bytes: int
    digests: tuple[str, ...] = ()


class Registry:
    """An access log that shows what the test says."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic

    def mark(self) -> int:
        return 0

    def settle(self, mark: int, *, gets: int) -> Traffic:  # noqa: ARG002  the answer is the test's
        return self.traffic


def served(image: Image) -> Traffic:
    """What a registry serves to a whole pull of the image."""
    sizes = {layer.digest or "": layer.compressed_bytes or 0 for layer in image.layers}
    sizes[image.image_id] = image.config_bytes or 0
    return Traffic(gets=len(sizes), bytes=sum(sizes.values()), digests=tuple(sizes))


class Bed:
    """A bench's parts; ``bench()`` puts them together."""

    def __init__(self) -> None:
        self.engine = FakeEngine(delays=QUICK)
        self.machine = Machine()
        self.registry: Registry | None = None
        self.timeout_ns = 2_000_000_000
        self.ready = "http:8080/"
        self.images: dict[tuple[str, str], Image] = {}

    def image(self, variant: str = "alpine", platform: str = "linux/amd64") -> Image:
        """An image of two layers: 30 bytes of layers, 5 of configuration."""
        return make_image(
            variant=variant,
            image_id=f"sha256:{variant:>064}",
            platform=platform,
            config_bytes=5,
            layers=tuple(
                Layer(
                    digest=f"sha256:{c * 64}",
                    diff_id=f"sha256:{d * 64}",
                    compressed_bytes=size,
                    unpacked_bytes=4,
                    files=2,
                )
                for c, d, size in (("a", "1", 10), ("b", "2", 20))
            ),
        )

    def cell(self, tier: Tier = Tier.WARM, **factors: Any) -> Cell:
        """A cell of the fake engine, whose image the bench will know."""
        cell = make_cell(engine="fake", tier=tier, **factors)
        self.images.setdefault(cell.image_key, self.image(cell.variant))
        return cell

    def bench(self, **fields: Any) -> Bench:
        """The bench."""
        spec = ProbeSpec.parse(self.ready)
        new_probe = probes.factory(spec)
        defaults: dict[str, Any] = {
            "run_id": "run",
            "engine": self.engine,
            "subjects": {
                key: Subject(image=image, new_probe=new_probe, port=spec.port) for key, image in self.images.items()
            },
            "sources": (EngineApi(self.engine.capabilities), EngineLog(self.engine)),
            "surroundings": self.machine,
            "blobs": self.registry,
            "timeout_ns": self.timeout_ns,
        }
        return Bench(**{**defaults, **fields})


@pytest.fixture
def bed() -> Bed:
    """A fresh bed."""
    return Bed()
