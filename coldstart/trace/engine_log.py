"""dockerd's debug log as a source: per-layer download, unpack and register, and the resolve before them.

Lines used, the same from Docker 20 to 28 with a graph driver (moby: ``distribution/pull_v2.go``,
``daemon/graphdriver/overlay2``, ``layer/layer_store.go``)::

    Calling POST …/images/create?…, Trying to pull …   resolve begins, with the first of them
    pulling blob "sha256:…"                            a layer's download begins; resolve has ended
    Downloaded <short digest> to tempfile …            it ends
    Applying tar in …/overlay2/<cache ID>/diff         a layer's unpack begins, in the manifest's order
    Applied tar sha256:<diff ID> to <cache ID>, size: <bytes of its files>
                                                       it ends; register begins, until the API's "Pull complete"
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from coldstart.engines.wire import wall_ns
from coldstart.model.image import Image
from coldstart.model.run import SourceFacts
from coldstart.model.sample import Phase, Source, Span
from coldstart.trace.base import Observation, TrialWindow, of_all_layers

FACTS = SourceFacts(
    name=Source.ENGINE_LOG,
    resolution_ns=1_000_000,
    bias=(
        "unpack reads 8 ms long in the median against the kernel's view of the unpacking process (7 to 10 in nine of "
        "ten pulls of a two-layer image; up to 75 seen), register short by as much; download ends when verified"
    ),
)

_LINE = re.compile(rb'^time="([^"]+)" level=\w+ msg="((?:[^"\\]|\\.)*)"', re.MULTILINE)
_REQUEST = re.compile(rb"^Calling POST \S*/images/create\?")
_BLOB = re.compile(rb'^pulling blob \\?"?(sha256:[0-9a-f]{64})')
_DOWNLOADED = re.compile(rb"^Downloaded ([0-9a-f]{12}) to tempfile ")
_APPLYING = re.compile(rb"^Applying tar in \S*/([^/\s]+)/diff")
_APPLIED = re.compile(rb"^Applied tar (sha256:[0-9a-f]{64}) to ([^,\s]+),(?: size: (\d+))?")


class Log(Protocol):
    """The two methods of an engine with `Capability.LAYER_LOG`."""

    def log_mark(self) -> int:
        """A position in the log."""

    def log_since(self, mark: int) -> bytes:
        """What was written after it."""


class _Applied(NamedTuple):
    diff_id: str
    cache_id: str
    at_wall_ns: int
    size: int | None


class _Events(NamedTuple):
    resolve: list[int]
    pulling: dict[str, int]
    downloaded: dict[str, int]
    applying: dict[str, int]
    applied: list[_Applied]


class EngineLog:
    """See `coldstart.trace.base.SpanSource`."""

    facts = FACTS

    def __init__(self, log: Log) -> None:
        self._log = log
        self._mark = 0

    def begin(self) -> None:
        """Remember where the log is."""
        self._mark = self._log.log_mark()

    def end(self, window: TrialWindow) -> Observation:
        """Spans of the trial's pull; none if it made none."""
        if window.pull is None:
            return Observation()
        log = self._log.log_since(self._mark)
        return Observation(spans=pull_spans(log, window), unpacked_bytes=unpacked_bytes(log, window.image))

    def abandon(self) -> None:
        """Nothing goes on."""

    def close(self) -> None:
        """Nothing was kept."""


def pull_spans(log: bytes, window: TrialWindow) -> tuple[Span, ...]:
    """The pull's spans, on the monotonic clock; no phase is reported for some of the layers only."""
    pull = window.pull
    assert pull is not None
    events = _events(log)
    complete = {event.layer: event.at_ns for event in pull.value if event.status == "Pull complete"}
    error_ns = window.clock.error_ns
    offset_ns = window.clock.offset_ns

    def span(phase: Phase, start_wall_ns: int, end_ns: int, layer: str | None) -> Span:
        return Span(
            phase=phase,
            start_ns=max(start_wall_ns - offset_ns, pull.start_ns),
            end_ns=min(end_ns, pull.end_ns),
            source=Source.ENGINE_LOG,
            error_ns=error_ns,
            layer=layer,
        )

    spans = []
    if events.resolve and events.pulling:
        spans.append(span(Phase.RESOLVE, events.resolve[0], min(events.pulling.values()) - offset_ns, None))
    for digest, begun in events.pulling.items():
        ended = events.downloaded.get(_short(digest))
        if ended is not None:
            spans.append(span(Phase.DOWNLOAD, begun, ended - offset_ns, digest))
    for digest, cache_id, applied in _layers_applied(events, window.image):
        begun_unpack = events.applying.get(cache_id)
        if begun_unpack is not None:
            spans.append(span(Phase.UNPACK, begun_unpack, applied - offset_ns, digest))
        completed_ns = complete.pop(_short(digest), None)  # of a layer listed twice, only the first time is reported
        if completed_ns is not None:
            spans.append(span(Phase.REGISTER, applied, max(completed_ns, applied - offset_ns), digest))
    return of_all_layers(spans, window.image)


def unpacked_bytes(log: bytes, image: Image) -> int | None:
    """Bytes of the files of all layers, as the engine counted them; ``None`` unless it did so for each layer."""
    sizes = [applied.size for applied in _events(log).applied]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) == len(image.layers) else None


def _events(log: bytes) -> _Events:
    events = _Events([], {}, {}, {}, [])
    for at_wall_ns, message in _lines(log):
        if message.startswith(b"Trying to pull ") or _REQUEST.match(message):
            events.resolve.append(at_wall_ns)
        elif match := _BLOB.match(message):
            events.pulling.setdefault(match[1].decode(), at_wall_ns)
        elif match := _DOWNLOADED.match(message):
            events.downloaded[match[1].decode()] = at_wall_ns
        elif match := _APPLYING.match(message):
            events.applying.setdefault(match[1].decode(errors="replace"), at_wall_ns)
        elif match := _APPLIED.match(message):
            size = None if match[3] is None else int(match[3])
            events.applied.append(_Applied(match[1].decode(), match[2].decode(errors="replace"), at_wall_ns, size))
    return events


def _lines(log: bytes) -> Iterator[tuple[int, bytes]]:
    for match in _LINE.finditer(log):
        at_wall_ns = wall_ns(match[1].decode(errors="replace"))
        if at_wall_ns is not None:
            yield at_wall_ns, match[2]


def _layers_applied(events: _Events, image: Image) -> Iterator[tuple[str, str, int]]:
    # Two layers may have one diff ID (an empty layer twice): each is used once, in the manifest's order.
    waiting: dict[str, list[str]] = {}
    for layer in image.layers:
        if layer.digest is not None:
            waiting.setdefault(layer.diff_id, []).append(layer.digest)
    for applied in events.applied:
        if waiting.get(applied.diff_id):
            yield waiting[applied.diff_id].pop(0), applied.cache_id, applied.at_wall_ns


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
