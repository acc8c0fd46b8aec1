"""The raw connection, against a real socket that answers from a script."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coldstart.engines.http import Connection
from coldstart.errors import EngineError, EngineUnreachableError, UsageError

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
    with pytest.raises(EngineError, match="no JSON"):
        connection.request("GET", "/x").json()
    connection.close()


@pytest.mark.parametrize("url", ["ssh://host", "unix://", "nonsense"])
def test_another_scheme_is_refused_with_the_way_round_it(url: str) -> None:
    with pytest.raises(UsageError, match="forward its socket"):
        Connection(url)
