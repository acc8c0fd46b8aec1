"""The registry's access log: which blobs were fetched, how many bytes left. The proof of a pull, and of none."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import msgspec

from coldstart.decoding import UNREADABLE
from coldstart.errors import TestbedError
from coldstart.units import NS_PER_S

_BLOB = re.compile(r"/v2/.+/blobs/([a-z0-9+._-]+:[0-9a-f]{32,})(?:\?.*)?")
_COMPLETED = b'"response completed"'
_POLL_S = 0.002


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """One answered request, as distribution 2 and 3 log it. Errors, logged a second time, have other messages."""

    method: str = msgspec.field(name="http.request.method")
    uri: str = msgspec.field(name="http.request.uri")
    status: int = msgspec.field(name="http.response.status")
    written_bytes: int = msgspec.field(name="http.response.written", default=0)


class BlobTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """Successful blob downloads: how many, bytes of their bodies, their digests in the order they ended."""

    gets: int
    bytes: int
    digests: tuple[str, ...]


_decoder = msgspec.json.Decoder(Response, strict=False)  # some versions write numbers as text


class AccessLog:
    """Reads what our registry's log gained since a mark."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def mark(self) -> int:
        """The position after the last complete line."""
        try:
            with self._path.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                start = max(0, end - 65536)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
        except FileNotFoundError:
            return 0
        return start + newline + 1 if newline >= 0 else start

    def since(self, mark: int) -> BlobTraffic:
        """Blob downloads that ended after ``mark``; a line that is still being written is left for later.

        Raises:
            TestbedError: the log was cut, or says something about a request that cannot be read.
        """
        hits = [
            (found.group(1), response.written_bytes)
            for response in self.responses_since(mark)
            if response.method == "GET"
            and 200 <= response.status < 300
            and (found := _BLOB.fullmatch(response.uri)) is not None
        ]
        return BlobTraffic(
            gets=len(hits), bytes=sum(size for _, size in hits), digests=tuple(digest for digest, _ in hits)
        )

    def settle(self, mark: int, *, gets: int, timeout_ns: int = NS_PER_S) -> BlobTraffic:
        """As `since`, once it shows at least ``gets`` downloads, or after ``timeout_ns`` what it then shows.

        The registry writes a download's line a moment after the client has read its end.
        """
        deadline_ns = time.monotonic_ns() + timeout_ns
        while (traffic := self.since(mark)).gets < gets and time.monotonic_ns() < deadline_ns:
            time.sleep(_POLL_S)
        return traffic

    def responses_since(self, mark: int) -> tuple[Response, ...]:
        """Every answered request that was logged, in full, after ``mark``."""
        try:
            with self._path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < mark:
                    raise TestbedError(f"{self._path} is shorter than it was: it was cut while being read.")
                file.seek(mark)
                lines = file.read().split(b"\n")[:-1]
        except FileNotFoundError:
            return ()
        return tuple(self._response(line) for line in lines if _COMPLETED in line)

    def _response(self, line: bytes) -> Response:
        try:
            return _decoder.decode(line)
        except UNREADABLE as error:
            raise TestbedError(f"{self._path}: cannot read {line[:200]!r}: {error}") from error
