"""Requests that end: each has a limit of its kind, and an engine that hung is not waited for at every request anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import msgspec

from coldstart.engines.http import ANSWER_S, Connection, Response
from coldstart.errors import EngineError, EngineTimeoutError


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a request of each kind may take, in seconds; create and start have their container's own limit.

    A pull has none but for its silence: without a message for ``silence_s`` it goes on while the engine's processes
    work, or for ``far_silence_s`` where those cannot be seen. ``removal_s`` is more than the 10 s for which dockerd
    itself waits for a killed container; one whose start was never answered is given ``stuck_s``.
    """

    connect_s: float = 10.0
    ping_s: float = 3.0
    answer_s: float = ANSWER_S
    removal_s: float = 20.0
    image_removal_s: float = 120.0
    stuck_s: float = 5.0
    silence_s: float = 30.0
    far_silence_s: float = 300.0


class UnansweredError(EngineError):
    """A request had no answer within its limit, though the engine answers others."""


class BoundedConnection:
    """An engine's connection for one request after the other."""

    def __init__(self, url: str, limits: Limits) -> None:
        self._url = url
        self._limits = limits
        self._connection = Connection(url, limits.answer_s)
        self._is_suspect = False

    def request(
        self, method: str, path: str, body: object | None = None, *, what: str = "", limit_s: float | None = None
    ) -> Response:
        """One request and its whole answer; ``what`` is its name in messages.

        Raises:
            UnansweredError: it was not answered within ``limit_s`` (``answer_s`` where none is given), others are.
            EngineUnreachableError: the engine answers nothing.
        """
        if self._is_suspect:
            self.ping()
        limit_s = self._limits.answer_s if limit_s is None else limit_s
        try:
            return self._connection.request(method, path, body, timeout_s=limit_s)
        except EngineTimeoutError as error:
            self.ping()
            name = what or f"{method} {path}"
            raise UnansweredError(
                f"{name}: no answer within {limit_s:g} s, though the engine answers other requests"
            ) from error

    def ping(self, limit_s: float | None = None) -> None:
        """Make sure that the engine answers at all, on a connection of its own.

        Raises:
            EngineUnreachableError: it does not.
        """
        self._is_suspect = True
        with closing(Connection(self._url, self._limits.ping_s if limit_s is None else limit_s)) as asking:
            asking.request("GET", "/_ping")
        self._is_suspect = False

    @contextmanager
    def answering(self, what: str) -> Iterator[None]:
        """Tell a request on another connection that was not answered in time from an engine that answers nothing.

        Raises:
            UnansweredError, EngineUnreachableError: as `request` does.
        """
        try:
            yield
        except EngineTimeoutError as error:
            self.ping()
            raise UnansweredError(f"{what}: {error}") from error

    def close(self) -> None:
        """Close; the next request opens again."""
        self._connection.close()
