"""Which engine a run measures, where each machine's circumstances are acted out."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from coldstart.engines import own_docker
from coldstart.engines.base import Capability
from coldstart.errors import (
    EngineUnreachableError,
    InvalidEnvironmentError,
    TestbedError,
    TestbedHeldError,
    UnknownNameError,
    UsageError,
)
from coldstart.runner import place as module
from coldstart.runner.place import Place, image_host, open_place
from coldstart.testbed import executables, lifecycle
from coldstart.testbed.config import Testbed
from coldstart.trace import tracefs
from tests.unit.engines.fake_daemon import FakeDaemon, inspected
from tests.unit.factories import make_image

Said = list[str]


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No testbed, no root, and no Docker but the one a test starts."""
    monkeypatch.setenv("COLDSTART_STATE_DIR", "/nonexistent/coldstart")
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", "/nonexistent")
    monkeypatch.setattr(own_docker, "DEFAULT_SOCKET", "unix:///nonexistent/docker.sock")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.fixture
def bare_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Root, on a machine without one executable."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(executables, "_EXTRA_PATH", ())


def opened(*wanted: str, asked_for: bool = False, said: Said | None = None) -> Place:
    """The place as it was while it was open."""
    progress = said.append if said is not None else lambda _: None
    with open_place(wanted, asked_for=asked_for, purpose="a test", progress=progress) as place:
        return place


# --- what is asked for ---


def test_the_fake_engine_needs_nothing() -> None:
    place = opened("fake")
    assert (place.engine.name, place.engine.facts().where) == ("fake", "nowhere")


def test_the_fake_engines_images_are_made_up() -> None:
    place = opened("fake")
    assert (place.image_host, place.blobs, place.registry.address) == (None, None, None)


def test_the_fake_engine_asks_no_docker(monkeypatch: pytest.MonkeyPatch, daemon: FakeDaemon) -> None:
    monkeypatch.setenv("DOCKER_HOST", daemon.url)
    opened("fake", asked_for=True)
    assert daemon.requests == []


@pytest.mark.parametrize("wanted", [("docker", "fake"), ("fake", "fake", "docker")])
def test_a_run_measures_one_engine(wanted: Sequence[str]) -> None:
    with pytest.raises(UsageError, match=f"one engine a run; .* are {len(wanted)}"):
        opened(*wanted)


def test_an_unknown_engine_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown engine 'dokcer'; did you mean 'docker'"):
        opened("dokcer")


# --- where there is nothing ---


@pytest.mark.parametrize("help_with", ["the testbed needs root", "Run scripts/setup", "DOCKER_HOST"])
def test_without_root_and_docker_everything_that_helps_is_told(help_with: str) -> None:
    with pytest.raises(InvalidEnvironmentError, match="no engine to measure on") as caught:
        opened("docker")
    assert help_with in str(caught.value)


@pytest.mark.usefixtures("bare_root")
@pytest.mark.parametrize("missing", ["dockerd", "containerd", "iptables", "registry"])
def test_what_root_lacks_for_the_testbed_is_named(missing: str) -> None:
    with pytest.raises(InvalidEnvironmentError, match="no engine to measure on") as caught:
        opened("docker")
    assert missing in str(caught.value)


def test_an_address_that_is_no_socket_is_the_callers_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://board")
    with pytest.raises(UsageError, match="forward its socket first"):
        opened("docker")


def test_a_docker_asked_for_that_does_not_answer_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/theirs.sock")
    with pytest.raises(EngineUnreachableError, match=r"theirs\.sock"):
        opened("docker", asked_for=True)


# --- an engine of somebody's own ---


def test_an_engine_asked_for_needs_no_explanation(monkeypatch: pytest.MonkeyPatch, daemon: FakeDaemon) -> None:
    said: Said = []
    monkeypatch.setenv("DOCKER_HOST", daemon.url)
    opened("docker", asked_for=True, said=said)
    assert said == []


def test_for_root_too_an_engine_asked_for_is_the_one_of_docker_host(
    monkeypatch: pytest.MonkeyPatch, daemon: FakeDaemon
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("DOCKER_HOST", daemon.url)
    assert opened("docker", asked_for=True).engine.facts().where == "user"


def test_on_a_users_engine_images_are_not_all_ours(monkeypatch: pytest.MonkeyPatch, daemon: FakeDaemon) -> None:
    monkeypatch.setenv("DOCKER_HOST", daemon.url)
    assert Capability.PRIVATE not in opened("docker", asked_for=True).engine.capabilities


def test_a_users_images_stay_in_their_engine(monkeypatch: pytest.MonkeyPatch, daemon: FakeDaemon) -> None:
    monkeypatch.setenv("DOCKER_HOST", daemon.url)
    host = opened("docker", asked_for=True).image_host
    assert host is not None
    assert (host.docker_socket, host.registry_address, host.registry) == (daemon.url, None, None)


def test_a_users_engine_is_left_without_what_was_pulled(monkeypatch: pytest.MonkeyPatch, daemon: FakeDaemon) -> None:
    monkeypatch.setenv("DOCKER_HOST", daemon.url)
    daemon.offered["app:1"] = inspected("app:1")
    with open_place(("docker",), asked_for=True, purpose="a test", progress=lambda _: None) as place:
        place.engine.pull(make_image(reference="app:1", image_id=daemon.offered["app:1"]["Id"]))
    assert daemon.images == {}


def test_a_users_engine_is_measured_by_one_process_at_a_time(
    monkeypatch: pytest.MonkeyPatch, daemon: FakeDaemon
) -> None:
    monkeypatch.setenv("DOCKER_HOST", daemon.url)
    with (
        open_place(("docker",), asked_for=True, purpose="a test", progress=lambda _: None),
        pytest.raises(TestbedHeldError, match=f"is being measured by process {os.getpid()}"),
    ):
        opened("docker", asked_for=True)


def test_a_users_engine_is_free_again_afterwards(monkeypatch: pytest.MonkeyPatch, daemon: FakeDaemon) -> None:
    monkeypatch.setenv("DOCKER_HOST", daemon.url)
    for _ in range(2):
        opened("docker", asked_for=True)


# --- the testbed's end ---


def test_a_registry_outside_is_reached_from_the_engines_network(tmp_path: Path) -> None:
    testbed = Testbed(
        id="0",
        root=tmp_path,
        docker_socket=tmp_path / "docker.sock",
        engine_netns=tmp_path / "engine",
        registry_netns=None,
        registry_address="192.168.1.10:5000",
        registry_link="external",
        registry_storage=None,
        registry_log=None,
        engine_log=tmp_path / "log",
        data_root=tmp_path,
        storage="ext4",
        loop_device=None,
        loop_mount=None,
        cgroup_parent="/c",
        runtimes={},
        processes=(),
        started_at="2026-11-24T05:15:30Z",
    )
    assert image_host(testbed, tmp_path).registry_netns == tmp_path / "engine"


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (0, []),
        (1, ["removed the tracing instance of a killed run"]),
        (2, ["removed the tracing instances of 2 killed runs"]),
    ],
)
def test_the_testbed_is_removed_with_what_killed_runs_left_in_the_kernel(
    monkeypatch: pytest.MonkeyPatch, left: int, said: Said
) -> None:
    removed: list[Path] = []
    heard: Said = []

    def down(root: Path, _progress: object) -> bool:
        removed.append(root)
        return True

    monkeypatch.setattr(lifecycle, "down", down)
    monkeypatch.setattr(tracefs, "sweep", lambda: left)
    assert module.remove(Path("/x"), heard.append)
    assert (removed, heard) == ([Path("/x")], said)


def test_a_testbed_that_cannot_be_removed_is_told_with_the_command_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(_root: Path, _progress: object) -> bool:
        raise TestbedError("in use.")

    said: Said = []
    monkeypatch.setattr(lifecycle, "down", down)
    module.take_down(Path("/x"), said.append)
    assert said == ["the testbed could not be removed: in use. Repeat with: coldstart testbed down"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_interrupt_does_not_stop_the_clean_up(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    reached: Said = []

    def down(_root: Path, _progress: object) -> bool:
        signal.raise_signal(number)
        reached.append("the end")
        return True

    monkeypatch.setattr(lifecycle, "down", down)
    module.take_down(Path("/x"), lambda _: None)
    assert reached == ["the end"]


def test_after_the_clean_up_interrupts_work_again() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with module._uninterrupted():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_without_root_any_docker_that_answers_is_measured(monkeypatch: pytest.MonkeyPatch, daemon: FakeDaemon) -> None:
    monkeypatch.setattr(own_docker, "DEFAULT_SOCKET", daemon.url)
    assert opened("docker").engine.facts().where == "user"


@pytest.mark.usefixtures("bare_root")
def test_without_executables_any_docker_that_answers_is_measured(
    monkeypatch: pytest.MonkeyPatch, daemon: FakeDaemon
) -> None:
    monkeypatch.setattr(own_docker, "DEFAULT_SOCKET", daemon.url)
    assert opened("docker").engine.facts().where == "user"


def context(folder: Path, url: str) -> str:
    """A folder of Docker's in which ``docker context use mine`` was typed, where that context is at ``url``."""
    meta = folder / "contexts" / "meta" / hashlib.sha256(b"mine").hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": "mine", "Endpoints": {"docker": {"Host": url}}}))
    (folder / "config.json").write_text('{"currentContext": "mine"}')
    return str(folder)


def test_the_docker_that_is_measured_is_the_one_of_the_context_in_use(
    monkeypatch: pytest.MonkeyPatch, daemon: FakeDaemon, tmp_path: Path
) -> None:
    said: Said = []
    monkeypatch.setenv("DOCKER_CONFIG", context(tmp_path, daemon.url))
    place = opened("docker", said=said)
    assert place.image_host is not None
    assert (place.engine.facts().where, place.image_host.docker_socket) == ("user", daemon.url)
    assert "(context 'mine', from " in said[0]


def test_an_engine_asked_for_is_the_one_of_the_context_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, daemon: FakeDaemon, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(module, "_testbed_obstacle", lambda: pytest.fail("the testbed is not asked for"))
    monkeypatch.setenv("DOCKER_CONFIG", context(tmp_path, daemon.url))
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    assert opened("docker", asked_for=True).engine.facts().where == "user"


def test_a_context_in_use_is_not_preferred_to_the_testbed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever uses a context for all of their work has not asked to measure there."""
    monkeypatch.setenv("DOCKER_CONFIG", context(tmp_path, "unix:///nonexistent/mine.sock"))
    monkeypatch.setattr(module, "_testbed_obstacle", lambda: None)
    monkeypatch.setattr(module, "_testbed_place", lambda *_: module._fake_place())
    assert opened("docker", asked_for=True).engine.name == "fake"


def test_that_it_is_not_the_testbed_is_told_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, daemon: FakeDaemon
) -> None:
    said: Said = []
    monkeypatch.setenv("DOCKER_HOST", daemon.url)
    opened("docker", said=said)
    assert said == [
        f"no testbed here (the testbed needs root): measuring your own engine at {daemon.url} (DOCKER_HOST)"
    ]
