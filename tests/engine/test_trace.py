"""Sources on the real engine: who saw what, whether it adds up, and that nothing of them is left in the kernel.

Most starts here are made without the wait for a quiet machine: what is seen has to be right on a busy one too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import msgspec
import pytest

from coldstart.engines.base import ContainerSpec, Timed
from coldstart.images.bases import BaseSource, ensure_base
from coldstart.measure.assemble import between, read_clock
from coldstart.measure.trial import Stage
from coldstart.model.cell import Network, Tier
from coldstart.model.image import Image
from coldstart.model.options import ContainerOptions
from coldstart.model.probe import ProbeSpec
from coldstart.model.sample import Outcome, Phase, ProcessUse, Sample, Source, Span
from coldstart.model.timeline import phases_of
from coldstart.runner.place import open_place, sweep_kernel
from coldstart.runner.prepare import prepare
from coldstart.store.reader import newest_run, open_run
from coldstart.testbed import lifecycle
from coldstart.testbed.config import Testbed, TestbedConfig
from coldstart.trace import tracefs
from coldstart.trace.base import InstantKind, TrialWindow, WatchingUnavailableError
from tests.engine.command_line import Cli
from tests.unit.factories import MS, make_experiment, make_trial
from tests.unit.measure.conftest import Machine

pytestmark = pytest.mark.engine

RUNTIMES = ("crun", "runc")
MB = 1_000_000


@pytest.fixture(scope="module", autouse=True)
def tracing(testbed: Testbed) -> None:
    """Skips where this machine cannot trace; after the testbed, whose absence is the better reason."""
    assert testbed.processes
    try:
        tracefs.Instance().close()
    except WatchingUnavailableError as error:
        pytest.skip(str(error))


def measure(
    bed: Testbed, source: str, times: int = 1, instruments: dict[str, Any] | None = None, **factors: Any
) -> tuple[tuple[Sample, ...], Image]:
    """Starts of both runtimes, ``times`` each, all of them good; and their image. Nothing waits for a quiet machine.

    ``instruments`` replace those of the bench.
    """
    experiment = make_experiment(**{"name": "trace", "runtime": RUNTIMES, "tier": (Tier.WARM,), **factors})
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.ExitStack() as stack,
    ):
        patch.setenv("COLDSTART_STATE_DIR", str(bed.root))
        place = stack.enter_context(
            open_place(("docker",), asked_for=False, purpose="test of sources", progress=lambda _: None)
        )
        prepared = stack.enter_context(contextlib.closing(prepare(place, experiment, lambda _: None, source=source)))
        bench = dataclasses.replace(prepared.bench("test"), **{"surroundings": Machine(), **(instruments or {})})
        stage = Stage(bench)
        samples = tuple(stage.run(make_trial(cell=cell)) for cell in prepared.cells * times)
        (image,) = prepared.images.values()
    for sample in samples:
        assert sample.outcome is Outcome.OK, f"{sample.trial.cell.key}: {sample.reason}"
    return samples, image


@pytest.fixture
def cli(testbed: Testbed, tmp_path: Path) -> Cli:
    return Cli(testbed, tmp_path / "results")


@pytest.fixture(scope="module")
def measured(testbed: Testbed) -> tuple[tuple[Sample, ...], Image]:
    """Absent and warm starts that the kernel's trace saw, and their image."""
    return measure(testbed, "trace", times=2, tier=(Tier.ABSENT, Tier.WARM))


@pytest.fixture(scope="module")
def traced(measured: tuple[tuple[Sample, ...], Image]) -> tuple[Sample, ...]:
    return measured[0]


@pytest.fixture(scope="module")
def image(measured: tuple[tuple[Sample, ...], Image]) -> Image:
    return measured[1]


@pytest.fixture(scope="module")
def connected(testbed: Testbed) -> tuple[Sample, ...]:
    """Absent and warm starts that the process connector saw."""
    return measure(testbed, "proc", tier=(Tier.ABSENT, Tier.WARM))[0]


def of(sample: Sample, phase: Phase, source: Source = Source.TRACE) -> list[Span]:
    return [span for span in sample.spans if span.phase is phase and span.source is source]


def only(sample: Sample, phase: Phase, source: Source = Source.TRACE) -> Span:
    (span,) = of(sample, phase, source)
    return span


def used(sample: Sample, role: str) -> ProcessUse:
    (use,) = (use for use in sample.uses if use.role == role)
    return use


def is_within(inner: Span, outer: Span) -> bool:
    return outer.start_ns <= inner.start_ns <= inner.end_ns <= outer.end_ns


def check_init(sample: Sample, source: Source = Source.TRACE) -> None:
    """Each leaf of init was seen, in its order and inside it: engine, shim, create, engine again, start."""
    leaves = {
        phase: of(sample, phase, source)
        for phase in (Phase.INIT_ENGINE, Phase.INIT_SHIM, Phase.RUNTIME_CREATE, Phase.RUNTIME_START)
    }
    assert [len(spans) for spans in leaves.values()] == [2, 1, 1, 1]
    (asked, again), (shim,), (create,), (start,) = leaves.values()
    ordered = (asked, shim, create, again, start)
    assert all(before.end_ns == after.start_ns for before, after in itertools.pairwise(ordered))
    init = only(sample, Phase.INIT, source)
    assert (asked.start_ns, start.end_ns) == (init.start_ns, init.end_ns)


# --- samples ---


@pytest.mark.parametrize("source", ["trace", "proc", "engine"])
def test_a_run_draws_its_samples_from_the_source_that_was_asked_for(cli: Cli, source: str) -> None:
    some = ("tiers", "--tier", "warm", "--runtime", "crun", "-n", "1", "-w", "0")
    code, said = cli.run(*some, "--source", source)
    assert code in {0, 4}, said  # 4: the machine was not quiet, which changes no source
    run = open_run(newest_run(cli.results))
    watched = [facts.name for facts in run.manifest.sources]
    assert watched == [*([] if source == "engine" else [source]), "engine_log", "engine_api"]
    assert {(sample.source, sample.fallback) for sample in run.samples} == {(source, None)}


def test_every_start_is_drawn_from_the_trace(traced: tuple[Sample, ...]) -> None:
    assert [(sample.source, sample.fallback) for sample in traced] == [("trace", None)] * 8


def test_every_start_is_drawn_from_the_connector_where_it_is_the_best(connected: tuple[Sample, ...]) -> None:
    assert [(sample.source, sample.fallback) for sample in connected] == [("proc", None)] * 4


def test_the_leaves_of_init_follow_each_other_and_fill_it(traced: tuple[Sample, ...]) -> None:
    for sample in traced:
        check_init(sample)


def test_the_connector_sees_the_same_leaves_of_init(connected: tuple[Sample, ...]) -> None:
    for sample in connected:
        check_init(sample, Source.PROC)


def test_the_network_hook_is_inside_runtime_create(traced: tuple[Sample, ...]) -> None:
    for sample in traced:
        assert is_within(only(sample, Phase.NETWORK_HOOK), only(sample, Phase.RUNTIME_CREATE))


@pytest.mark.parametrize(
    ("network", "ready", "hooks"), [(Network.NONE, "log:listening", 1), (Network.HOST, "http:8080/", 0)]
)
def test_only_a_container_on_the_hosts_network_has_no_network_hook(
    testbed: Testbed, network: Network, ready: str, hooks: int
) -> None:
    """Docker makes a network namespace for one without a network too, and runs its hook for that."""
    samples, _ = measure(testbed, "trace", network=(network,), ready=ProbeSpec.parse(ready))
    for sample in samples:
        check_init(sample)
        assert len(of(sample, Phase.NETWORK_HOOK)) == hooks


def test_readiness_is_the_apps_start_and_its_response_to_the_ns(traced: tuple[Sample, ...]) -> None:
    for sample in traced:
        parts = [only(sample, phase) for phase in (Phase.APP_START, Phase.RESPOND)]
        assert sum(part.length_ns for part in parts) == only(sample, Phase.READINESS).length_ns
        assert all(part.length_ns > 0 for part in parts)


def test_nearly_all_of_a_warm_start_is_attributed(traced: tuple[Sample, ...]) -> None:
    warm = [phases_of(sample) for sample in traced if sample.trial.cell.tier is Tier.WARM]
    assert len(warm) == 4
    for phases in warm:
        assert phases is not None
        assert phases.unattributed_ns is not None
        assert phases.unattributed_ns < 0.03 * phases.e2e_ns


def check_unpack(sample: Sample, layers: list[str | None]) -> None:
    """Each layer was unpacked once, one after the other, and inside the pull."""
    spans = sorted(of(sample, Phase.UNPACK), key=lambda span: span.start_ns)
    assert [span.layer for span in spans] == layers
    assert all(before.end_ns <= after.start_ns for before, after in itertools.pairwise(spans))
    assert all(is_within(span, only(sample, Phase.PULL, Source.CLIENT)) for span in spans)


def test_each_layer_is_unpacked_in_its_turn(traced: tuple[Sample, ...], image: Image) -> None:
    absent = [sample for sample in traced if sample.trial.cell.tier is Tier.ABSENT]
    assert len(absent) == 4
    for sample in absent:
        check_unpack(sample, [layer.digest for layer in image.layers])


def test_a_start_without_a_pull_unpacks_nothing(traced: tuple[Sample, ...]) -> None:
    for sample in traced:
        if sample.trial.cell.tier is Tier.WARM:
            assert of(sample, Phase.UNPACK) == []


# --- use ---


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_runtime_itself_is_measured_under_its_own_name(traced: tuple[Sample, ...], runtime: str) -> None:
    for sample in traced:
        if sample.trial.cell.runtime == runtime:
            use = used(sample, "runtime_create")
            assert (use.source, use.name) == ("taskstats", runtime)
            assert 1 * MB < (use.peak_rss_bytes or 0) < 100 * MB
            assert (use.cpu_ns or 0) > 0


def test_the_shim_and_the_daemons_that_live_on_are_measured_too(traced: tuple[Sample, ...]) -> None:
    for sample in traced:
        living = [used(sample, "shim"), *(use for use in sample.uses if use.role == "engine")]
        assert [use.name.partition("-")[0] for use in living] == ["containerd", "dockerd", "containerd"]
        assert all((use.pss_bytes or 0) > 1 * MB for use in living)
        assert used(sample, "shim").container == 0


# --- what is left ---


def instances() -> set[str]:
    """The tracing instances of this machine."""
    root, mount = tracefs._tracefs()
    try:
        return {folder.name for folder in (root / "instances").iterdir()}
    finally:
        if mount is not None:
            os.close(mount)


def test_no_tracing_instance_is_left_after_a_run(cli: Cli) -> None:
    running = cli.start("tiers", "--source", "trace", "--tier", "warm", "--runtime", "crun", "-n", "1", "-w", "0")
    assert running.stderr is not None
    next(line for line in running.stderr if line.startswith("["))
    during = instances()
    running.communicate()
    assert f"coldstart-{running.pid}" in during
    assert f"coldstart-{running.pid}" not in instances()


def test_a_tracing_instance_of_a_run_that_was_killed_is_gone_once_the_next_begins(cli: Cli) -> None:
    some = ("tiers", "--source", "trace", "--tier", "warm", "--runtime", "crun", "-n", "3", "-w", "0")
    running = cli.start(*some)
    assert running.stderr is not None
    next(line for line in running.stderr if line.startswith("["))
    running.kill()
    running.communicate()
    left = instances()
    again = cli.start(*some)
    assert again.stderr is not None
    next(line for line in again.stderr if line.startswith("["))
    during = instances()
    again.send_signal(signal.SIGINT)
    again.communicate()
    name = f"coldstart-{running.pid}"
    assert (name in left, name in during) == (True, False)


def test_a_tracing_instance_of_a_run_that_was_killed_is_gone_after_the_testbed_is_removed(cli: Cli) -> None:
    running = cli.start("tiers", "--source", "trace", "--tier", "warm", "--runtime", "crun", "-n", "3", "-w", "0")
    assert running.stderr is not None
    next(line for line in running.stderr if line.startswith("["))
    running.kill()
    os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)  # it has ended, but its number is still taken
    left = instances()
    said: list[str] = []
    sweep_kernel(said.append)
    name = f"coldstart-{running.pid}"
    assert (name in left, name in instances()) == (True, False)
    assert said == ["removed the tracing instance of a killed run"]
    running.communicate()


# --- attribution ---


@pytest.fixture(scope="module")
def shell(testbed_config: TestbedConfig) -> str:
    """An archive of an image that runs commands."""
    return str(ensure_base(testbed_config.cache, "alpine", "linux/amd64", BaseSource.AUTO, lambda _: None).archive)


def test_a_script_that_becomes_a_server_starts_as_the_script_and_listens_as_the_server(
    testbed: Testbed, shell: str
) -> None:
    """What it does in between is the app's start, and no part of init."""
    samples, _ = measure(
        testbed,
        "trace",
        image=shell,
        workload=(),
        variant=(),
        ready=ProbeSpec.parse("tcp:8080"),
        options=ContainerOptions(command=("sh", "-c", "sleep 0.1; exec nc -lk -p 8080 -e true")),
    )
    for sample in samples:
        check_init(sample)
        assert only(sample, Phase.APP_START).length_ns > 100 * MS  # it slept that long


@pytest.fixture
def busy(testbed_config: TestbedConfig, image: Image) -> Iterator[list[str]]:
    """Another engine, on which the same image is pulled, started and removed all the time; with what it started."""
    config = msgspec.structs.replace(testbed_config, root=Path("/var/lib/coldstart-test-4"))
    other = lifecycle.up(config, lambda _: None)
    started: list[str] = []
    done = threading.Event()

    def work() -> None:
        with contextlib.closing(docker.APIClient(base_url=other.docker_host, version="auto")) as client:
            while not done.is_set():
                client.pull(image.reference)
                container = client.create_container(image.reference)["Id"]
                client.start(container)
                started.append(container)
                client.remove_container(container, force=True)
                client.remove_image(image.reference, force=True)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield started
    finally:
        done.set()
        thread.join()
        lifecycle.down(config.root, lambda _: None)


def test_another_engine_that_pulls_and_starts_the_same_meanwhile_is_not_taken_for_ours(
    testbed: Testbed, image: Image, busy: list[str]
) -> None:
    before = len(busy)
    samples, _ = measure(testbed, "trace", times=2, tier=(Tier.ABSENT,), instruments={"blobs": None})
    assert len(busy) > before + 1
    assert image.blob_bytes is not None
    for sample in samples:
        assert sample.fallback is None
        check_init(sample)
        assert is_within(only(sample, Phase.NETWORK_HOOK), only(sample, Phase.RUNTIME_CREATE))
        check_unpack(sample, [layer.digest for layer in image.layers])
        assert image.blob_bytes <= (sample.bytes_received or 0) < 1.1 * image.blob_bytes  # as read, with its headers


def test_containers_started_at_once_are_told_apart(testbed: Testbed) -> None:
    """Two of each runtime: every one has its own shim, calls of its runtime, network hook and entrypoint."""
    runtimes = RUNTIMES * 2
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setenv("COLDSTART_STATE_DIR", str(testbed.root))
        place = stack.enter_context(
            open_place(("docker",), asked_for=False, purpose="test of sources", progress=lambda _: None)
        )
        experiment = make_experiment(name="trace", runtime=RUNTIMES, tier=(Tier.WARM,))
        prepared = stack.enter_context(contextlib.closing(prepare(place, experiment, lambda _: None, source="trace")))
        ((_, image),) = prepared.images.items()
        created = []
        for runtime in runtimes:
            spec = ContainerSpec(image=image, runtime=runtime, network=Network.BRIDGE)
            created.append(place.engine.create(spec).value)
            stack.callback(place.engine.remove_container, created[-1])
        source = prepared.chosen.sources[0]
        clock = read_clock()
        source.begin()
        starts = started_at_once(testbed, created)
        states = tuple(place.engine.state(container) for container in created)
        seen = source.end(
            TrialWindow(
                image=image, clock=between(clock, read_clock()), pull=None, starts=starts, states=states, port=8080
            )
        )
    assert seen.lost is None
    assert max(start.start_ns for start in starts) < min(start.end_ns for start in starts)  # they do overlap
    for number, start in enumerate(starts):
        own = [span for span in seen.spans if span.container == number]
        for phase in (Phase.INIT_SHIM, Phase.RUNTIME_CREATE, Phase.NETWORK_HOOK, Phase.RUNTIME_START):
            (span,) = (span for span in own if span.phase is phase)
            assert start.start_ns <= span.start_ns < span.end_ns <= start.end_ns
        (entered,) = (
            instant
            for instant in seen.instants
            if (instant.container, instant.kind) == (number, InstantKind.ENTRYPOINT_EXEC)
        )
        (runtime_start,) = (span for span in own if span.phase is Phase.RUNTIME_START)
        assert runtime_start.start_ns <= entered.at_ns <= start.end_ns + 100 * MS
    names = {(use.container, use.name) for use in seen.uses if use.role == "runtime_create"}
    assert names == set(enumerate(runtimes))


def started_at_once(bed: Testbed, containers: list[str]) -> tuple[Timed[None], ...]:
    """Start them all, each by a thread and a connection of its own, that wait for one another."""
    together = threading.Barrier(len(containers))
    found: dict[str, Timed[None]] = {}

    def start(container: str) -> None:
        with contextlib.closing(docker.APIClient(base_url=bed.docker_host, version="auto")) as client:
            together.wait()
            begin_ns = time.monotonic_ns()
            client.start(container)
            found[container] = Timed(begin_ns, time.monotonic_ns(), None)

    threads = [threading.Thread(target=start, args=(container,)) for container in containers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tuple(found[container] for container in containers)
