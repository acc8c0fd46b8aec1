"""``notify``: the app's own word, over a socket of ours."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from coldstart.engines.base import Capability, ContainerSpec
from coldstart.engines.fake import Delays, FakeEngine
from coldstart.errors import EngineError, InvalidEnvironmentError
from coldstart.model.cell import Network
from coldstart.model.options import ContainerOptions
from coldstart.probes.base import NotReady, Ready, options_with
from coldstart.probes.notify import INSIDE, NotifyProbe
from tests.unit.factories import make_image
from tests.unit.probes.test_probes import SECOND_NS, started


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(delays=Delays(create_s=0, start_s=0, listen_s=0))


@pytest.fixture
def probe(engine: FakeEngine) -> Iterator[NotifyProbe]:
    """A probe that listens."""
    with closing(NotifyProbe()) as probe:
        probe.options(engine)
        probe.arm(engine, "")
        yield probe


def send(place: Path, *datagrams: bytes) -> None:
    """What an app does."""
    (path,) = place.glob("*/notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for datagram in datagrams:
            sender.sendto(datagram, str(path))


def look(probe: NotifyProbe, engine: FakeEngine, container_id: str, within_ns: int = 2 * SECOND_NS) -> Ready | NotReady:
    return probe.wait(engine, container_id, time.monotonic_ns() + within_ns)


def test_the_container_is_told_of_the_socket_and_given_it_alone(engine: FakeEngine, place: Path) -> None:
    with closing(NotifyProbe()) as probe:
        options = probe.options(engine)
        (path,) = place.glob("*/notify.sock")
    assert options == ContainerOptions(env=(f"NOTIFY_SOCKET={INSIDE}",), volumes=(f"{path}:{INSIDE}",))


def test_any_user_of_the_container_can_send_but_only_we_can_enter_the_folder(probe: NotifyProbe, place: Path) -> None:
    assert probe is not None
    (path,) = place.glob("*/notify.sock")
    assert [stat.S_IMODE(found.stat().st_mode) for found in (path.parent, path)] == [0o700, 0o666]


def test_on_a_testbed_the_socket_is_beside_the_engines_data(
    engine: FakeEngine, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hides the host's /run, where temporary folders may be."""
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    monkeypatch.setattr(engine, "data_root", place / "data")
    with closing(NotifyProbe()) as probe:
        probe.options(engine)
        assert len(list(place.glob("coldstart-notify-*"))) == 1


def test_it_is_ready_when_the_datagram_arrives_not_when_it_is_asked_for(
    probe: NotifyProbe, engine: FakeEngine, place: Path
) -> None:
    before_ns = time.monotonic_ns()
    send(place, b"READY=1")
    time.sleep(0.05)
    asked_ns = time.monotonic_ns()
    found = look(probe, engine, started(engine))
    assert isinstance(found, Ready)
    assert before_ns <= found.at_ns < asked_ns
    assert found.resolution_ns is None


def test_ready_is_one_line_among_others(probe: NotifyProbe, engine: FakeEngine, place: Path) -> None:
    send(place, b"STATUS=soon", b"", b"MAINPID=7\nREADY=1\nSTATUS=serving\n")
    assert isinstance(look(probe, engine, started(engine)), Ready)


@pytest.mark.parametrize("datagram", [b"READY=0", b"XREADY=1", b"READY=10", b"STATUS=READY=1", b"\xff"])
def test_anything_else_is_not_ready_and_told(
    probe: NotifyProbe, engine: FakeEngine, place: Path, datagram: bytes
) -> None:
    send(place, datagram)
    found = look(probe, engine, started(engine), within_ns=SECOND_NS // 20)
    assert isinstance(found, NotReady)
    assert f"the last it sent was {datagram.decode(errors='replace')!r}" in found.reason


def test_silence_is_told_as_such(probe: NotifyProbe, engine: FakeEngine) -> None:
    found = look(probe, engine, started(engine), within_ns=SECOND_NS // 50)
    assert isinstance(found, NotReady)
    assert "nor anything else" in found.reason


def test_a_container_that_ended_is_not_waited_for(probe: NotifyProbe, engine: FakeEngine) -> None:
    found = look(probe, engine, started(engine, variant="exits"), within_ns=60 * SECOND_NS)
    assert isinstance(found, NotReady)
    assert found.state is not None
    assert found.state.exit_code == 3


def test_an_app_that_was_ready_before_it_ended_was_ready(probe: NotifyProbe, engine: FakeEngine, place: Path) -> None:
    container_id = started(engine, variant="exits")
    send(place, b"READY=1")
    assert isinstance(look(probe, engine, container_id), Ready)


def test_afterwards_neither_folder_nor_thread_is_left(engine: FakeEngine, place: Path) -> None:
    before = threading.active_count()
    with closing(NotifyProbe()) as probe:
        probe.options(engine)
        probe.arm(engine, "")
        during = threading.active_count()
    assert (during, threading.active_count(), list(place.iterdir())) == (before + 1, before, [])


def test_a_probe_that_was_never_armed_leaves_nothing_either(engine: FakeEngine, place: Path) -> None:
    with closing(NotifyProbe()) as probe:
        probe.options(engine)
    assert list(place.iterdir()) == []


def test_what_a_killed_run_left_is_removed_by_the_next_and_nothing_else(engine: FakeEngine, place: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    for name in (
        f"coldstart-notify-{ended.pid}-x",
        f"coldstart-notify-{os.getppid()}-x",
        "coldstart-notify-x",
        "other",
    ):
        (place / name).mkdir()
    with closing(NotifyProbe()) as probe:
        probe.options(engine)
    left = {path.name for path in place.iterdir()}
    assert left == {f"coldstart-notify-{os.getppid()}-x", "coldstart-notify-x", "other"}


def test_an_engine_elsewhere_is_refused(engine: FakeEngine, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "capabilities", engine.capabilities - {Capability.SAME_MACHINE})
    with pytest.raises(EngineError, match="Use a log, exec or healthcheck probe"):
        NotifyProbe().options(engine)
    assert list(place.iterdir()) == []


def test_a_path_too_long_for_a_socket_is_told_with_the_remedy_and_leaves_nothing(
    engine: FakeEngine, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = place / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with pytest.raises(InvalidEnvironmentError, match=r"no socket can be made in .*path too long.*Set TMPDIR"):
        NotifyProbe().options(engine)
    assert list(long.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told_with_the_remedy(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc/nowhere")
    with pytest.raises(InvalidEnvironmentError, match="no socket can be made in /proc/nowhere"):
        NotifyProbe().options(engine)


def test_the_fake_engines_app_tells_when_it_listens(engine: FakeEngine) -> None:
    image = make_image()
    engine.pull(image)
    with closing(NotifyProbe()) as probe:
        options = options_with(probe, engine, ContainerOptions(env=("A=1",)))
        spec = ContainerSpec(image=image, runtime="runc", network=Network.NONE, options=options)
        created = engine.create(spec).value
        probe.arm(engine, created)
        engine.start(created)
        assert isinstance(look(probe, engine, created), Ready)
    engine.close()
