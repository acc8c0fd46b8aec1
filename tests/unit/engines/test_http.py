"""The raw connection, against a real socket that answers from a script."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from coldstart.engines.http import Connection
from coldstart.errors import EngineError, EngineTimeoutError, EngineUnreachableError, UsageError

Serve = Callable[..., str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a server that sends one script's bytes a request, piece by piece; ``None`` closes the connection."""
    threads: list[threading.Thread] = []
    servers: list[socket.socket] = []

    def start(*connections: list[list[bytes] | None]) -> str:
        path = tmp_path / f"{len(servers)}.sock"
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(str(path))
        server.listen()
        servers.append(server)

        def run() -> None:
            for answers in connections:
                client, _ = server.accept()
                with client:
                    for pieces in answers:
                        if pieces is None or not client.recv(65536):
                            break
                        for piece in pieces:
                            client.sendall(piece)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        threads.append(thread)
        return f"unix://{path}"

    yield start
    for thread in threads:
        thread.join(timeout=5)
    for server in servers:
        server.close()


def test_a_body_of_stated_length_is_read_whole_though_it_comes_in_pieces(serve: Serve) -> None:
    url = serve([[b"HTTP/1.1 200 OK\r\nContent-Le", b'ngth: 9\r\n\r\n{"a":', b" 17}"]])
    connection = Connection(url)
    answer = connection.request("GET", "/x")
    connection.close()
    assert (answer.status, answer.json()) == (200, {"a": 17})
    assert answer.start_ns < answer.end_ns


def test_chunks_are_joined_and_the_connection_serves_the_next_request(serve: Serve) -> None:
    chunked = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"]
    connection = Connection(serve([chunked, [b"HTTP/1.1 204 No Content\r\n\r\n"]]))
    assert connection.request("GET", "/x").body == b"abcde"
    assert connection.request("POST", "/y").status == 204
    connection.close()


def test_a_stream_yields_each_chunk_as_it_comes(serve: Serve) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection = Connection(serve([[head, b"1\r\na\r\n", b"1\r\nb\r\n0\r\n\r\n"]]))
    answer, pieces = connection.stream("POST", "/pull")
    assert answer.status == 200
    assert list(pieces) == [b"a", b"b"]
    connection.close()


def test_a_body_without_length_ends_with_the_connection(serve: Serve) -> None:
    connection = Connection(serve([[b"HTTP/1.1 200 OK\r\n\r\nab", b"c"], None]))
    assert connection.request("GET", "/x").body == b"abc"


def test_a_connection_the_engine_closed_between_requests_is_opened_again(serve: Serve) -> None:
    ok = [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"]
    connection = Connection(serve([ok, None], [ok]))
    assert connection.request("GET", "/x").body == b"a"
    assert connection.request("GET", "/x").body == b"a"
    connection.close()


def test_a_broken_off_answer_is_an_engine_out_of_reach(serve: Serve) -> None:
    half = [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"]
    connection = Connection(serve([half, None]))
    with pytest.raises(EngineUnreachableError, match="stopped answering GET /x"):
        connection.request("GET", "/x")


def test_a_socket_nobody_listens_on_is_an_engine_out_of_reach(tmp_path: Path) -> None:
    with pytest.raises(EngineUnreachableError, match="cannot reach the engine"):
        Connection(f"unix://{tmp_path}/none.sock").request("GET", "/x")


def test_an_answer_that_is_no_json_is_the_engines_error(serve: Serve) -> None:
    connection = Connection(serve([[b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<a>"]]))
    with pytest.raises(EngineError, match="not valid JSON"):
        connection.request("GET", "/x").json()
    connection.close()


@pytest.mark.parametrize("url", ["ssh://host", "unix://", "nonsense"])
def test_another_scheme_is_refused_with_the_way_round_it(url: str) -> None:
    with pytest.raises(UsageError, match="forward its socket"):
        Connection(url)


# --- limits ---

OK = [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"]
SILENT: list[bytes] = []  # takes the request and sends nothing, until the next one


def test_a_request_that_is_not_answered_in_time_says_which_and_how_long_it_waited(serve: Serve) -> None:
    connection = Connection(serve([SILENT, OK]))
    with pytest.raises(EngineTimeoutError, match=r"no answer to POST /start within 0\.05 s"):
        connection.request("POST", "/start", timeout_s=0.05)


def test_a_limit_holds_for_the_whole_answer_though_each_of_its_pieces_comes_in_time() -> None:
    with slowly(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n" + b"a" * 50) as url:
        connection = Connection(url)
        with pytest.raises(EngineTimeoutError):
            connection.request("GET", "/x", timeout_s=0.1)


def test_a_request_without_a_limit_of_its_own_has_the_connections(serve: Serve) -> None:
    connection = Connection(serve([OK, SILENT, OK]), timeout_s=0.05)
    connection.request("GET", "/x", timeout_s=5)
    with pytest.raises(EngineTimeoutError, match=r"within 0\.05 s"):
        connection.request("GET", "/x")


def test_a_stream_may_take_longer_than_any_limit_while_it_is_not_silent() -> None:
    with slowly(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 25, pause_s=0.1) as url:
        connection = Connection(url)
        begin = time.monotonic()
        _, pieces = connection.stream("POST", "/pull", silence_s=2)
        assert b"".join(pieces) == b"a" * 25
        assert time.monotonic() - begin > 2


@pytest.mark.parametrize(("patience", "asked"), [([False], 1), ([True, True, False], 3)])
def test_a_silent_stream_is_given_up_once_nobody_works_for_it(serve: Serve, patience: list[bool], asked: int) -> None:
    looks: list[int] = []

    def is_working(silent_ns: int) -> bool:
        looks.append(silent_ns)
        return patience.pop(0)

    connection = Connection(serve([[b"HTTP/1.1 200 OK\r\n\r\na"], SILENT]))
    _, pieces = connection.stream("POST", "/pull", silence_s=0.02, is_working=is_working)
    with pytest.raises(EngineTimeoutError, match=r"no answer to POST /pull within 0\.02 s"):
        list(pieces)
    assert len(looks) == asked
    assert all(silent_ns >= number * 20_000_000 for number, silent_ns in enumerate(looks, 1))


def test_a_silence_begins_anew_with_each_byte() -> None:
    looks: list[int] = []

    def is_working(silent_ns: int) -> bool:
        looks.append(silent_ns)
        return True

    with slowly(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 10, pause_s=0.1) as url:
        _, pieces = Connection(url).stream("POST", "/pull", silence_s=0.04, is_working=is_working)
        assert b"".join(pieces) == b"a" * 10
    assert len(looks) > 9
    assert looks != sorted(looks)  # as the silences of one that never began anew would be


def test_a_stream_whose_head_does_not_come_is_given_up_too(serve: Serve) -> None:
    connection = Connection(serve([SILENT, OK]))
    with pytest.raises(EngineTimeoutError):
        connection.stream("POST", "/wait", head_s=0.05, silence_s=99)


def test_a_listener_that_accepts_nobody_is_given_up_when_its_backlog_is_full(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(tmp_path / "full.sock"))
        listener.listen(0)
        first.connect(str(tmp_path / "full.sock"))
        with pytest.raises(EngineTimeoutError, match=r"cannot reach the engine within 0\.2 s"):
            Connection(f"unix://{tmp_path}/full.sock").request("GET", "/x", timeout_s=0.2)


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_an_answer_that_is_not_http_is_an_engine_out_of_reach(serve: Serve, answer: bytes) -> None:
    with pytest.raises(EngineUnreachableError, match="not valid HTTP"):
        Connection(serve([[answer]])).request("GET", "/x")


def test_after_an_interrupt_the_next_request_is_not_answered_with_the_answer_of_the_last(serve: Serve) -> None:
    late = b"HTTP/1.1 204 No Content\r\n\r\n"
    conflict = [b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n"]
    connection = Connection(serve([SILENT, [late]], [conflict]))
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        connection.request("POST", "/start")
    assert connection.request("DELETE", "/container").status == 409
    connection.close()


@contextmanager
def slowly(answer: bytes, pause_s: float = 0.01) -> Iterator[str]:
    """A server that sends a byte every ``pause_s``."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(f"{folder}/slow.sock")
        server.listen()

        def run() -> None:
            client, _ = server.accept()
            with client, suppress(OSError):
                client.recv(65536)
                for byte in answer:
                    client.sendall(bytes([byte]))
                    time.sleep(pause_s)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"unix://{folder}/slow.sock"
        thread.join(timeout=5)
