"""The registry proxy, between a real client and a real server on loopback."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from coldstart.truth.proxy import DelayProxy

HELD = "sha256:" + "a" * 64
MS = 1_000_000


class _Registry(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def proxy() -> Iterator[DelayProxy]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = DelayProxy(f"127.0.0.1:{_free_port()}", f"127.0.0.1:{server.server_port}")
    with made.serving(None):
        yield made
    server.shutdown()
    server.server_close()


def get(proxy: DelayProxy, *paths: str) -> list[bytes]:
    connection = http.client.HTTPConnection(proxy.address, timeout=10)
    answers = []
    for path in paths:
        connection.request("GET", path)
        answers.append(connection.getresponse().read())
    connection.close()
    return answers


def test_answers_come_through_as_they_are(proxy: DelayProxy) -> None:
    assert get(proxy, "/v2/", f"/v2/x/blobs/{HELD}") == [b"/v2/", f"/v2/x/blobs/{HELD}".encode()]
    assert proxy.stamps() == ()


def test_the_named_blob_is_held_back_for_the_time_told_and_stamped(proxy: DelayProxy) -> None:
    proxy.tell(HELD, 30 * MS)
    begin_ns = time.monotonic_ns()
    get(proxy, f"/v2/x/blobs/{HELD}")
    end_ns = time.monotonic_ns()
    (stamp,) = proxy.stamps()
    assert begin_ns <= stamp.start_ns <= stamp.end_ns - 30 * MS <= end_ns - 30 * MS


def test_the_named_blob_settles_unstamped_after_its_delay_and_without_one(proxy: DelayProxy) -> None:
    proxy.settle_ns = 20 * MS
    for delay_ns, stamped in ((0, 0), (10 * MS, 1)):
        proxy.tell(HELD, delay_ns)
        begin_ns = time.monotonic_ns()
        get(proxy, f"/v2/x/blobs/{HELD}")
        assert time.monotonic_ns() - begin_ns >= delay_ns + 20 * MS
        assert len(proxy.stamps()) == stamped


def test_other_requests_on_the_same_connection_are_not_held(proxy: DelayProxy) -> None:
    proxy.tell(HELD, 1 * MS)
    get(proxy, "/v2/", f"/v2/x/blobs/{HELD}", "/v2/x/blobs/sha256:" + "b" * 64)
    assert len(proxy.stamps()) == 1


def test_telling_forgets_earlier_stamps(proxy: DelayProxy) -> None:
    proxy.tell(HELD, 1 * MS)
    get(proxy, f"/v2/x/blobs/{HELD}")
    proxy.tell(HELD, 0)
    get(proxy, f"/v2/x/blobs/{HELD}")
    assert proxy.stamps() == ()


def test_a_throttle_delivers_everything_later(proxy: DelayProxy) -> None:
    proxy.throttle_bytes_s = 5000.0
    begin_ns = time.monotonic_ns()
    assert get(proxy, "/" + "x" * 100) == [b"/" + b"x" * 100]
    assert time.monotonic_ns() - begin_ns >= 20 * MS  # 101 bytes of body alone, at 5000 a second


def test_an_address_in_use_is_the_callers_to_hear_of() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = DelayProxy(f"127.0.0.1:{taken.getsockname()[1]}", "127.0.0.1:1")
        with pytest.raises(OSError, match="in use"), busy.serving(None):
            pass
