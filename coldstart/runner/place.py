"""Which engine a run measures, and everything that comes with it: the testbed's, a user's own, or the fake one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from coldstart import engines
from coldstart.engines.base import Engine, EngineAddress
from coldstart.engines.http import Connection
from coldstart.engines.own_docker import is_named, own_docker
from coldstart.errors import (
    ColdstartError,
    EngineUnreachableError,
    InvalidEnvironmentError,
    TestbedError,
    UnknownNameError,
    UsageError,
)
from coldstart.images.host import ImageHost
from coldstart.measure.bench import BlobLog
from coldstart.model.options import ContainerOptions
from coldstart.model.run import RegistryFacts
from coldstart.testbed import executables, lifecycle
from coldstart.testbed.blobs import AccessLog
from coldstart.testbed.config import Testbed, TestbedConfig
from coldstart.testbed.egress import egress
from coldstart.testbed.hold import hold, hold_engine
from coldstart.testbed.registry import lost as registry_lost
from coldstart.testbed.registry import registry_version
from coldstart.testbed.surroundings import Surroundings
from coldstart.trace import tracefs

# musl takes no refusal for an answer, but asks no time at all where a lookup may take none (its res_msend.c).
_NO_LOOKUPS = ContainerOptions(dns_options=("timeout:0",))
Progress = Callable[[str], None]
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # a closed session sends SIGHUP from kernel and shell
_ONE_INSTANCE = "removed the tracing instance of a killed run"


@dataclass(frozen=True, kw_only=True)
class Place:
    """An engine and its surroundings.

    ``storage`` is the folder whose device the host's facts describe: the engine's data, where that is here.
    ``image_host`` is ``None`` where images are made up (the fake engine). ``offline`` is what containers are given
    while ``egress`` is not open. ``registry_lost`` is as `Bench` has it.
    """

    engine: Engine
    surroundings: Surroundings
    storage: Path
    registry: RegistryFacts
    image_host: ImageHost | None
    blobs: BlobLog | None
    egress: Callable[[], AbstractContextManager[object]] = nullcontext
    offline: ContainerOptions = field(default_factory=ContainerOptions)
    registry_lost: Callable[[], str | None] = lambda: None
    notes: tuple[str, ...] = ()


@contextmanager
def open_place(wanted: Sequence[str], *, asked_for: bool, purpose: str, progress: Progress) -> Iterator[Place]:
    """The place to measure on, held for this process, and afterwards left as it was found.

    ``wanted`` are the experiment's engines; ``asked_for`` says that the user named them, which with DOCKER_HOST or
    DOCKER_CONTEXT means their own Docker. Otherwise it is the testbed, started if need be; without root or its
    executables, the Docker that ``docker`` itself would ask, if it answers.

    Raises:
        UsageError: several engines, or one that does not exist.
        InvalidEnvironmentError: none of these can be had; the message lists what would help.
        TestbedHeldError: somebody else measures there.
    """
    if len(wanted) != 1:
        raise UsageError(f"one engine a run; {', '.join(wanted)} are {len(wanted)}. Measure each, then compare.")
    (name,) = wanted
    if name not in engines.names():
        raise UnknownNameError("engine", name, engines.names())
    if name == "fake":
        yield _fake_place()
        return
    if asked_for and is_named():
        with _user_place(name, own_docker().url) as place:
            yield place
        return
    obstacle = _testbed_obstacle()
    if obstacle is None:
        with ExitStack() as stack:
            yield _testbed_place(name, purpose, progress, stack)
        return
    own = own_docker()
    try:
        with closing(Connection(own.url, timeout_s=5)) as asking:
            asking.request("GET", "/_ping")
    except EngineUnreachableError as error:
        raise InvalidEnvironmentError(
            f"no engine to measure on: {obstacle}, and no Docker answers at {own} either ({error}) Run scripts/setup "
            "as root, or start Docker and set DOCKER_HOST."
        ) from error
    progress(f"no testbed here ({obstacle}): measuring your own engine at {own}")
    with _user_place(name, own.url) as place:
        yield place


def image_host(testbed: Testbed, cache: Path) -> ImageHost:
    """Where images for this testbed are built and kept."""
    return ImageHost(
        docker_socket=testbed.docker_host,
        registry_address=testbed.registry_address,
        registry_netns=testbed.registry_netns or testbed.engine_netns,
        cache=cache,
    )


def _testbed_obstacle() -> str | None:
    if os.geteuid() != 0:
        return "the testbed needs root"
    try:
        executables.require(None, executables.search_path())
    except TestbedError as error:
        return str(error)
    return None


def _testbed_place(name: str, purpose: str, progress: Progress, stack: ExitStack) -> Place:
    config = TestbedConfig.from_environment()
    testbed = lifecycle.find(config.root)
    if testbed is None:
        testbed = lifecycle.up(config, progress)
        stack.callback(take_down, config.root, progress)
    stack.enter_context(hold(config.root, purpose))
    return place_on(testbed, config.cache, name, stack)


def place_on(testbed: Testbed, cache: Path, name: str, stack: ExitStack) -> Place:
    """The place that a running testbed is; the connection is closed with ``stack``."""
    engine = stack.enter_context(
        closing(
            engines.connect(
                name,
                EngineAddress(
                    url=testbed.docker_host,
                    where="testbed",
                    private=True,
                    netns=testbed.engine_netns,
                    log=testbed.engine_log,
                    runtimes=tuple((runtime, str(path)) for runtime, path in testbed.runtimes.items()),
                ),
            )
        )
    )
    networks = () if testbed.registry_netns is None else (testbed.engine_netns, testbed.registry_netns)
    surroundings = Surroundings(
        testbed.data_root, testbed.registry_storage, scratch=testbed.data_root, networks=networks
    )
    return Place(
        engine=engine,
        surroundings=surroundings,
        storage=testbed.data_root,
        registry=RegistryFacts(
            address=testbed.registry_address,
            version=registry_version(testbed),
            link=testbed.registry_link,
            cache_state=surroundings.registry_cache_state,
        ),
        image_host=image_host(testbed, cache),
        blobs=AccessLog(testbed.registry_log) if testbed.registry_log is not None else None,
        egress=lambda: egress(testbed),
        offline=ContainerOptions() if testbed.registry_netns is None else _NO_LOOKUPS,
        registry_lost=lambda: registry_lost(testbed),
        notes=(f"engine data on {testbed.storage}",),
    )


def take_down(root: Path, progress: Progress) -> None:
    """Remove the testbed that was started for a run; what cannot be removed is told, with the remedy."""
    with _uninterrupted():
        try:
            remove(root, progress)
        except ColdstartError as error:
            progress(f"the testbed could not be removed: {error} Repeat with: coldstart testbed down")


def remove(root: Path, progress: Progress) -> bool:
    """Remove the testbed in ``root`` with what killed runs left in the kernel; whether there was one.

    Raises:
        TestbedHeldError: somebody is measuring on it.
        TestbedError: it cannot be removed.
    """
    removed = lifecycle.down(root, progress)
    sweep_kernel(progress)
    return removed


def sweep_kernel(progress: Progress) -> None:
    """Remove the tracing instances of killed runs, which would slow down the whole machine for good."""
    if count := tracefs.sweep():
        progress(f"removed the tracing instances of {count} killed runs" if count > 1 else _ONE_INSTANCE)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C, or a second hang-up, does not stop the clean-up that the first one asked for."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _user_place(name: str, url: str) -> Iterator[Place]:
    with ExitStack() as stack:
        stack.enter_context(hold_engine(url))
        engine = stack.enter_context(closing(engines.connect(name, EngineAddress(url=url, where="user"))))
        yield Place(
            engine=engine,
            surroundings=Surroundings(engine.data_root, None),
            storage=engine.data_root or Path.cwd(),
            registry=RegistryFacts(address=None, version=None, link="the engine's own", cache_state="unknown"),
            image_host=ImageHost(
                docker_socket=url,
                registry_address=None,
                registry_netns=None,
                cache=TestbedConfig.from_environment().cache,
            ),
            blobs=None,
        )


def _fake_place() -> Place:
    return Place(
        engine=engines.connect("fake", EngineAddress(url="fake:", where="nowhere")),
        surroundings=Surroundings(None, None),
        storage=Path.cwd(),
        registry=RegistryFacts(address=None, version=None, link="none", cache_state="none"),
        image_host=None,
        blobs=None,
    )
