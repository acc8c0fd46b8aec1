"""The selftest's own testbed: the injectors in place of runtimes, decompressor and registry address."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import msgspec

from coldstart import probes
from coldstart.engines.base import Capability
from coldstart.errors import InvalidEnvironmentError, UnknownNameError
from coldstart.images.build import ensure_images
from coldstart.measure.bench import Bench, Subject
from coldstart.model.host import HostFacts
from coldstart.model.image import Image
from coldstart.model.probe import ProbeSpec
from coldstart.model.run import EngineFacts, RuntimeFacts
from coldstart.runner.place import place_on, remove, take_down
from coldstart.runner.sources import choose
from coldstart.testbed import executables, lifecycle
from coldstart.testbed.config import Medium, Testbed, TestbedConfig
from coldstart.testbed.hold import hold
from coldstart.testbed.host import host_facts
from coldstart.truth.injectors import SETTLE_NS, VARIANT, WORKLOAD, Toolbox, binary_of
from coldstart.truth.process_cost import ProcessCost
from coldstart.truth.proxy import DelayProxy
from coldstart.truth.workbench import Workbench

Progress = Callable[[str], None]

_TIMEOUT_NS = 30_000_000_000
_PORT = 8080
_PROXY_PORT = 5001


@dataclass(frozen=True, kw_only=True)
class TruthPlace:
    """The workbench, and what it stands on."""

    workbench: Workbench
    host: HostFacts
    engine: EngineFacts
    runtimes: tuple[RuntimeFacts, ...]


@contextmanager
def open_workbench(runtimes: tuple[str, ...], source: str, progress: Progress) -> Iterator[TruthPlace]:
    """A testbed of its own for the block, with a wrapper for each of ``runtimes``.

    Raises:
        UnknownNameError: no such runtime here.
        InvalidEnvironmentError: no root, or an executable is missing; and all that a testbed raises.
    """
    base = TestbedConfig.from_environment()
    path = executables.search_path()
    installed = executables.runtimes({}, path)
    for name in runtimes:
        if name not in installed:
            raise UnknownNameError("runtime", name, installed)
    toolbox = Toolbox(
        base.cache / "inject",
        {name: installed[name] for name in runtimes},
        executables.find("unpigz", path),
    )
    config = msgspec.structs.replace(
        base,
        root=base.root.with_name(f"{base.root.name}-selftest"),
        runtimes=toolbox.runtimes,
        tools=toolbox.folder,
    )
    remove(config.root, lambda _: None)  # what a killed selftest left
    image, binary = _injectors(config, progress)
    with ExitStack() as stack:
        testbed = stack.enter_context(_up(config, Medium.MEMORY, progress))
        place = place_on(testbed, config.cache, "docker", stack)
        if Capability.LAYER_LOG not in place.engine.capabilities:
            raise InvalidEnvironmentError("the engine's log cannot be read, so there is no download to recover.")
        toolbox.install(binary)
        cost = ProcessCost(toolbox.folder / "cost")
        cost.install(binary)
        host, _, _ = testbed.registry_address.rpartition(":")
        proxy = DelayProxy(f"{host}:{_PROXY_PORT}", testbed.registry_address, SETTLE_NS)
        stack.enter_context(proxy.serving(testbed.registry_netns))
        image = msgspec.structs.replace(
            image, reference=image.reference.replace(testbed.registry_address, proxy.address, 1)
        )
        chosen = choose(place.engine, source, progress)
        for each in chosen.sources:
            stack.callback(each.close)
        bench = Bench(
            run_id="selftest",
            engine=place.engine,
            subjects={
                (WORKLOAD, VARIANT): Subject(
                    image=image, new_probe=probes.factory(ProbeSpec.parse(f"http:{_PORT}/")), port=_PORT
                )
            },
            sources=chosen.sources,
            source_profile=chosen.profile,
            surroundings=place.surroundings,
            blobs=place.blobs,
            timeout_ns=_TIMEOUT_NS,
        )
        yield TruthPlace(
            workbench=Workbench(bench=bench, toolbox=toolbox, proxy=proxy, cost=cost),
            host=host_facts(place.storage),
            engine=place.engine.facts(),
            runtimes=tuple(facts for facts in place.engine.runtimes() if facts.name in runtimes),
        )


@contextmanager
def _up(config: TestbedConfig, medium: Medium, progress: Progress) -> Iterator[Testbed]:
    testbed = lifecycle.up(msgspec.structs.replace(config, medium=medium), progress)
    try:
        with hold(config.root, "selftest"):
            yield testbed
    finally:
        take_down(config.root, progress)


def _injectors(config: TestbedConfig, progress: Progress) -> tuple[Image, bytes]:
    """The injectors' image, built if need be, and the binary in it.

    On disk, for a compiler does not fit into a small board's memory; the starts then take place in memory, since what
    a disk adds to one start and not to the next would hide a leak of milliseconds.
    """
    with ExitStack() as stack:
        place = place_on(stack.enter_context(_up(config, Medium.DISK, progress)), config.cache, "docker", stack)
        assert place.image_host is not None
        (image,) = ensure_images(place.image_host, [(WORKLOAD, VARIANT)], progress, egress=place.egress)
        return image, binary_of(place.image_host, image)
