"""An engine of somebody's own without one, and a registry in memory."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.unit.engines.fake_daemon import FakeDaemon, serving
from tests.unit.images.fake_registry import FakeRegistry


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    """A Docker in memory; its socket's path is short, as unix(7) needs it."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "docker.sock") as fake:
        yield fake


@pytest.fixture
def registry_server() -> Iterator[FakeRegistry]:
    """A registry on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = fake.answer(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write((body or b"")[: fake.sends_of(self.path)])

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake = FakeRegistry(f"127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()
