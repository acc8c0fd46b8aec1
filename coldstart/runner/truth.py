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
from coldstart.model.probe import ProbeSpec
from coldstart.model.run import EngineFacts, RuntimeFacts
from coldstart.runner.place import place_on, take_down
from coldstart.runner.sources import choose
from coldstart.testbed import executables, lifecycle
from coldstart.testbed.config import TestbedConfig
from coldstart.testbed.hold import hold
from coldstart.testbed.host import host_facts
from coldstart.truth.injectors import VARIANT, WORKLOAD, Toolbox, binary_of
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
    with ExitStack() as stack:
        lifecycle.down(config.root, lambda _: None)  # what a killed selftest left
        testbed = lifecycle.up(config, progress)
        stack.callback(take_down, config.root, progress)
        stack.enter_context(hold(config.root, "selftest"))
        place = place_on(testbed, config.cache, "docker", stack)
        if Capability.LAYER_LOG not in place.engine.capabilities:
            raise InvalidEnvironmentError("the engine's log cannot be read, so there is no download to recover.")
        assert place.image_host is not None
        (image,) = ensure_images(place.image_host, [(WORKLOAD, VARIANT)], progress, egress=place.egress)
        toolbox.install(binary_of(place.image_host, image))
        host, _, _ = testbed.registry_address.rpartition(":")
        proxy = DelayProxy(f"{host}:{_PROXY_PORT}", testbed.registry_address)
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
            workbench=Workbench(bench=bench, toolbox=toolbox, proxy=proxy),
            host=host_facts(place.storage),
            engine=place.engine.facts(),
            runtimes=tuple(facts for facts in place.engine.runtimes() if facts.name in runtimes),
        )
