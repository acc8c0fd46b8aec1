"""What an experiment asks of its place: refused before anything is made or started."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from coldstart.engines.base import Capability
from coldstart.engines.fake import FakeEngine, image
from coldstart.errors import EngineUnreachableError, InvalidEnvironmentError, UnknownNameError, UsageError
from coldstart.model.cell import Network
from coldstart.model.image import Healthcheck
from coldstart.model.probe import ProbeSpec
from coldstart.runner import checks
from coldstart.runner.checks import check_health, check_probes, check_runtimes
from tests.unit.factories import make_experiment, make_image

SECOND_NS = 1_000_000_000
HTTP, LOG, HEALTH = (ProbeSpec.parse(text) for text in ("http:8080/", "log:up", "healthcheck"))


class Far(FakeEngine):
    """A user's engine whose containers are in a network namespace of their own, or cannot be reached at all."""

    capabilities = FakeEngine.capabilities - {Capability.PRIVATE}

    def __init__(self, obstacle: str | None = None, netns: Path | None = None, port: int = 1) -> None:
        super().__init__()
        self.obstacle = obstacle
        self.netns = netns
        self.port = port

    def obstacle_to_asking(self, network: Network) -> str | None:
        return self.obstacle if network is Network.BRIDGE else None

    def host_endpoint(self, port: int) -> tuple[Path | None, tuple[str, int]] | None:  # noqa: ARG002  the test's own
        return self.netns, ("127.0.0.1", self.port)


@pytest.fixture
def served() -> Iterator[int]:
    """A port at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def told(engine: FakeEngine, spec: ProbeSpec = HTTP, network: Network = Network.BRIDGE) -> list[str]:
    words: list[str] = []
    check_probes(make_experiment(network=(network,)), [spec], engine, words.append)
    return words


def test_containers_that_cannot_be_reached_are_refused_for_network_probes_only() -> None:
    with pytest.raises(InvalidEnvironmentError, match="--ready http:8080/: they are in a virtual machine"):
        told(Far("they are in a virtual machine"))
    assert told(Far("they are in a virtual machine"), LOG) == []


def test_containers_in_another_namespace_are_asked_there_and_it_is_told(tmp_path: Path) -> None:
    assert told(Far(netns=tmp_path)) == [
        f"http:8080/ is asked in network namespace {tmp_path}, where this engine's containers are"
    ]


def test_a_port_of_the_host_that_somebody_serves_is_refused_with_network_host(served: int) -> None:
    with pytest.raises(InvalidEnvironmentError, match="port 8080 of the engine's host is served already"):
        told(Far(port=served), network=Network.HOST)
    assert told(Far(port=served), network=Network.BRIDGE) == []


def test_a_port_of_the_host_that_nobody_serves_is_fine(served: int) -> None:
    assert served
    assert told(Far(port=1), network=Network.HOST) == []


# --- runtimes ---


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("/opt/kata", "It is on this machine, but not on the testbed: .* --add-runtime kata=/opt/kata"),
        (None, "To add one to the testbed: .* --add-runtime kata=/PATH/TO/IT"),
    ],
)
def test_a_runtime_that_the_testbed_lacks_is_named_with_the_command_that_adds_it(
    monkeypatch: pytest.MonkeyPatch, path: str | None, remedy: str
) -> None:
    monkeypatch.setattr(checks, "_own_runtimes", lambda: {} if path is None else {"kata": path})
    with pytest.raises(UnknownNameError, match=f"unknown runtime 'kata'.*{remedy}"):
        check_runtimes(make_experiment(runtime=("runc", "kata")), FakeEngine())


def test_the_runtimes_of_ones_own_docker_are_those_of_the_context_in_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def refuse(url: str, timeout_s: float) -> NoReturn:
        asked.append(url)
        raise EngineUnreachableError(f"nobody within {timeout_s} s")

    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(b"mine").hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text('{"Endpoints": {"docker": {"Host": "unix:///mine.sock"}}}')
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    monkeypatch.setattr(checks, "Connection", refuse)
    assert (checks._own_runtimes(), asked) == ({}, ["unix:///mine.sock"])


def test_a_context_that_cannot_be_read_has_no_runtimes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    assert checks._own_runtimes() == {}


def test_a_users_engine_is_not_told_of_the_testbed() -> None:
    with pytest.raises(UnknownNameError) as caught:
        check_runtimes(make_experiment(runtime=("kata",)), Far())
    assert "testbed" not in str(caught.value)


# --- the image's own check ---


def health(check: Healthcheck | None, timeout_ns: int = 30 * SECOND_NS) -> None:
    one = make_image(healthcheck=check)
    check_health({(one.workload, one.variant): one}, {one.workload: HEALTH}, timeout_ns, FakeEngine())


@pytest.mark.parametrize(
    "check",
    [None, Healthcheck(interval_ns=SECOND_NS), Healthcheck(interval_ns=30 * SECOND_NS - 1)],
)
def test_a_check_that_comes_in_time_or_is_unknown_is_fine(check: Healthcheck | None) -> None:
    health(check)


def test_a_check_that_comes_too_late_is_refused_with_three_remedies() -> None:
    with pytest.raises(UsageError) as caught:
        health(Healthcheck())
    message = str(caught.value)
    assert "is first run 30.0 s after the start" in message
    assert "Give --timeout 60s, build the image with HEALTHCHECK --interval=100ms, or use an exec" in message
    health(Healthcheck(), timeout_ns=31 * SECOND_NS)


def test_an_image_without_a_check_is_refused() -> None:
    with pytest.raises(UsageError, match="--ready healthcheck: hello/alpine: the image has no HEALTHCHECK"):
        health(Healthcheck(is_set=False))


def test_other_probes_do_not_ask_for_a_check() -> None:
    one = image("app", "image")
    check_health({("app", "image"): one}, {"app": LOG}, SECOND_NS, FakeEngine())
