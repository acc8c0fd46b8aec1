"""Docker's API as far as images and exec go, on a real Unix socket: what is there, and what a pull would bring."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

CONTAINER_ID = "c" * 64


class FakeDaemon:
    """``images`` are those it has, ``offered`` those its registry has: inspect answers by name.

    ``requests`` is what it was asked, without the API's version; ``refusal`` ends every pull in its stream. A command
    run in its container ``running`` gives the next of ``inspections``, after having written ``output``, which is the
    answer to a wait as well. A request that
    begins with one of ``silent`` (``DELETE /images/``) is not answered before the daemon ends, nor is the wait for a
    container's exit, but for its head, if it ``never_exits``.
    """

    def __init__(self, socket: Path) -> None:
        self.url = f"unix://{socket}"
        self.images: dict[str, dict[str, Any]] = {}
        self.offered: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.refusal: str | None = None
        self.inspections: list[dict[str, Any]] = []
        self.output = b""
        self.silent: set[str] = set()
        self.never_exits = False
        self.ends = threading.Event()
        self.api_version = "1.41"
        self.kernel: str | None = None
        self.driver_status: list[list[str]] = [["Backing Filesystem", "extfs"]]
        self.warnings: list[str] | None = []
        self.containers: dict[str, dict[str, Any]] = {}
        self.version = "20.10.24"

    @property
    def changes(self) -> list[str]:
        """Of the requests those that change something."""
        return [request for request in self.requests if not request.startswith("GET ")]

    def answer(self, method: str, target: str) -> tuple[int, object]:
        """Status and body; a list is streamed, bytes are written as they are, until the connection's end."""
        url = urlsplit(target)
        path = unquote(url.path.removeprefix(f"/v{self.api_version}"))
        self.requests.append(f"{method} {path}" + (f"?{url.query}" if url.query else ""))
        if any(self.requests[-1].startswith(silent) for silent in self.silent):
            self.ends.wait(10)
        match path.removeprefix("/").split("/"):
            case ["_ping"]:
                return 200, "OK"
            case ["version"]:
                return 200, {"Version": self.version, "ApiVersion": self.api_version, "Os": "linux", "Arch": "amd64"}
            case ["info"]:
                runtimes = {"runc": {"path": "runc"}, "io.containerd.runc.v2": {"path": "runc"}}
                store = {"DriverStatus": self.driver_status}
                kernel = {} if self.kernel is None else {"KernelVersion": self.kernel}
                return 200, {"Driver": "overlay2", "Runtimes": runtimes, **store, **kernel}
            case ["containers" | "exec", *words]:
                return (200, {}) if words in ([CONTAINER_ID], [CONTAINER_ID, "start"]) else self._execute(words)
            case ["images", *words]:
                return self._pull(parse_qs(url.query)) if words == ["create"] else self._image(method, words)
        return 404, {"message": "page not found"}

    def _execute(self, words: list[str]) -> tuple[int, object]:
        match words:
            case ["create"]:
                return 201, {"Id": CONTAINER_ID, "Warnings": self.warnings}
            case [name, "json"] if name in self.containers:
                return 200, self.containers[name]
            case ["running", "exec"]:
                return 201, {"Id": "e"}
            case ["e", "start"] | [_, "wait"]:
                return 200, self.output
            case ["e", "json"]:
                return 200, self.inspections.pop(0)
        return 409, {"message": f"Container {words[0]} is not running"}

    def _image(self, method: str, words: list[str]) -> tuple[int, object]:
        if words == ["json"]:
            return 200, list(self.images.values())
        name = "/".join(words).removesuffix("/json")
        return self._remove(name) if method == "DELETE" else self._inspect(name)

    def _known_as(self, name: str) -> list[str]:
        return [known for known, image in self.images.items() if name in {known, image["Id"], *image["RepoDigests"]}]

    def _inspect(self, name: str) -> tuple[int, object]:
        names = self._known_as(name)
        return (200, self.images[names[0]]) if names else (404, {"message": f"No such image: {name}"})

    def _remove(self, name: str) -> tuple[int, object]:
        names = [name] if name in self.images else self._known_as(name)
        for known in names:
            del self.images[known]
        return (200, [{"Deleted": name}]) if names else (404, {"message": f"No such image: {name}"})

    def _pull(self, asked: dict[str, list[str]]) -> tuple[int, object]:
        (name,), (tag,) = asked["fromImage"], asked.get("tag", [""])
        name += f"@{tag}" if tag.startswith("sha256:") else f":{tag}" if tag else ""
        if self.refusal is not None:
            return 200, [{"status": f"Pulling from {name}"}, {"error": self.refusal}]
        if name not in self.offered:
            return 404, {"message": f"manifest for {name} not found: manifest unknown"}
        self.images[name] = self.offered[name]
        return 200, [{"status": f"Pulling from {name}"}, {"status": "Pull complete", "progressDetail": {}, "id": "a"}]


@contextmanager
def serving(socket: Path) -> Iterator[FakeDaemon]:
    """A daemon that answers at ``socket``."""
    daemon = FakeDaemon(socket)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = daemon.answer(self.command, self.path)
            self.send_response(status)
            if isinstance(body, list) and self.command == "POST":
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for message in body:
                    line = json.dumps(message).encode() + b"\r\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.wfile.write(b"0\r\n\r\n")
                return
            if isinstance(body, bytes):
                self.end_headers()
                if daemon.never_exits and "/wait" in self.path:
                    daemon.ends.wait(10)
                self.wfile.write(body)
                self.close_connection = True
                return
            content = json.dumps(body, separators=(",", ":")).encode()
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815  http.server's names

        def log_message(self, *_: object) -> None:
            """Silence."""

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that gave up is nothing to report."""

    with Server(str(socket), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield daemon
        finally:
            daemon.ends.set()
            server.shutdown()
            thread.join()


def inspected(reference: str, *, digest: str | None = None, **fields: object) -> dict[str, Any]:
    """What an inspect says of an image; ``digest`` is its manifest's, as a registry has it."""
    return {
        "Id": f"sha256:{reference.encode().hex():0>64}"[:71],
        "RepoDigests": [f"{reference.partition(':')[0]}@{digest}"] if digest else [],
        "Os": "linux",
        "Architecture": "amd64",
        "Config": {"Labels": None},
        "RootFS": {"Type": "layers", "Layers": [f"sha256:{c * 64}" for c in "12"]},
        **fields,
    }
