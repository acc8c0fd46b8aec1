"""Our registry's storage, its start and its signs of life; and whether somebody else's can be reached."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_SH, flock
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coldstart.errors import RegistryUnreachableError, TestbedError
from coldstart.testbed import marker, processes, registry, shell
from coldstart.testbed.config import Layout
from coldstart.testbed.registry import (
    blob_path,
    check_external,
    parse_version,
    purge,
    registry_log,
    registry_version,
    start,
    wait_ready,
)
from tests.unit.testbed.records import add_program, make_testbed, reference_to, signal_and_wait, tagged

ANSWERED = (
    b'{"http.request.method":"GET","http.request.uri":"/v2/","http.response.status":200,"http.response.written":2,'
    b'"msg":"response completed"}\n'
)


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("docker-registry github.com/docker/distribution 2.8.2+ds1\n", "2.8.2+ds1"),
        ("registry github.com/docker/distribution v2.8.3\n", "2.8.3"),
        ("registry github.com/distribution/distribution/v3 v3.0.0-rc.1\n", "3.0.0-rc.1"),
        ("registry github.com/docker/distribution v2\n", None),
        ("", None),
    ],
)
def test_a_version_is_read_from_what_the_registry_says(said: str, version: str | None) -> None:
    assert parse_version(said) == version


def test_a_blob_is_where_the_registrys_filesystem_driver_keeps_it() -> None:
    digest = "ab" + "0" * 62
    expected = Path(f"/s/blobs/docker/registry/v2/blobs/sha256/ab/{digest}/data")
    assert blob_path(Path("/s"), f"sha256:{digest}") == expected


def test_an_external_registrys_version_is_not_known(layout: Layout) -> None:
    assert registry_version(make_testbed(layout.root, registry_storage=None)) is None


def test_our_registrys_version_is_what_its_executable_says(layout: Layout, programs: Path) -> None:
    add_program(programs, "docker-registry", '#!/bin/sh\n[ "$*" = --version ] && echo docker-registry x v1.2.3\n')
    assert registry_version(make_testbed(layout.root)) == "1.2.3"


def test_of_a_registry_that_answers_nothing_is_lost(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_ask", lambda *_: b"HTTP/1.1 200 OK\r\n")
    assert registry.lost(make_testbed(layout.root, processes=(reference_to(os.getpid(), "registry"),))) is None


@pytest.mark.parametrize(("number", "condition"), [(signal.SIGSTOP, "is stopped"), (signal.SIGKILL, "is gone")])
def test_a_registry_whose_process_does_not_run_is_lost_with_the_remedy(
    layout: Layout, number: signal.Signals, condition: str
) -> None:
    with tagged(layout, processes.REGISTRY) as pid:
        ref = reference_to(pid, "registry")
        signal_and_wait(pid, number)
        found = registry.lost(make_testbed(layout.root, processes=(ref,)))
    assert found == (
        f"the testbed's registry (process {pid}) {condition}. Start the testbed anew: coldstart testbed up"
    )


@pytest.mark.parametrize(
    ("answer", "why"),
    [(b"HTTP/1.1 503 No\r\n", "it says"), (b"", "it closes the connection"), (OSError(111, "refused"), "refused")],
)
def test_a_registry_that_does_not_answer_as_one_is_lost(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, answer: bytes | OSError, why: str
) -> None:
    def ask(*_: object) -> bytes:
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(registry, "_ask", ask)
    found = registry.lost(make_testbed(layout.root)) or ""
    assert "the testbed's registry does not answer" in found
    assert why in found


def test_an_external_registry_is_asked_from_the_engines_namespace_and_named(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Path, str]] = []

    def ask(netns: Path, address: str) -> bytes:
        asked.append((netns, address))
        return b"SSH-2.0"

    monkeypatch.setattr(registry, "_ask", ask)
    testbed = make_testbed(layout.root, registry_netns=None, registry_storage=None, registry_address="r:5000")
    assert (registry.lost(testbed) or "").startswith("registry r:5000 does not answer (it says b'SSH-2.0')")
    assert asked == [(layout.engine_netns, "r:5000")]


def test_our_registry_may_be_called_what_its_makers_call_it(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = add_program(tmp_path, "registry", "#!/bin/sh\necho registry x v1.2.3\n")
    monkeypatch.setattr(registry, "find", lambda name, _: program if name == "registry" else None)
    assert registry_version(make_testbed(layout.root)) == "1.2.3"


def test_a_registry_that_is_not_there_any_more_has_no_version(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find", lambda *_: None)
    assert registry_version(make_testbed(layout.root)) is None


@pytest.mark.parametrize("text", ["#!/bin/sh\necho 1.2.3\nexit 1\n", "#!/no/such/interpreter\n"])
def test_a_registry_that_does_not_tell_has_no_version(layout: Layout, programs: Path, text: str) -> None:
    add_program(programs, "docker-registry", text)
    assert registry_version(make_testbed(layout.root)) is None


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Where the blobs are, or will be."""
    return tmp_path / "cache" / "registry"


@pytest.fixture
def stored(storage: Path) -> Path:
    """A registry's storage, with a blob."""
    marker.claim_folder(storage, "registry-storage")
    (storage / "blobs").mkdir()
    (storage / "blobs" / "data").touch()
    return storage


def test_a_purge_removes_the_storage_and_its_parent_if_that_is_then_empty(stored: Path) -> None:
    purge(stored)
    assert not stored.parent.exists()


def test_a_purge_leaves_a_parent_that_holds_anything_else(stored: Path) -> None:
    (stored.parent / "bases").mkdir()
    purge(stored)
    assert [path.name for path in stored.parent.iterdir()] == ["bases"]


def test_a_purge_tells_that_there_was_something(stored: Path) -> None:
    assert purge(stored)


def test_a_purge_of_nothing_tells_so(storage: Path) -> None:
    assert not purge(storage)


def test_a_purge_leaves_a_folder_without_our_marker_alone(storage: Path) -> None:
    (storage / "thesis").mkdir(parents=True)
    with pytest.raises(TestbedError, match="has no marker of ours"):
        purge(storage)
    assert (storage / "thesis").exists()


def test_a_purge_leaves_a_folder_of_another_purpose_alone(storage: Path) -> None:
    marker.claim_folder(storage, "0123abcd")
    with pytest.raises(TestbedError, match="belongs to another testbed"):
        purge(storage)
    assert (storage / marker.MARKER).exists()


def test_a_purge_leaves_what_a_registry_runs_on_alone(stored: Path) -> None:
    with (stored / marker.MARKER).open() as lock:
        flock(lock, LOCK_SH)
        with pytest.raises(TestbedError, match=rf"{stored} is in use by another testbed's registry\. End that one"):
            purge(stored)
    assert (stored / "blobs" / "data").exists()


def test_a_refused_purge_keeps_no_lock(stored: Path) -> None:
    with (stored / marker.MARKER).open() as lock:
        flock(lock, LOCK_SH)
        with pytest.raises(TestbedError):
            purge(stored)
    assert purge(stored)


class Spawned:
    """Takes the place of starting a daemon; keeps what it would have been started with, and what a purge then says."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self.argv: list[str] = []
        self.options: dict[str, Any] = {}
        self.refusal = ""

    def __call__(self, argv: list[str | Path], **options: Any) -> None:
        """Keep."""
        self.argv, self.options = [str(word) for word in argv], options
        with pytest.raises(TestbedError) as caught:
            purge(self.storage)
        self.refusal = str(caught.value)


@pytest.fixture
def spawned(layout: Layout, storage: Path, monkeypatch: pytest.MonkeyPatch) -> Spawned:
    """Our registry, had it been started."""
    layout.run.mkdir()
    spawned = Spawned(storage)
    monkeypatch.setattr(shell, "spawn", spawned)
    start(layout, storage, Path("/usr/bin/docker-registry"), "/bin")
    return spawned


def test_the_registry_is_started_in_its_network_namespace(layout: Layout, spawned: Spawned) -> None:
    run = f"{layout.root}/run"
    words = ["nsenter", f"--net={run}/netns/registry", "/usr/bin/docker-registry", "serve", f"{run}/registry.json"]
    assert spawned.argv == words


def test_the_registry_is_started_marked_and_logged(layout: Layout, spawned: Spawned) -> None:
    given = {name: value for name, value in spawned.options.items() if name != "pass_fds"}
    tag = f"{layout.id}:registry"
    assert given == {"tag": tag, "path": "/bin", "home": layout.run, "log": registry_log(layout)}


def test_the_registry_locks_its_storage_from_the_start(spawned: Spawned) -> None:
    assert "is in use by another testbed's registry" in spawned.refusal


def test_nobody_else_can_lock_the_registrys_storage(storage: Path, spawned: Spawned) -> None:
    assert spawned.argv
    assert (storage / marker.MARKER).stat().st_mode & 0o777 == 0o600


def test_the_registry_is_given_the_lock_to_keep(spawned: Spawned) -> None:
    assert len(spawned.options["pass_fds"]) == 1


def test_we_do_not_keep_the_registrys_lock(storage: Path, spawned: Spawned) -> None:
    assert spawned.argv
    assert purge(storage)


@pytest.mark.usefixtures("spawned")
def test_the_registry_is_told_where_to_store_listen_and_log(layout: Layout, storage: Path) -> None:
    assert msgspec.json.decode((layout.run / "registry.json").read_bytes()) == {
        "version": "0.1",
        "log": {"level": "info", "formatter": "json", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": f"{storage}/blobs"}, "delete": {"enabled": True}},
        "http": {"addr": "198.18.0.2:5000"},
    }


def test_the_registry_is_not_started_on_somebody_elses_folder(
    layout: Layout, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "spawn", lambda *_, **__: pytest.fail("started"))
    (storage / "thesis").mkdir(parents=True)
    with pytest.raises(TestbedError, match="has no marker of ours"):
        start(layout, storage, Path("/usr/bin/docker-registry"), "/bin")


def let_answer(monkeypatch: pytest.MonkeyPatch, log: Path, *answers: bytes | None) -> None:
    """Let the registry answer one time after the other, and log these lines; ``None`` is no answer."""
    left = iter(answers)

    def answer(_: Path) -> bool:
        line = next(left)
        with log.open("ab") as file:
            file.write(line or b"")
        return line is not None

    monkeypatch.setattr(registry, "_answers", answer)
    monkeypatch.setattr(registry, "_POLL_S", 0)


@pytest.fixture
def log(layout: Layout) -> Path:
    """Our registry's log, with what an earlier one left in it."""
    layout.log.mkdir()
    registry_log(layout).write_bytes(ANSWERED)
    return registry_log(layout)


def test_a_registry_that_answers_and_logs_is_ready(layout: Layout, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_answer(monkeypatch, log, None, None, ANSWERED)
    with tagged(layout, processes.REGISTRY):
        wait_ready(layout)


def test_a_registry_that_answered_is_not_asked_again_until_it_logs(
    layout: Layout, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_answer(monkeypatch, log, b"")

    def log_at_last(_: float) -> None:
        log.write_bytes(ANSWERED * 2)

    monkeypatch.setattr(time, "sleep", log_at_last)
    with tagged(layout, processes.REGISTRY):
        wait_ready(layout)


def test_a_registry_that_ended_is_an_error_with_its_last_words(layout: Layout, log: Path) -> None:
    log.write_text("panic: address in use\n")
    with pytest.raises(TestbedError, match=r"registry ended at its start\. Its log ends:\n  panic: address in use"):
        wait_ready(layout)


def test_another_process_of_the_testbed_is_not_its_registry(layout: Layout) -> None:
    with tagged(layout, processes.ENGINE), pytest.raises(TestbedError, match="ended at its start"):
        wait_ready(layout)


@pytest.mark.parametrize(
    ("answer", "what"), [(None, "does not answer"), (b"answered\n", "logs no requests that can be read")]
)
def test_a_registry_that_is_given_up_on_is_an_error_that_says_why(
    layout: Layout, log: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes | None, what: str
) -> None:
    monkeypatch.setattr(registry, "_READY_TIMEOUT_NS", -1)
    let_answer(monkeypatch, log, answer)
    with tagged(layout, processes.REGISTRY), pytest.raises(TestbedError, match=f"the testbed's registry {what}"):
        wait_ready(layout)


@contextmanager
def server(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives one answer; its address and what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                asked.append(connection.recv(1000))
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}", asked
        thread.join()


@pytest.fixture
def netns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network namespace that stands for ours; only root could enter a real one."""
    entered = tmp_path / "netns"

    def tcp_socket(where: Path) -> socket.socket:
        assert where == entered
        return socket.socket()

    monkeypatch.setattr(registry, "tcp_socket", tcp_socket)
    return entered


@pytest.mark.parametrize("status", [b"200 OK", b"401 Unauthorized", b"400 Bad Request"])
def test_whatever_speaks_http_is_a_registry_that_is_reached(netns: Path, status: bytes) -> None:
    with server(b"HTTP/1.0 " + status + b"\r\n\r\n") as (address, _):
        check_external(netns, address)


def test_a_registry_is_asked_for_its_api(netns: Path) -> None:
    with server(b"HTTP/1.0 200 OK\r\n\r\n") as (address, asked):
        check_external(netns, address)
    assert asked == [f"GET /v2/ HTTP/1.0\r\nHost: {address}\r\n\r\n".encode()]


def test_what_speaks_otherwise_is_no_registry(netns: Path) -> None:
    with (
        server(b"SSH-2.0-OpenSSH\r\n") as (address, _),
        pytest.raises(RegistryUnreachableError, match=f"registry {address}: it does not answer as a registry does"),
    ):
        check_external(netns, address)


def test_where_nobody_listens_the_firewall_is_asked_about(netns: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
    with pytest.raises(RegistryUnreachableError, match=rf"{address}: .*Connection refused\. .*does its firewall let"):
        check_external(netns, address)


@pytest.mark.parametrize(
    ("answer", "good"), [(b"HTTP/1.0 200 OK\r\n", True), (b"HTTP/1.0 503 Busy\r\n", False), (b"", False)]
)
def test_our_registry_answers_if_it_says_that_all_is_well(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, good: bool
) -> None:
    monkeypatch.setattr(registry, "_ask", lambda _, address: answer if address == "198.18.0.2:5000" else b"")
    assert registry._answers(Path("/n")) is good


def test_our_registry_does_not_answer_from_a_namespace_that_is_gone(tmp_path: Path) -> None:
    assert not registry._answers(tmp_path / "gone")
