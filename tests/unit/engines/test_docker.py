"""What Docker is asked for images, and what of them is left behind on an engine that is not ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from coldstart.engines.base import Capability, ContainerSpec, EngineAddress
from coldstart.engines.bounded import Limits, UnansweredError
from coldstart.engines.docker import DockerEngine, connect
from coldstart.engines.wire import LABEL, OWNER
from coldstart.errors import EngineError, EngineUnreachableError
from coldstart.measure.cold import unprovable
from coldstart.model.cell import Network, Tier
from coldstart.model.image import Image
from tests.unit.engines.fake_daemon import CONTAINER_ID, FakeDaemon, inspected
from tests.unit.factories import layer_digest, make_image

DIGEST = layer_digest(7)


def image(reference: str, facts: dict[str, Any]) -> Image:
    return make_image(reference=reference, image_id=facts["Id"])


@pytest.fixture
def theirs(daemon: FakeDaemon) -> Image:
    """An image that was there before us."""
    daemon.images["theirs:1"] = inspected("theirs:1")
    return image("theirs:1", daemon.images["theirs:1"])


@pytest.fixture
def offered(daemon: FakeDaemon) -> Image:
    """An image that has to be pulled."""
    daemon.offered["app:1"] = inspected("app:1", digest=DIGEST)
    return image("app:1", daemon.offered["app:1"])


@pytest.fixture
def engine(daemon: FakeDaemon) -> Iterator[DockerEngine]:
    """A user's own Docker."""
    with closing(connect(EngineAddress(url=daemon.url, where="user"))) as connected:
        yield connected


# --- what it can do ---


@pytest.mark.parametrize(("api_version", "tells"), [("1.41", True), ("1.45", True), ("1.46", False), ("2.0", False)])
def test_only_engines_up_to_26_tell_the_start_by_their_state(daemon: FakeDaemon, api_version: str, tells: bool) -> None:
    daemon.api_version = api_version
    with closing(connect(EngineAddress(url=daemon.url, where="user"))) as engine:
        assert (Capability.STARTED_AT_EXEC in engine.capabilities) is tells


@pytest.mark.parametrize(
    ("version", "reads"),
    [("20.10.24+dfsg1", False), ("22.06", False), ("23.0.0", True), ("28.5.1", True), ("dev", True)],
)
def test_docker_unpacks_zstd_from_23_on(daemon: FakeDaemon, version: str, reads: bool) -> None:
    daemon.version = version
    with closing(connect(EngineAddress(url=daemon.url, where="user"))) as engine:
        assert (Capability.ZSTD_LAYERS in engine.capabilities) is reads


def test_an_instant_by_another_machines_clock_is_not_told(daemon: FakeDaemon) -> None:
    daemon.kernel = "6.6.12-linuxkit"
    with closing(connect(EngineAddress(url=daemon.url, where="user"))) as engine:
        assert Capability.STARTED_AT_EXEC not in engine.capabilities


@pytest.mark.parametrize(
    ("status", "tells"),
    [([["Backing Filesystem", "extfs"]], True), ([["driver-type", "io.containerd.snapshotter.v1"]], False)],
)
def test_a_pull_into_containerds_store_does_not_tell_of_each_layer(
    daemon: FakeDaemon, status: list[list[str]], tells: bool
) -> None:
    daemon.driver_status = status
    with closing(connect(EngineAddress(url=daemon.url, where="user"))) as engine:
        assert (Capability.PULL_PROGRESS in engine.capabilities) is tells
        assert (unprovable(Tier.ABSENT, engine) is None) is tells
        assert unprovable(Tier.WARM, engine) is None


# --- leaving ---


def test_a_users_engine_is_left_without_what_we_pulled(
    daemon: FakeDaemon, engine: DockerEngine, theirs: Image, offered: Image
) -> None:
    engine.pull(offered)
    engine.close()
    assert list(daemon.images) == [theirs.reference]


def test_a_users_image_that_we_gave_another_name_loses_that_name_only(
    daemon: FakeDaemon, engine: DockerEngine, theirs: Image
) -> None:
    """The same image by another reference: its ID is the user's, and is never removed."""
    daemon.offered["ours:1"] = daemon.images["theirs:1"]
    other = make_image(reference="ours:1", image_id=theirs.image_id)
    assert not engine.has_reference(other)
    engine.pull(other)
    daemon.requests.clear()
    engine.close()
    assert daemon.changes == ["DELETE /images/ours:1?force=1"]
    assert list(daemon.images) == [theirs.reference]


def test_our_own_engine_keeps_what_was_pulled(daemon: FakeDaemon, offered: Image) -> None:
    with closing(connect(EngineAddress(url=daemon.url, where="testbed", private=True))) as engine:
        engine.pull(offered)
    assert list(daemon.images) == [offered.reference]


def test_what_was_removed_before_is_not_removed_again(daemon: FakeDaemon, engine: DockerEngine, offered: Image) -> None:
    engine.pull(offered)
    engine.remove_image(offered)
    daemon.requests.clear()
    engine.close()
    assert daemon.requests == []


def test_an_image_that_refuses_to_go_does_not_keep_us(
    daemon: FakeDaemon, engine: DockerEngine, offered: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.pull(offered)
    monkeypatch.setattr(daemon, "_remove", lambda _name: (409, {"message": "in use"}))
    engine.close()
    assert list(daemon.images) == [offered.reference]


# --- removing ---


def test_an_image_that_was_there_before_is_not_removed(daemon: FakeDaemon, engine: DockerEngine, theirs: Image) -> None:
    with pytest.raises(EngineError, match="theirs:1 was in this engine before coldstart came"):
        engine.remove_image(theirs)
    assert daemon.changes == []


def test_an_image_with_our_label_is_ours_to_remove(daemon: FakeDaemon, engine: DockerEngine) -> None:
    labelled = inspected("hello:1", Config={"Labels": {LABEL: OWNER}})
    daemon.images["hello:1"] = labelled
    engine.remove_image(image("hello:1", labelled))
    assert daemon.images == {}


def layered(name: str, *layers: str) -> dict[str, Any]:
    """What an inspect says of an image of these layers."""
    return inspected(name, digest=DIGEST, RepoTags=[name], RootFS={"Type": "layers", "Layers": list(layers)})


def test_an_image_that_was_there_before_keeps_its_layers(engine: DockerEngine, theirs: Image) -> None:
    assert engine.kept_layers(theirs) == "theirs:1 was in the engine before"


def test_an_image_whose_base_was_there_before_keeps_that(
    daemon: FakeDaemon, engine: DockerEngine, offered: Image
) -> None:
    daemon.images["base:1"] = layered("base:1", offered.layers[0].diff_id)
    assert engine.kept_layers(offered) == "base:1 has layers of app:1 and was in the engine before"


def test_an_image_that_shares_no_base_keeps_nothing(
    daemon: FakeDaemon, engine: DockerEngine, theirs: Image, offered: Image
) -> None:
    assert theirs.reference in daemon.images
    assert engine.kept_layers(offered) is None


def test_an_image_that_we_pulled_keeps_nothing(daemon: FakeDaemon, engine: DockerEngine, offered: Image) -> None:
    daemon.offered["app:1"]["RootFS"]["Layers"] = [layer.diff_id for layer in offered.layers]
    engine.pull(offered)
    assert engine.kept_layers(offered) is None


def test_our_own_engine_keeps_no_layers(daemon: FakeDaemon, theirs: Image) -> None:
    with closing(connect(EngineAddress(url=daemon.url, where="testbed", private=True))) as engine:
        assert engine.kept_layers(theirs) is None


def test_removing_an_image_removes_what_we_pulled_with_the_same_base_and_nothing_else(
    daemon: FakeDaemon, engine: DockerEngine, offered: Image
) -> None:
    """Two sides of a gate share their base by nature: the one that started last must not leave it to the other."""
    layers = [layer.diff_id for layer in offered.layers]
    daemon.offered["pr:1"] = layered("pr:1", layers[0], "sha256:other")
    daemon.images["elsewhere:1"] = layered("elsewhere:1", "sha256:base")
    engine.pull(image("pr:1", daemon.offered["pr:1"]))
    engine.remove_image(offered)
    assert list(daemon.images) == ["elsewhere:1"]


def test_removing_what_is_not_there_is_fine(daemon: FakeDaemon, engine: DockerEngine, offered: Image) -> None:
    engine.remove_image(offered)
    assert daemon.changes == []


def test_a_copy_under_another_name_is_the_image_too(engine: DockerEngine, theirs: Image) -> None:
    copy = make_image(reference="other:1", image_id=theirs.image_id)
    assert (engine.has_image(copy), engine.has_reference(copy)) == (True, False)
    assert engine.has_reference(theirs)


# --- pulling ---


@pytest.mark.parametrize(
    ("reference", "query"),
    [
        ("app", "fromImage=app&tag=latest"),
        ("app:1", "fromImage=app%3A1"),
        ("r:5000/team/app", "fromImage=r%3A5000/team/app&tag=latest"),
        (f"app@{DIGEST}", f"fromImage=app&tag={DIGEST.replace(':', '%3A')}"),
    ],
)
def test_one_image_is_asked_for_never_all_tags_of_a_name(
    daemon: FakeDaemon, engine: DockerEngine, reference: str, query: str
) -> None:
    with pytest.raises(EngineError):
        engine.pull(make_image(reference=reference))
    assert daemon.changes == [f"POST /images/create?{query}"]


def test_a_pull_that_fails_in_its_stream_is_an_error(daemon: FakeDaemon, engine: DockerEngine, offered: Image) -> None:
    daemon.refusal = "unexpected EOF"
    with pytest.raises(EngineError, match="pull of app:1: unexpected EOF"):
        engine.pull(offered)


def test_a_pull_that_is_refused_is_an_error(engine: DockerEngine) -> None:
    with pytest.raises(EngineError, match="pull of none:1: manifest for none:1 not found"):
        engine.pull(make_image(reference="none:1"))


def test_containerds_own_names_are_no_runtimes(engine: DockerEngine) -> None:
    assert [runtime.name for runtime in engine.runtimes()] == ["runc"]


# --- running a command ---


def test_a_command_is_waited_for_until_its_exit_code_is_known(daemon: FakeDaemon, engine: DockerEngine) -> None:
    daemon.output = b"\x02\0\0\0\0\0\0\x03no\n"
    daemon.inspections = [{"Running": True, "ExitCode": None}, {"Running": False, "ExitCode": 3}]
    ran = engine.execute("running", ("test", "-e", "/x"))
    assert (ran.value.exit_code, ran.value.output) == (3, "no\n")
    assert ran.start_ns < ran.end_ns
    assert daemon.changes == ["POST /containers/running/exec", "POST /exec/e/start"]


IMPATIENT = Limits(answer_s=0.05)


def _execute(engine: DockerEngine) -> object:
    return engine.execute("running", ("true",))


def _follow(engine: DockerEngine) -> object:
    return list(engine.follow_output(_created(engine)))


def _wait(engine: DockerEngine) -> object:
    return engine.wait_exit(_created(engine))()


def _created(engine: DockerEngine) -> str:
    """A container whose requests are waited for as long as they may be, which is not long."""
    spec = ContainerSpec(image=make_image(), runtime="runc", network=Network.HOST, limit_ns=50_000_000)
    return engine.create(spec).value


@pytest.mark.parametrize(
    ("silent", "ask"),
    [
        ("POST /containers/running/exec", _execute),
        ("GET /exec/e/json", _execute),
        (f"GET /containers/{CONTAINER_ID}/logs", _follow),
        (f"POST /containers/{CONTAINER_ID}/wait", _wait),
    ],
)
def test_a_request_that_is_not_answered_is_no_loss_of_an_engine_that_answers_others(
    daemon: FakeDaemon, silent: str, ask: Callable[[DockerEngine], object]
) -> None:
    daemon.silent = {silent}
    with (
        closing(DockerEngine(EngineAddress(url=daemon.url, where="user"), IMPATIENT)) as engine,
        pytest.raises(UnansweredError, match=r": .* no answer to .* within 0\.\d+ s\."),
    ):
        ask(engine)


@pytest.mark.parametrize("never_exits", [False, True])
def test_an_exit_is_waited_for_no_longer_than_a_start_may_take(daemon: FakeDaemon, never_exits: bool) -> None:
    daemon.never_exits, daemon.output = never_exits, b'{"StatusCode":7}'
    with closing(DockerEngine(EngineAddress(url=daemon.url, where="user"), IMPATIENT)) as engine:
        wait = engine.wait_exit(_created(engine))
        if not never_exits:
            assert wait().value == 7
            return
        with pytest.raises(UnansweredError, match=r"wait: .* no answer to"):
            wait()


def test_an_engine_that_answers_nothing_any_more_is_lost(daemon: FakeDaemon) -> None:
    limits = Limits(answer_s=0.05, ping_s=0.05)
    with closing(DockerEngine(EngineAddress(url=daemon.url, where="user"), limits)) as engine:
        daemon.silent = {"POST /containers/running/exec", "GET /_ping"}
        with pytest.raises(EngineUnreachableError):
            _execute(engine)
        daemon.silent = set()


def test_output_that_is_not_answered_for_is_none(daemon: FakeDaemon) -> None:
    """It is asked for as a start has failed, whose reason must not be lost with it."""
    daemon.silent = {"GET /containers/running/logs"}
    with closing(DockerEngine(EngineAddress(url=daemon.url, where="user"), IMPATIENT)) as engine:
        assert engine.output_tail("running") == ""


def test_no_command_runs_in_a_container_that_does_not(engine: DockerEngine) -> None:
    with pytest.raises(EngineError, match="exec: Container other is not running"):
        engine.execute("other", ("true",))


# --- containers ---


def container(*, running: bool = True, pid: int = 0, network: str = "bridge") -> dict[str, Any]:
    """What an inspection of a container says."""
    state = {"Running": running, "Pid": pid, "StartedAt": "", "FinishedAt": "", "ExitCode": 0}
    networks = {"bridge": {"IPAddress": "172.17.0.2" if running else ""}}
    return {"State": state, "NetworkSettings": {"Networks": networks}, "HostConfig": {"NetworkMode": network}}


@pytest.mark.parametrize("warnings", [[], None, ["Limitation discarded.", "Limitation discarded."]])
def test_what_docker_warns_of_when_it_creates_is_told_once(
    daemon: FakeDaemon, engine: DockerEngine, theirs: Image, warnings: list[str] | None
) -> None:
    daemon.warnings = warnings
    engine.create(ContainerSpec(image=theirs, runtime="runc", network=Network.BRIDGE))
    assert (engine.take_warnings(), engine.take_warnings()) == (tuple(dict.fromkeys(warnings or ())), ())


def test_a_docker_under_another_kernel_has_none_of_our_folders_and_addresses(daemon: FakeDaemon) -> None:
    daemon.kernel, daemon.containers["box"] = "6.6.12-linuxkit", container()
    with closing(connect(EngineAddress(url=daemon.url, where="user"))) as engine:
        assert not {Capability.CONTAINER_ADDRESS, Capability.SAME_MACHINE} & engine.capabilities
        assert engine.data_root is None
        assert engine.host_endpoint(80) is None
        with pytest.raises(EngineError, match=r"another kernel .* Use a log, exec or healthcheck probe"):
            engine.endpoint("box", 80)


def test_a_daemon_that_is_not_seen_has_its_containers_prove_where_they_are(
    daemon: FakeDaemon, engine: DockerEngine
) -> None:
    """The daemon here is this process, which is not called dockerd; process 1 is not the container's."""
    if Capability.CONTAINER_ADDRESS not in engine.capabilities:
        pytest.skip("needs root: others may enter no container's network")
    daemon.containers["c0ffee" * 10] = container(pid=1)
    with pytest.raises(EngineError, match=r"their addresses may be somebody else's here\. Use a log"):
        engine.endpoint("c0ffee" * 10, 80)
    assert engine.host_endpoint(80) is None


def test_an_engine_over_a_network_is_asked_at_its_hosts_address_with_network_host_only(daemon: FakeDaemon) -> None:
    daemon.containers |= {"box": container(network="host"), "other": container()}
    with closing(connect(EngineAddress(url=daemon.url, where="user"))) as engine:
        engine._address = EngineAddress(url="tcp://198.51.100.7:2375", where="user")
        engine._reach = engine._reached()
        assert engine.endpoint("box", 80) == (None, ("198.51.100.7", 80))
        assert engine.host_endpoint(80) == (None, ("198.51.100.7", 80))
        with pytest.raises(EngineError, match="they have addresses of another machine"):
            engine.endpoint("other", 80)


def test_the_testbeds_containers_are_asked_in_its_namespace(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.containers["box"] = container()
    address = EngineAddress(url=daemon.url, where="testbed", private=True, netns=tmp_path)
    with closing(connect(address)) as engine:
        assert engine.endpoint("box", 80) == (tmp_path, ("172.17.0.2", 80))
        assert engine.host_endpoint(80) == (tmp_path, ("127.0.0.1", 80))


def test_a_container_that_has_ended_has_no_address(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.containers["box"] = container(running=False)
    address = EngineAddress(url=daemon.url, where="testbed", netns=tmp_path)
    with closing(connect(address)) as engine, pytest.raises(EngineError, match="no network address"):
        engine.endpoint("box", 80)
