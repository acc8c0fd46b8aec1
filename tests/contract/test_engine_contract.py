"""What every engine promises: one suite for the fake one and for each real one on this machine."""

from __future__ import annotations

import re
import time
from contextlib import closing

import msgspec
import pytest

from coldstart import engines, probes
from coldstart.engines.base import Capability, Engine
from coldstart.errors import EngineError
from coldstart.measure.assemble import between, read_clock
from coldstart.measure.cold import BlobWatch, doubt, unprovable
from coldstart.model.cell import Network, Tier
from coldstart.model.image import Image
from coldstart.model.probe import ProbeSpec
from coldstart.model.sample import ColdProof, Phase
from coldstart.probes.base import NotReady, Ready
from coldstart.probes.notify import NotifyProbe
from coldstart.trace.base import TrialWindow
from coldstart.trace.engine_api import EngineApi
from coldstart.trace.engine_log import EngineLog
from tests.contract.conftest import CONTENDERS, Contender

SOON_NS = 30_000_000_000


def _wait(engine: Engine, container_id: str, ready: str) -> Ready | NotReady:
    probe = probes.factory(ProbeSpec.parse(ready))()
    return probe.wait(engine, container_id, time.monotonic_ns() + SOON_NS)


def test_every_engine_of_the_package_is_under_contract() -> None:
    assert set(engines.names()) == set(CONTENDERS)


def test_it_says_what_it_is(engine: Engine) -> None:
    facts = engine.facts()
    assert (facts.name, facts.capabilities) == (engine.name, tuple(sorted(engine.capabilities)))
    assert re.fullmatch(r"linux/[a-z0-9]+", facts.platform or "")


def test_its_runtimes_have_names_and_are_listed_once(engine: Engine) -> None:
    names = [facts.name for facts in engine.runtimes()]
    assert "runc" in names
    assert len(names) == len(set(names))


def test_every_tier_is_provable_or_the_reason_is_told(engine: Engine) -> None:
    for tier in Tier:
        reason = unprovable(tier, engine)
        assert reason is None or len(reason) > 20


def test_a_pull_brings_the_image_and_a_removal_takes_it(engine: Engine, contender: Contender) -> None:
    image = contender.server
    engine.remove_image(image)
    before = engine.has_image(image)
    engine.pull(image)
    between_them = engine.has_image(image)
    engine.remove_image(image)
    assert (before, between_them, engine.has_image(image)) == (False, True, False)


def test_an_image_that_is_there_under_another_name_is_given_its_name_by_a_pull(
    engine: Engine, contender: Contender, shell: Image
) -> None:
    other = contender.renamed
    assert other.image_id == shell.image_id
    assert (engine.has_image(other), engine.has_reference(other)) == (True, False)
    with pytest.raises(EngineError, match="No such image"):
        engine.create(contender.spec(other))
    pull = engine.pull(other)
    assert [event for event in pull.value if event.status == "Pull complete"] == []
    assert engine.has_reference(other)
    engine.create(contender.spec(other))
    engine.sweep()
    engine.remove_image(other)
    assert not engine.has_image(shell)


def test_removing_what_is_absent_is_fine(engine: Engine, contender: Contender) -> None:
    engine.remove_image(contender.server)
    engine.remove_image(contender.server)
    assert not engine.has_image(contender.server)


def test_a_pull_of_an_absent_image_unpacks_every_layer_once(engine: Engine, contender: Contender) -> None:
    engine.remove_image(contender.shell)
    engine.remove_image(contender.server)
    asked_ns = time.monotonic_ns()
    pull = engine.pull(contender.server)
    complete = [event.layer for event in pull.value if event.status == "Pull complete"]
    assert len(complete) == len(set(complete)) == len(contender.server.layers)
    assert asked_ns <= pull.start_ns <= pull.value[0].at_ns <= pull.value[-1].at_ns <= pull.end_ns


def test_a_layer_that_is_listed_twice_proves_an_absent_start(engine: Engine, contender: Contender) -> None:
    """It is fetched and reported once, and the spans of every layer are complete."""
    image = contender.repeated
    engine.remove_image(image)
    watch, source, clock = BlobWatch(None), EngineLog(engine), read_clock()
    source.begin()
    pull = engine.pull(image)
    proof = watch.conclude(ColdProof(tier=Tier.ABSENT, source="engine_api"), image, pull)
    assert (doubt(proof, image), proof.layers_unpacked) == (None, len(image.layers) - 1)
    if Capability.LAYER_LOG in engine.capabilities:
        window = TrialWindow(image=image, clock=between(clock, read_clock()), pull=pull, starts=(), states=())
        spans = source.end(window).spans
        for phase in (Phase.DOWNLOAD, Phase.UNPACK, Phase.REGISTER):
            assert {span.layer for span in spans if span.phase is phase} == {layer.digest for layer in image.layers}
        registered = [span for span in spans if span.phase is Phase.REGISTER]
        assert len(registered) == len(image.layers) - 1


def test_a_pull_of_a_present_image_unpacks_nothing(engine: Engine, server: Image) -> None:
    assert [event for event in engine.pull(server).value if event.status == "Pull complete"] == []


def test_its_log_and_its_api_give_every_layer_its_spans(engine: Engine, contender: Contender) -> None:
    if Capability.LAYER_LOG not in engine.capabilities:
        pytest.skip("no readable log: its layers are known by the API's progress alone")
    image = contender.server
    engine.remove_image(image)
    source, clock = EngineLog(engine), read_clock()
    source.begin()
    pull = engine.pull(image)
    window = TrialWindow(image=image, clock=between(clock, read_clock()), pull=pull, starts=(), states=())
    spans = source.end(window).spans
    for phase in (Phase.DOWNLOAD, Phase.UNPACK, Phase.REGISTER):
        assert {span.layer for span in spans if span.phase is phase} == {layer.digest for layer in image.layers}
    assert all(pull.start_ns <= span.start_ns <= span.end_ns <= pull.end_ns for span in spans)


def test_an_image_nobody_has_is_an_engine_error(engine: Engine, contender: Contender) -> None:
    if engine.name == "fake":
        pytest.skip("its registry makes up whatever is asked for")
    nowhere = msgspec.structs.replace(contender.server, reference=contender.server.reference.replace("hello", "nobody"))
    with pytest.raises(EngineError, match="nobody"):
        engine.pull(nowhere)


def test_no_container_is_created_of_an_absent_image(engine: Engine, contender: Contender) -> None:
    engine.remove_image(contender.server)
    with pytest.raises(EngineError, match="No such image"):
        engine.create(contender.spec(contender.server))


def test_what_it_warned_of_is_told_once(engine: Engine, contender: Contender, server: Image) -> None:
    engine.create(contender.spec(server))
    assert all(isinstance(warning, str) for warning in engine.take_warnings())
    assert engine.take_warnings() == ()


def test_its_containers_can_be_asked_or_the_reason_is_told(engine: Engine) -> None:
    for network in (Network.BRIDGE, Network.HOST):
        obstacle = engine.obstacle_to_asking(network)
        assert (obstacle is None) is (Capability.CONTAINER_ADDRESS in engine.capabilities)


def test_an_unknown_runtime_is_an_engine_error_that_names_it(
    engine: Engine, contender: Contender, server: Image
) -> None:
    spec = msgspec.structs.replace(contender.spec(server), runtime="runq")
    with pytest.raises(EngineError, match="runq"):
        engine.start(engine.create(spec).value)


def test_a_created_container_does_not_run(engine: Engine, contender: Contender, server: Image) -> None:
    state = engine.state(engine.create(contender.spec(server)).value)
    assert (state.running, state.started_wall_ns) == (False, None)


def test_a_started_container_runs_since_the_start_was_asked_for(
    engine: Engine, contender: Contender, server: Image
) -> None:
    created = engine.create(contender.spec(server))
    clock = read_clock()
    start = engine.start(created.value)
    state = engine.state(created.value)
    assert state.running
    assert state.started_wall_ns is not None
    # Docker's instant may be a few ms late (its event loop), never early.
    started_ns = state.started_wall_ns - clock.offset_ns
    assert start.start_ns - clock.error_ns <= started_ns <= time.monotonic_ns() + clock.error_ns


def test_the_api_tells_when_the_entrypoint_was_started(engine: Engine, contender: Contender, server: Image) -> None:
    source, clock = EngineApi(engine.capabilities), read_clock()
    created = engine.create(contender.spec(server))
    start = engine.start(created.value)
    window = TrialWindow(image=server, clock=clock, pull=None, starts=(start,), states=(engine.state(created.value),))
    (instant,) = source.end(window).instants
    assert start.start_ns - instant.error_ns <= instant.at_ns <= time.monotonic_ns() + instant.error_ns


@pytest.mark.parametrize("ready", ["http:8080/", "tcp:8080", "log:listening"])
def test_a_server_becomes_ready_by_every_probe(engine: Engine, contender: Contender, server: Image, ready: str) -> None:
    created = engine.create(contender.spec(server))
    start = engine.start(created.value)
    found = _wait(engine, created.value, ready)
    assert isinstance(found, Ready)
    assert found.at_ns >= start.start_ns


def test_a_command_in_a_running_container_is_told_with_its_code_and_output(
    engine: Engine, contender: Contender, shell: Image
) -> None:
    created = engine.create(contender.spec(shell, "sh", "-c", "exec sleep 60"))
    start = engine.start(created.value)
    for code in (0, 3):
        ran = engine.execute(created.value, ("sh", "-c", f"echo app: that was all; exit {code}"))
        assert (ran.value.exit_code, ran.value.output) == (code, "app: that was all\n")
        assert start.end_ns <= ran.start_ns < ran.end_ns <= time.monotonic_ns()


def test_no_command_runs_in_a_container_that_does_not(engine: Engine, contender: Contender, shell: Image) -> None:
    created = engine.create(contender.spec(shell, "sh", "-c", "exit 0"))
    with pytest.raises(EngineError, match="is not running"):
        engine.execute(created.value, ("true",))


def test_an_image_without_a_healthcheck_has_no_health(engine: Engine, contender: Contender, server: Image) -> None:
    created = engine.create(contender.spec(server))
    engine.start(created.value)
    assert engine.state(created.value).health is None


def test_an_image_with_a_healthcheck_starts_and_becomes_healthy(
    engine: Engine, contender: Contender, checked: Image
) -> None:
    created = engine.create(contender.spec(checked, "sh", "-c", "exec sleep 60"))
    engine.start(created.value)
    first = engine.state(created.value).health
    assert first is not None
    assert first.status in {"starting", "healthy"}
    assert isinstance(_wait(engine, created.value, "healthcheck"), Ready)
    last = engine.state(created.value).health
    assert last is not None
    assert (last.status, last.failed_wall_ns) == ("healthy", None)


def test_a_command_that_succeeds_is_readiness(engine: Engine, contender: Contender, shell: Image) -> None:
    created = engine.create(contender.spec(shell, "sh", "-c", "exec sleep 60"))
    engine.start(created.value)
    assert isinstance(_wait(engine, created.value, "exec:sh -c 'exit 0'"), Ready)


def test_an_app_can_send_to_a_socket_of_ours(engine: Engine, contender: Contender, shell: Image) -> None:
    """Busybox's logger writes a datagram to /dev/log: see tests/engine/test_probes.py."""
    script = 'ln -s $NOTIFY_SOCKET /dev/log; logger "x\nREADY=1"; exec sleep 60'
    with closing(NotifyProbe()) as probe:
        created = engine.create(contender.spec(shell, "sh", "-c", script, probe=probe))
        probe.arm(engine, created.value)
        start = engine.start(created.value)
        found = probe.wait(engine, created.value, time.monotonic_ns() + SOON_NS)
        engine.remove_container(created.value)
    assert isinstance(found, Ready)
    assert found.at_ns >= start.start_ns


def test_host_networking_is_reached_where_the_engine_is(engine: Engine, contender: Contender, server: Image) -> None:
    created = engine.create(contender.spec(server, network=Network.HOST))
    engine.start(created.value)
    assert isinstance(_wait(engine, created.value, "http:8080/"), Ready)


def test_a_container_without_a_network_has_no_endpoint(engine: Engine, contender: Contender, server: Image) -> None:
    created = engine.create(contender.spec(server, network=Network.NONE))
    engine.start(created.value)
    with pytest.raises(EngineError, match="log or exit probe"):
        engine.endpoint(created.value, 8080)


@pytest.mark.parametrize("code", [0, 3])
def test_an_exit_is_told_with_its_code(engine: Engine, contender: Contender, shell: Image, code: int) -> None:
    created = engine.create(contender.spec(shell, "sh", "-c", f"exit {code}"))
    wait = engine.wait_exit(created.value)
    engine.start(created.value)
    assert wait().value == code


def test_the_state_of_an_ended_container_has_its_end(engine: Engine, contender: Contender, shell: Image) -> None:
    # Docker notes the start after the fact: of a shorter life it may say that it ended 1 ms before it began.
    created = engine.create(contender.spec(shell, "sh", "-c", "sleep 0.2; exit 3"))
    wait = engine.wait_exit(created.value)
    engine.start(created.value)
    wait()
    state = engine.state(created.value)
    assert (state.running, state.exit_code) == (False, 3)
    assert state.finished_wall_ns is not None
    assert state.finished_wall_ns >= (state.started_wall_ns or 0)


def test_output_is_followed_line_by_line_to_its_end(engine: Engine, contender: Contender, shell: Image) -> None:
    command = ("sh", "-c", "echo app: that was all; exit 0")
    created = engine.create(contender.spec(shell, *command))
    engine.start(created.value)
    assert list(engine.follow_output(created.value)) == [b"app: that was all"]


def test_the_end_of_an_ended_containers_output_can_be_read(engine: Engine, contender: Contender, shell: Image) -> None:
    created = engine.create(contender.spec(shell, "sh", "-c", "echo app: that was all; exit 3"))
    wait = engine.wait_exit(created.value)
    engine.start(created.value)
    wait()
    assert engine.output_tail(created.value).strip() == "app: that was all"


def test_a_removed_container_is_gone_and_removing_it_again_is_fine(
    engine: Engine, contender: Contender, server: Image
) -> None:
    created = engine.create(contender.spec(server))
    engine.start(created.value)
    engine.remove_container(created.value)
    engine.remove_container(created.value)
    with pytest.raises(EngineError, match="No such container"):
        engine.state(created.value)


def test_a_sweep_removes_our_containers_running_or_not_and_counts_them(
    engine: Engine, contender: Contender, server: Image
) -> None:
    engine.create(contender.spec(server))
    engine.start(engine.create(contender.spec(server)).value)
    assert (engine.sweep(), engine.sweep()) == (2, 0)


def test_layers_that_can_be_read_hold_the_images_files(engine: Engine, server: Image) -> None:
    if Capability.LAYER_PATHS not in engine.capabilities:
        with pytest.raises(EngineError, match="layer"):
            engine.layer_paths(server)
        return
    paths = engine.layer_paths(server)
    assert len(paths) == len(server.layers)
    assert sum(f.stat().st_size for path in paths for f in path.rglob("*") if f.is_file()) == server.unpacked_bytes
