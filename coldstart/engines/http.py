"""A keep-alive HTTP/1.1 connection to an engine's socket, short enough to sit on the timed path.

docker-py costs 0.4 to 3 ms a call; this costs a write and a read. It speaks what engines answer: fixed-length
and chunked bodies, and streams whose pieces are stamped as they arrive.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from coldstart.decoding import UNREADABLE
from coldstart.errors import EngineError, EngineTimeoutError, EngineUnreachableError, UsageError
from coldstart.units import NS_PER_S

_RECEIVE_BYTES = 65536
ANSWER_S = 30.0  # for what an engine answers from memory; a small board under load takes its time
_BACKLOG_POLL_S = 0.05


class Response(NamedTuple):
    """A whole answer; ``start_ns`` is before the request was sent, ``end_ns`` after the body was read."""

    status: int
    headers: dict[str, str]
    body: bytes
    start_ns: int
    end_ns: int

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            EngineError: it is none.
        """
        try:
            return msgspec.json.decode(self.body)
        except UNREADABLE as error:
            raise EngineError(f"the engine's answer is not valid JSON: {self.body[:80]!r}") from error


class Connection:
    """One connection, opened when first used and again when the engine has closed it.

    ``url`` is ``unix:///path`` or ``tcp://host:port``; with ``DOCKER_TLS_VERIFY`` set, tcp is spoken over TLS with
    the certificates in ``DOCKER_CERT_PATH``. ``timeout_s`` is the limit of requests that name none of their own.

    Whatever interrupts a request, a Ctrl-C too, closes the connection: its answer would be taken for the next one's.

    Raises:
        UsageError: another scheme, with what to do about it.
    """

    def __init__(self, url: str, timeout_s: float = ANSWER_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"unix", "tcp", "http"} or (parts.scheme == "unix" and not parts.path):
            raise UsageError(
                f"Docker at {url!r}: coldstart speaks unix:///path and tcp://host:port. For an ssh host, forward its "
                "socket first: ssh -L /tmp/docker.sock:/var/run/docker.sock HOST, then DOCKER_HOST=unix:///tmp/docker.sock."
            )
        self.url = url
        self._parts = parts
        self._timeout_s = timeout_s
        self._deadline_ns: int | None = None
        self._is_working: Callable[[int], bool] | None = None
        self._socket: socket.socket | None = None
        self._buffer = bytearray()

    def request(
        self, method: str, path: str, body: object | None = None, *, timeout_s: float | None = None
    ) -> Response:
        """Send one request and read the whole answer, which takes ``timeout_s`` at most.

        Raises:
            EngineUnreachableError: nobody answers.
            EngineTimeoutError: not within the limit.
        """
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        message = _message(method, path, body)
        self._is_working = None
        connection = self._open(limit_s)
        start_ns = time.monotonic_ns()
        self._deadline_ns = start_ns + int(limit_s * NS_PER_S)
        try:
            try:
                connection.sendall(message)
                status, headers = self._head()
            except (BrokenPipeError, ConnectionResetError, EOFError):
                # A keep-alive connection the engine closed meanwhile: once more, on a new one.
                self.close()
                connection = self._open(limit_s)
                start_ns = time.monotonic_ns()
                connection.sendall(message)
                status, headers = self._head()
            content = b"".join(self._body(status, headers))
            end_ns = time.monotonic_ns()
        except BaseException as error:
            self.close()
            if (ours := self._translated(error, f"{method} {path}", limit_s)) is None:
                raise
            raise ours from error
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Response(status, headers, content, start_ns, end_ns)

    def stream(
        self,
        method: str,
        path: str,
        body: object | None = None,
        *,
        head_s: float | None = None,
        silence_s: float | None = None,
        is_working: Callable[[int], bool] | None = None,
    ) -> tuple[Response, Iterator[bytes]]:
        """Send one request; its head, and an iterator over the body's pieces as they arrive.

        The head's ``end_ns`` is when the headers were read. The iterator must be exhausted or the connection closed
        before another request. The head takes ``head_s`` at most. What follows has no limit but its silence: after
        ``silence_s`` without a byte ``is_working`` is asked, with the length of the silence in ns, whether to wait for
        as long again; if it says no, or there is none, the stream is given up.

        Raises:
            EngineUnreachableError: nobody answers.
            EngineTimeoutError: it was silent for too long.
        """
        limit_s = self._timeout_s if head_s is None else head_s
        silence_s = self._timeout_s if silence_s is None else silence_s
        message = _message(method, path, body)
        self.close()  # a stream never starts on a connection that may be half dead
        self._deadline_ns, self._is_working = None, is_working
        connection = self._open(limit_s)
        start_ns = time.monotonic_ns()
        try:
            connection.sendall(message)
            status, headers = self._head()
            connection.settimeout(silence_s)
        except BaseException as error:
            self.close()
            if (ours := self._translated(error, f"{method} {path}", limit_s)) is None:
                raise
            raise ours from error
        head = Response(status, headers, b"", start_ns, time.monotonic_ns())
        return head, self._pieces(status, headers, f"{method} {path}", silence_s)

    def close(self) -> None:
        """Close; the next request opens again."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._buffer.clear()

    def _pieces(self, status: int, headers: dict[str, str], what: str, limit_s: float) -> Iterator[bytes]:
        try:
            yield from self._body(status, headers)
        except BaseException as error:
            self.close()
            if (ours := self._translated(error, what, limit_s)) is None:
                raise
            raise ours from error

    def _translated(self, error: BaseException, what: str, limit_s: float) -> EngineUnreachableError | None:
        """The error that a request which ended so is for the caller; ``None`` where it is not the engine's doing."""
        if isinstance(error, TimeoutError):
            return EngineTimeoutError(f"{self.url}: no answer to {what} within {limit_s:g} s.")
        if isinstance(error, OSError | EOFError):
            return EngineUnreachableError(f"{self.url}: the engine stopped answering {what} ({error}).")
        if isinstance(error, ValueError | IndexError):
            return EngineUnreachableError(f"{self.url}: the answer to {what} is not valid HTTP ({error}).")
        return None

    def _open(self, limit_s: float) -> socket.socket:
        if self._socket is None:
            try:
                self._socket = self._connect(limit_s)
            except TimeoutError as error:
                raise EngineTimeoutError(f"{self.url}: cannot reach the engine within {limit_s:g} s.") from error
            except OSError as error:
                raise EngineUnreachableError(
                    f"{self.url}: cannot reach the engine ({error.strerror or error})."
                ) from error
        else:
            self._socket.settimeout(limit_s)
        return self._socket

    def _connect(self, limit_s: float) -> socket.socket:
        if self._parts.scheme == "unix":
            return _unix_connection(self._parts.path, limit_s)
        host, port = self._parts.hostname or "localhost", self._parts.port or 2375
        plain = socket.create_connection((host, port), timeout=limit_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not os.environ.get("DOCKER_TLS_VERIFY"):
            return plain
        folder = Path(os.environ.get("DOCKER_CERT_PATH", Path.home() / ".docker"))
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        return context.wrap_socket(plain, server_hostname=host)

    def _head(self) -> tuple[int, dict[str, str]]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._receive()
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        return int(lines[0].split(" ", 2)[1]), headers

    def _body(self, status: int, headers: dict[str, str]) -> Iterator[bytes]:
        if status in {204, 304}:
            return
        if headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._chunks()
        elif "content-length" in headers:
            yield self._take(int(headers["content-length"]))
        else:
            yield from self._until_closed()

    def _chunks(self) -> Iterator[bytes]:
        while True:
            size = int(self._line().split(b";")[0], 16)
            piece = self._take(size)
            self._line()
            if size == 0:
                return
            yield piece

    def _until_closed(self) -> Iterator[bytes]:
        try:
            while True:
                if self._buffer:
                    piece = bytes(self._buffer)
                    self._buffer.clear()
                    yield piece
                self._receive()
        except EOFError:
            self.close()

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._receive()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _receive(self) -> None:
        assert self._socket is not None
        since_ns = time.monotonic_ns()
        while True:
            try:
                received = self._socket.recv(_RECEIVE_BYTES)
            except TimeoutError:
                if self._is_working is None or not self._is_working(time.monotonic_ns() - since_ns):
                    raise
                continue
            break
        if not received:
            raise EOFError("connection closed")
        self._buffer += received
        if self._deadline_ns is not None and time.monotonic_ns() > self._deadline_ns:
            raise TimeoutError("its answer goes on for too long")


def _unix_connection(path: str, limit_s: float) -> socket.socket:
    """A connection whose operations take ``limit_s`` at most.

    Where the listener accepts nobody and its backlog is full, connect(2) does not wait on a socket with a time limit.
    """
    deadline_ns = time.monotonic_ns() + int(limit_s * NS_PER_S)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(limit_s)
        while True:
            try:
                connection.connect(path)
            except BlockingIOError as error:
                if time.monotonic_ns() >= deadline_ns:
                    raise TimeoutError("it accepts no connection") from error
                time.sleep(_BACKLOG_POLL_S)
            else:
                return connection
    except BaseException:
        connection.close()
        raise


def _message(method: str, path: str, body: object | None) -> bytes:
    content = b"" if body is None else msgspec.json.encode(body)
    head = f"{method} {path} HTTP/1.1\r\nHost: engine\r\n"
    if body is not None:
        head += "Content-Type: application/json\r\n"
    if body is not None or method in {"POST", "PUT"}:
        head += f"Content-Length: {len(content)}\r\n"
    return head.encode("ascii") + b"\r\n" + content
