"""Requests that end, though the engine or one of its containers hangs."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Literal

import msgspec
import pytest

from coldstart.engines.base import ContainerSpec, EngineAddress
from coldstart.engines.bounded import BoundedConnection, Limits, UnansweredError
from coldstart.engines.docker import DockerEngine
from coldstart.errors import EngineError, EngineUnreachableError
from coldstart.model.cell import Network
from coldstart.model.image import Image
from tests.unit.engines.fake_daemon import CONTAINER_ID, FakeDaemon, inspected
from tests.unit.factories import make_image

FAILS_S = 0.1  # for what is never answered; what has to succeed is given at least HOLDS_S, which a busy machine keeps
HOLDS_S = 2.0
LIMITS = Limits(connect_s=9, ping_s=9, answer_s=9, removal_s=9, image_removal_s=9, stuck_s=9, silence_s=9)
START = f"POST /containers/{CONTAINER_ID}/start"
REMOVAL = f"DELETE /containers/{CONTAINER_ID}"


def engine(daemon: FakeDaemon, *, private: bool = False, **limits_s: float) -> DockerEngine:
    where: Literal["testbed", "user"] = "testbed" if private else "user"
    address = EngineAddress(url=daemon.url, where=where, private=private)
    return DockerEngine(address, msgspec.structs.replace(LIMITS, **limits_s))


def created(docker: DockerEngine, image: Image | None = None, limit_s: float = HOLDS_S) -> str:
    spec = ContainerSpec(
        image=image or make_image(), runtime="runc", network=Network.NONE, limit_ns=int(limit_s * 1_000_000_000)
    )
    return docker.create(spec).value


def test_a_start_is_given_its_containers_limit_and_named_as_the_runtimes_where_the_engine_answers_others(
    daemon: FakeDaemon,
) -> None:
    daemon.silent.add(START)
    with closing(engine(daemon)) as docker, pytest.raises(EngineError) as caught:
        docker.start(created(docker))
    assert not isinstance(caught.value, EngineUnreachableError)
    assert str(caught.value) == (
        "start by the OCI runtime: no answer within 2 s, though the engine answers other requests"
    )


def test_a_create_is_given_its_containers_limit_too(daemon: FakeDaemon) -> None:
    daemon.silent.add("POST /containers/create")
    with closing(engine(daemon)) as docker, pytest.raises(EngineError, match=r"no answer within 0\.2 s"):
        created(docker, limit_s=0.2)


def test_an_engine_that_answers_nothing_is_out_of_reach_and_not_waited_for_at_each_request(daemon: FakeDaemon) -> None:
    line = BoundedConnection(daemon.url, Limits(ping_s=HOLDS_S))
    daemon.silent.add("")
    with pytest.raises(EngineUnreachableError):
        line.request("GET", "/v1.41/info", limit_s=FAILS_S)
    with pytest.raises(EngineUnreachableError):
        line.request("GET", "/v1.41/version")
    daemon.silent.clear()
    assert line.request("GET", "/v1.41/info").status == 200
    line.close()
    assert "GET /version" not in daemon.requests


def test_connecting_to_an_engine_that_hangs_ends_with_the_remedy(daemon: FakeDaemon) -> None:
    daemon.silent.add("")
    with pytest.raises(EngineUnreachableError, match="coldstart testbed up"):
        engine(daemon, connect_s=FAILS_S)


@pytest.mark.parametrize(
    ("path", "limits_s", "said"),
    [("GET /images/", {"answer_s": HOLDS_S}, "2 s"), ("DELETE /images/", {"image_removal_s": FAILS_S}, r"0\.1 s")],
)
def test_images_are_asked_after_and_removed_within_a_limit(
    daemon: FakeDaemon, path: str, limits_s: dict[str, Any], said: str
) -> None:
    daemon.images["app:1"] = inspected("app:1", Config={"Labels": {"coldstart.owner": "coldstart"}})
    daemon.silent.add(path)
    with closing(engine(daemon, **limits_s)) as docker, pytest.raises(UnansweredError, match=f"within {said}"):
        docker.remove_image(make_image(reference="app:1", image_id=daemon.images["app:1"]["Id"]))


def test_a_pull_that_makes_no_progress_is_given_up_as_that(daemon: FakeDaemon) -> None:
    daemon.silent.add("POST /images/create")
    slow = closing(engine(daemon, silence_s=FAILS_S))
    with slow as docker, pytest.raises(UnansweredError, match="pull of none:1: no progress"):
        docker.pull(make_image(reference="none:1"))


def test_a_removal_that_is_not_answered_is_an_error_and_is_tried_again(daemon: FakeDaemon) -> None:
    daemon.silent.add(REMOVAL)
    with closing(engine(daemon, removal_s=HOLDS_S)) as docker:
        container_id = created(docker)
        with pytest.raises(UnansweredError, match="removal of container"):
            docker.remove_container(container_id)
        daemon.silent.clear()
        docker.remove_container(container_id)
    assert sum(request.startswith(REMOVAL) for request in daemon.requests) == 2


def test_on_an_engine_of_ours_the_processes_of_a_container_that_hangs_are_killed_before_its_removal(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[tuple[str, bool]] = []

    def end_container(container_id: str) -> int:
        killed.append((container_id, any(request.startswith(REMOVAL) for request in daemon.requests)))
        return 1

    monkeypatch.setattr("coldstart.engines.docker.end_container", end_container)
    daemon.silent.add(START)
    with closing(engine(daemon, private=True)) as docker:
        container_id = created(docker)
        with pytest.raises(UnansweredError):
            docker.start(container_id)
        docker.remove_container(container_id)
    assert killed == [(CONTAINER_ID, False)]


def test_on_an_engine_of_ours_a_removal_that_hangs_is_repeated_after_its_processes_are_killed(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_container(_container_id: str) -> int:
        daemon.silent.clear()
        return 1

    monkeypatch.setattr("coldstart.engines.docker.end_container", end_container)
    daemon.silent.add(REMOVAL)
    with closing(engine(daemon, private=True, removal_s=HOLDS_S)) as docker:
        docker.remove_container(created(docker))
    assert sum(request.startswith(REMOVAL) for request in daemon.requests) == 2


def test_on_a_users_engine_nothing_is_killed(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coldstart.engines.docker.end_container", pytest.fail)
    daemon.silent.update({START, REMOVAL})
    with closing(engine(daemon, removal_s=FAILS_S, stuck_s=FAILS_S)) as docker:
        container_id = created(docker)
        with pytest.raises(UnansweredError):
            docker.start(container_id)
        with pytest.raises(UnansweredError):
            docker.remove_container(container_id)


def test_leaving_a_users_engine_that_hangs_waits_once_and_not_for_each_image(daemon: FakeDaemon) -> None:
    docker = engine(daemon, image_removal_s=FAILS_S, ping_s=FAILS_S)
    for name in ("app:1", "app:2"):
        daemon.offered[name] = inspected(name)
        docker.pull(make_image(reference=name))
    daemon.silent.add("")
    daemon.requests.clear()
    docker.close()
    assert sum(request.startswith("DELETE /images/") for request in daemon.requests) == 1
