"""Docker's pull progress: a stream of JSON messages, cut anywhere, stamped as its pieces arrived."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from coldstart.engines.base import LayerEvent
from coldstart.errors import EngineError


def layer_events(stamped: Iterable[tuple[int, bytes]]) -> tuple[LayerEvent, ...]:
    """The messages that name a layer; a message counts from the piece that completed it.

    Raises:
        EngineError: a line is no JSON.
    """
    events: list[LayerEvent] = []
    rest = b""
    for at_ns, piece in stamped:
        *lines, rest = (rest + piece).split(b"\n")
        events.extend(
            LayerEvent(at_ns, message["id"], message["status"])
            for message in _messages(lines)
            if "id" in message and "progressDetail" in message
        )
    return tuple(events)


def pull_error(text: bytes) -> str | None:
    """The error a pull ended with, though its status was 200: it had begun to stream."""
    for message in _messages(text.split(b"\n")):
        if "error" in message:
            return str(message["error"])
    return None


def _messages(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.strip():
            try:
                yield msgspec.json.decode(line)
            except msgspec.DecodeError as error:
                raise EngineError(f"the engine's pull progress is no JSON: {line[:80]!r}") from error
