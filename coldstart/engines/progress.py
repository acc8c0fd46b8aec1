"""Docker's pull progress: a stream of JSON messages, cut anywhere, stamped as its pieces arrived.

Docker ends a message by CR and LF, other engines of its API by either of them alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from coldstart.decoding import UNREADABLE
from coldstart.engines.base import LayerEvent
from coldstart.errors import EngineError

_END = re.compile(rb"[\r\n]+")
_MESSAGE_MAX_BYTES = 1 << 20  # what is longer is not a message


class _Message(msgspec.Struct, frozen=True, rename="camel"):
    """One message; ``progress_detail`` is there, if empty, in those about a layer."""

    id: str | None = None
    status: str | None = None
    progress_detail: dict[str, Any] | None = None
    error: str | None = None


_decoder = msgspec.json.Decoder(_Message)


def layer_events(stamped: Iterable[tuple[int, bytes]]) -> tuple[LayerEvent, ...]:
    """The messages that name a layer; a message counts from the piece that completed it.

    Raises:
        EngineError: something is not a message.
    """
    return tuple(
        LayerEvent(at_ns, message.id, message.status)
        for at_ns, message in _messages(stamped)
        if message.id is not None and message.status is not None and message.progress_detail is not None
    )


def pull_error(text: bytes) -> str | None:
    """The error a pull ended with, though its status was 200: it had begun to stream."""
    return next((message.error for _, message in _messages([(0, text)]) if message.error is not None), None)


def _messages(stamped: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, _Message]]:
    rest, at_ns = b"", 0
    for at_ns, piece in stamped:
        *lines, rest = _END.split(rest + piece)
        if len(rest) > _MESSAGE_MAX_BYTES:
            raise EngineError(f"the engine's pull progress is not JSON: {rest[:80]!r}")
        for line in lines:
            if line.strip():
                yield at_ns, _decoded(line)
    if rest.strip():  # the last one, whose end the connection's was
        yield at_ns, _decoded(rest)


def _decoded(line: bytes) -> _Message:
    try:
        return _decoder.decode(line)
    except UNREADABLE as error:
        raise EngineError(f"the engine's pull progress is not JSON: {line[:80]!r}") from error
