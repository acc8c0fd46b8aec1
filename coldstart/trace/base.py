"""Where spans come from: sources that watch one trial and report what they saw, on the monotonic clock.

A kernel trace, the proc connector and the engine's own API and log are all sources; `measure` asks each for an
`Observation` and prefers, instant by instant, the best-ranked one. Sources are ranked by `Source`'s order.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

import msgspec

from coldstart.engines.base import ContainerState, LayerEvent, Timed
from coldstart.model.image import Image
from coldstart.model.run import SourceFacts
from coldstart.model.sample import ClockConversion, Phase, ProcessUse, Source, Span


class InstantKind(StrEnum):
    """Boundaries between phases that only an observer inside the machine can see."""

    ENTRYPOINT_EXEC = "entrypoint_exec"
    LISTENING = "listening"


class Instant(msgspec.Struct, frozen=True, kw_only=True):
    """A boundary, CLOCK_MONOTONIC ns, and how far off it may be."""

    kind: InstantKind
    at_ns: int
    error_ns: int
    source: Source
    container: int = 0


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What a source saw of one trial.

    ``received_bytes`` are what the engine read from the network during the pull, ``unpacked_bytes`` what it says that
    it unpacked; ``uses`` what processes took; ``lost`` says why the source, which should have seen the trial, did not.
    """

    spans: tuple[Span, ...] = ()
    instants: tuple[Instant, ...] = ()
    received_bytes: int | None = None
    unpacked_bytes: int | None = None
    uses: tuple[ProcessUse, ...] = ()
    lost: str | None = None


class TrialWindow(msgspec.Struct, frozen=True, kw_only=True):
    """What `measure` knows of a trial when it asks the sources: requests made, answers got, containers started.

    ``port`` is the one that readiness is asked on, if it is asked on one.
    """

    image: Image
    clock: ClockConversion
    pull: Timed[tuple[LayerEvent, ...]] | None
    starts: tuple[Timed[None], ...]
    states: tuple[ContainerState, ...]
    port: int | None = None


def of_all_layers(spans: Iterable[Span], image: Image) -> tuple[Span, ...]:
    """The spans without those phases that some layers lack: a union over half the layers would be a lie."""
    kept = tuple(spans)
    every = {layer.digest for layer in image.layers}
    seen: dict[Phase, set[str]] = {}
    for span in kept:
        if span.layer is not None:
            seen.setdefault(span.phase, set()).add(span.layer)
    if None in every:  # an image whose manifest we never saw: its layers are known by number
        count = len({layer.diff_id for layer in image.layers})  # a layer that is listed twice is reported once
        whole = {phase for phase, layers in seen.items() if len(layers) == count}
    else:
        whole = {phase for phase, layers in seen.items() if layers == every}
    return tuple(span for span in kept if span.layer is None or span.phase in whole)


class WatchingUnavailableError(Exception):
    """Why this machine cannot be watched by some source, in words for a note."""


class SpanSource(Protocol):
    """One observer. ``begin`` and ``end`` (or ``abandon``) bracket every trial, outside the timed window."""

    facts: SourceFacts

    def begin(self) -> None:
        """Start watching."""

    def end(self, window: TrialWindow) -> Observation:
        """Stop watching and report; an empty observation where it saw nothing."""

    def abandon(self) -> None:
        """The trial failed: stop watching, report nothing."""

    def close(self) -> None:
        """The run is over: leave nothing in the kernel."""
