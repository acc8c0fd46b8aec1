"""Readiness probes, against sockets of this process and containers of the fake engine."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coldstart import probes
from coldstart.engines.base import ContainerSpec
from coldstart.engines.fake import Delays, FakeEngine
from coldstart.errors import UnknownNameError, UsageError
from coldstart.model.cell import Network
from coldstart.model.options import ContainerOptions
from coldstart.model.probe import ProbeSpec
from coldstart.probes._listeners import described, listeners
from coldstart.probes.base import NotReady, Ready, last_line
from coldstart.probes.tcp import is_served
from tests.unit.factories import make_image

SECOND_NS = 1_000_000_000


class Door(FakeEngine):
    """A fake engine whose containers are all reached at one port of this process."""

    def __init__(self, port: int) -> None:
        super().__init__(delays=Delays(create_s=0, start_s=0, listen_s=0))
        self.port = port

    def endpoint(self, container_id: str, port: int) -> tuple[Path | None, tuple[str, int]]:  # noqa: ARG002
        return None, ("127.0.0.1", self.port)


def wait(kind: str, engine: FakeEngine, container_id: str = "", within_ns: int = 2 * SECOND_NS) -> Ready | NotReady:
    probe = probes.factory(ProbeSpec.parse(kind))()
    return probe.wait(engine, container_id, time.monotonic_ns() + within_ns)


def started(engine: FakeEngine, variant: str = "silent", command: tuple[str, ...] = ()) -> str:
    image = make_image(variant=variant)
    engine.pull(image)
    options = ContainerOptions(command=command)
    spec = ContainerSpec(image=image, runtime="runc", network=Network.BRIDGE, options=options)
    container_id = engine.create(spec).value
    engine.start(container_id)
    return container_id


@pytest.fixture
def answering() -> Iterator[Callable[..., int]]:
    """Start a server that gives each connection the next answer (``None``: closes); its port."""
    servers: list[socket.socket] = []

    def start(*answers: bytes | None) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def run() -> None:
            with contextlib.suppress(OSError):  # the test may end, and close the server, at any moment
                for answer in answers:
                    client, _ = server.accept()
                    with client:
                        client.recv(4096)
                        if answer:
                            client.sendall(answer)

        threading.Thread(target=run, daemon=True).start()
        return int(server.getsockname()[1])

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[int]:
    """A server with a certificate that nobody signed, which answers every request; its port."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=nobody.invalid", "-days", "1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with context.wrap_socket(client, server_side=True) as encrypted:
                        encrypted.recv(4096)
                        encrypted.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        threading.Thread(target=run, daemon=True).start()
        yield int(server.getsockname()[1])


def test_http_is_ready_at_the_first_status_below_400(answering: Callable[..., int]) -> None:
    port = answering(b"HTTP/1.1 503 Busy\r\n\r\n", None, b"HTTP/1.1 204 No Content\r\n\r\n")
    found = wait("http:80/", Door(port))
    assert isinstance(found, Ready)
    assert found.attempts == 3
    assert found.resolution_ns is not None


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (b"HTTP/1.1 500 No\r\n\r\n", "status 500"),
        (b"SSH-2.0-x\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1\r\n", "the answer is not HTTP"),
        (None, "closed without an answer"),
        (b"\r\n", "the answer is not HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "the answer is TLS; use https:80/"),
        (b"HTTP/1.1 400 Bad\r\n\r\n", "status 400 (if the app checks the Host header, let it allow localhost:80"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "status 404"),
    ],
)
def test_http_says_what_it_saw_instead(answering: Callable[..., int], answer: bytes | None, seen: str) -> None:
    engine = Door(answering(*[answer] * 500))
    found = wait("http:80/", engine, started(engine), within_ns=SECOND_NS // 50)
    assert isinstance(found, NotReady)
    assert seen in found.reason


def test_http_takes_a_status_line_that_ends_with_a_bare_line_feed(answering: Callable[..., int]) -> None:
    assert isinstance(wait("http:80/", Door(answering(b"HTTP/1.0 200 OK\n"))), Ready)


def test_http_asks_for_host_localhost_which_frameworks_allow_by_default() -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            client, _ = server.accept()
            with client:
                asked.append(client.recv(4096))
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        wait("http:8080/x", Door(server.getsockname()[1]))
        thread.join()
    assert asked == [b"GET /x HTTP/1.1\r\nHost: localhost:8080\r\nConnection: close\r\n\r\n"]


def test_https_is_ready_whatever_the_certificate(tls_server: int) -> None:
    assert isinstance(wait("https:443/", Door(tls_server)), Ready)


def test_https_on_a_plain_port_says_that_there_is_no_tls(answering: Callable[..., int]) -> None:
    engine = Door(answering(*[b"HTTP/1.1 400 Bad Request\r\n\r\n"] * 500))
    found = wait("https:443/", engine, started(engine), within_ns=SECOND_NS // 50)
    assert isinstance(found, NotReady)
    assert "https:443/: no TLS on this port" in found.reason


def test_tcp_is_ready_when_the_connection_is_accepted(answering: Callable[..., int]) -> None:
    assert isinstance(wait("tcp:80", Door(answering())), Ready)


class Gone(FakeEngine):
    """An engine whose container's network namespace went with it."""

    def endpoint(self, container_id: str, port: int) -> tuple[Path | None, tuple[str, int]]:  # noqa: ARG002
        return Path("/nonexistent/ns/net"), ("127.0.0.1", port)


def test_a_network_that_is_gone_is_what_was_seen() -> None:
    engine = Gone()
    found = wait("tcp:80", engine, started(engine), within_ns=SECOND_NS // 50)
    assert isinstance(found, NotReady)
    assert found.reason == "tcp:80: No such file or directory"


def test_whether_a_port_is_served_is_asked_by_connecting(answering: Callable[..., int]) -> None:
    assert is_served(None, ("127.0.0.1", answering(None)))
    assert not is_served(None, ("127.0.0.1", 1))
    assert not is_served(Path("/nonexistent"), ("127.0.0.1", 1))


def test_a_refused_connection_is_tried_until_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    engine = Door(port)
    found = wait("tcp:80", engine, started(engine), within_ns=SECOND_NS // 50)
    assert isinstance(found, NotReady)
    assert "Connection refused" in found.reason
    assert found.attempts > 1


def test_a_container_that_ended_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    engine = Door(port)
    found = wait("tcp:80", engine, started(engine, variant="exits"), within_ns=60 * SECOND_NS)
    assert isinstance(found, NotReady)
    assert found.state is not None
    assert found.state.exit_code == 3


def test_log_is_ready_at_the_line_and_unready_at_the_end_of_the_output() -> None:
    engine = FakeEngine()
    job = started(engine, command=("true",))
    assert isinstance(wait("log:that was", engine, job), Ready)
    ended = wait("log:no such words", engine, job)
    assert isinstance(ended, NotReady)
    assert "ended without the text" in ended.reason


def test_exit_is_told_of_an_end_that_came_before_it_was_asked_to_wait() -> None:
    engine = FakeEngine()
    image = make_image()
    engine.pull(image)
    options = ContainerOptions(command=("sh", "-c", "exit 0"))
    created = engine.create(ContainerSpec(image=image, runtime="runc", network=Network.NONE, options=options))
    probe = probes.factory(ProbeSpec.parse("exit"))()
    probe.arm(engine, created.value)
    engine.start(created.value)
    assert isinstance(probe.wait(engine, created.value, time.monotonic_ns() + 2 * SECOND_NS), Ready)


def test_an_unknown_probe_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'http'"):
        probes.factory(ProbeSpec(kind="htpt"))


@pytest.mark.parametrize("kind", ["exit", "healthcheck", "notify"])
def test_what_needs_no_argument_takes_none(kind: str) -> None:
    with pytest.raises(UsageError, match=f"--ready {kind}:3: {kind} takes no argument"):
        probes.factory(ProbeSpec.parse(f"{kind}:3"))


def test_the_kinds_are_the_modules() -> None:
    assert set(probes.names()) >= {"exec", "exit", "healthcheck", "http", "https", "log", "notify", "tcp"}


def test_listening_ports_are_those_in_state_listen_of_both_families(tmp_path: Path) -> None:
    net = tmp_path / "7" / "net"
    net.mkdir(parents=True)
    header = "  sl  local_address rem_address   st tx_queue\n"
    (net / "tcp").write_text(
        header + "   0: 00000000:1F90 00000000:0000 0A 0:0\n   1: 0100007F:0050 0100007F:1234 01 0:0\n"
    )
    (net / "tcp6").write_text(header + f"   0: {'0' * 32}:0016 {'0' * 32}:0000 0A 0:0\n")
    found = listeners(7, proc=tmp_path)
    assert found is not None
    assert {listener.port for listener in found} == {8080, 22}


def write_sockets(proc: Path, pid: int, tcp: str = "", tcp6: str = "") -> None:
    net = proc / str(pid) / "net"
    net.mkdir(parents=True)
    header = "  sl  local_address rem_address   st tx_queue\n"
    (net / "tcp").write_text(header + tcp)
    (net / "tcp6").write_text(header + tcp6)


@pytest.mark.parametrize(
    ("tcp", "tcp6", "words"),
    [
        (
            "0: 0100007F:1F90 00000000:0000 0A 0:0\n",
            "",
            "it listens on 127.0.0.1:8080 only, where the probe cannot reach",
        ),
        ("", f"0: {'0' * 24}01000000:1F90 {'0' * 32}:0000 0A 0:0\n", "it listens on [::1]:8080 only"),
        ("", f"0: 0000000000000000FFFF00000100007F:1F90 {'0' * 32}:0000 0A 0:0\n", "it listens on 127.0.0.1:8080 only"),
        ("0: 0100007F:0050 00000000:0000 0A 0:0\n", "", "it listens on 80"),
        ("0: 00000000:1F90 00000000:0000 0A 0:0\n", "", "it listens on 0.0.0.0:8080"),
        ("", "", "it listens on no TCP port"),
    ],
)
def test_what_listens_elsewhere_is_described(tmp_path: Path, tcp: str, tcp6: str, words: str) -> None:
    """Addresses are the kernel's hexadecimal words, in the byte order of the machines the tests run on."""
    write_sockets(tmp_path, 7, tcp, tcp6)
    found = listeners(7, proc=tmp_path)
    assert found is not None
    assert described(found, 8080).startswith(words)


@pytest.mark.parametrize(("output", "line"), [("", None), ("\n \n", None), ("a\n\n b \n\n", "b")])
def test_the_last_line_is_the_last_with_something_in_it(output: str, line: str | None) -> None:
    assert last_line(output) == line


def test_a_process_that_cannot_be_looked_at_has_unknown_ports(tmp_path: Path) -> None:
    assert listeners(7, proc=tmp_path) is None
