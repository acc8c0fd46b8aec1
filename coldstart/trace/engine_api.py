"""The engine's own API as a source: pull progress, and the instant it says a container was started."""

from __future__ import annotations

from coldstart.engines.base import LayerEvent
from coldstart.model.run import SourceFacts
from coldstart.model.sample import Phase, Source, Span
from coldstart.trace.base import Instant, InstantKind, Observation, TrialWindow, of_all_layers

# State.StartedAt against the kernel's exec event: +1.8 ms in the median, from -3 to +8.
EXEC_ERROR_NS = 8_000_000
# Progress is sent at most every 100 ms and drops events.
PROGRESS_ERROR_NS = 100_000_000

FACTS = SourceFacts(
    name=Source.ENGINE_API,
    resolution_ns=EXEC_ERROR_NS,
    bias=(
        "the entrypoint's exec, taken from State.StartedAt, reads 1.8 ms late (0.6 to 3.0 in nine of ten starts, -3 to "
        "+8 at most), so init is long and readiness short by that; layer progress, used where there is no log, comes "
        "every 100 ms, so unpack reads tens of ms short or long"
    ),
)


class EngineApi:
    """See `coldstart.trace.base.SpanSource`."""

    facts = FACTS

    def begin(self) -> None:
        """Everything is asked afterwards."""

    def end(self, window: TrialWindow) -> Observation:
        """Layer spans of the pull's progress, and each container's start."""
        instants = [
            Instant(
                kind=InstantKind.ENTRYPOINT_EXEC,
                at_ns=state.started_wall_ns - window.clock.offset_ns,
                error_ns=window.clock.error_ns + EXEC_ERROR_NS,
                source=Source.ENGINE_API,
                container=container,
            )
            for container, state in enumerate(window.states)
            if state.started_wall_ns is not None
        ]
        spans = layer_spans(window.pull.value, window) if window.pull is not None else ()
        return Observation(spans=spans, instants=tuple(instants))

    def abandon(self) -> None:
        """Nothing goes on."""

    def close(self) -> None:
        """Nothing was kept."""


def layer_spans(events: tuple[LayerEvent, ...], window: TrialWindow) -> tuple[Span, ...]:
    """Download, unpack and register, each only if two boundaries of it were reported for every layer."""
    digests = {layer.digest.removeprefix("sha256:")[:12]: layer.digest for layer in window.image.layers if layer.digest}
    if not digests:  # an image whose manifest we never saw: the engine's own short names have to do
        digests = {event.layer: event.layer for event in events if event.status == "Pull complete"}
    first: dict[tuple[str, str], int] = {}
    last: dict[tuple[str, str], int] = {}
    for event in events:
        first.setdefault((event.layer, event.status), event.at_ns)
        last[event.layer, event.status] = event.at_ns
    spans = []
    for short, digest in digests.items():
        boundaries = (
            (Phase.DOWNLOAD, first.get((short, "Downloading")), last.get((short, "Download complete"))),
            (Phase.UNPACK, first.get((short, "Extracting")), last.get((short, "Extracting"))),
            (Phase.REGISTER, last.get((short, "Extracting")), last.get((short, "Pull complete"))),
        )
        spans += [
            Span(
                phase=phase,
                start_ns=start_ns,
                end_ns=end_ns,
                source=Source.ENGINE_API,
                error_ns=PROGRESS_ERROR_NS,
                layer=digest,
            )
            for phase, start_ns, end_ns in boundaries
            if start_ns is not None and end_ns is not None and start_ns <= end_ns
        ]
    return of_all_layers(spans, window.image)
