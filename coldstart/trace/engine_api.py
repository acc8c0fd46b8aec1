"""The engine's own API as a source: pull progress, and the instant a container was started by what it says."""

from __future__ import annotations

from coldstart.engines.base import Capability, LayerEvent
from coldstart.model.run import SourceFacts
from coldstart.model.sample import Phase, Source, Span
from coldstart.trace.base import Instant, InstantKind, Observation, TrialWindow, of_all_layers

# State.StartedAt against the kernel's exec event: +1.8 ms in the median, from -3 to +8.
EXEC_ERROR_NS = 8_000_000
# The answer to the start request against the same, with Docker 28.5: +4.4 ms in the median, from 1.9 to 12.2.
ANSWER_ERROR_NS = 13_000_000
# Progress is sent at most every 100 ms and drops events.
PROGRESS_ERROR_NS = 100_000_000

_PROGRESS = (
    "so init is long and readiness short by that; layer progress, used where there is no log, comes every 100 ms, so "
    "unpack reads tens of ms short or long"
)
_BIAS = {
    True: (
        "the entrypoint's exec, taken from State.StartedAt, reads 1.8 ms late (0.6 to 3.0 in nine of ten starts, -3 to "
        f"+8 at most), {_PROGRESS}"
    ),
    False: (
        "the entrypoint's exec, taken from the answer to the start request since State.StartedAt does not tell it here "
        "(newer engines set it before they start anything, and another machine has its own clock), reads 4.4 ms late "
        f"(3 to 6 in nine of ten starts, 12 at most), {_PROGRESS}"
    ),
}


class EngineApi:
    """See `coldstart.trace.base.SpanSource`; where a start is read from depends on what the engine can do.

    Docker up to 26 sets State.StartedAt once the runtime has started the container, 28 before it asks it to
    (moby/moby#47003; 27 is taken to): there the answer to the start request tells, which is sent once it runs. So it
    does of an engine on another machine, whose clock is not ours.
    """

    def __init__(self, capabilities: frozenset[Capability]) -> None:
        self._by_state = Capability.STARTED_AT_EXEC in capabilities
        self.facts = SourceFacts(
            name=Source.ENGINE_API,
            resolution_ns=EXEC_ERROR_NS if self._by_state else ANSWER_ERROR_NS,
            bias=_BIAS[self._by_state],
        )

    def begin(self) -> None:
        """Everything is asked afterwards."""

    def end(self, window: TrialWindow) -> Observation:
        """Layer spans of the pull's progress, and each container's start."""
        instants = []
        for container, (start, state) in enumerate(zip(window.starts, window.states, strict=True)):
            if state.started_wall_ns is None:
                continue
            by_state = state.started_wall_ns - window.clock.offset_ns, window.clock.error_ns + EXEC_ERROR_NS
            at_ns, error_ns = by_state if self._by_state else (start.end_ns, ANSWER_ERROR_NS)
            kind = InstantKind.ENTRYPOINT_EXEC
            instants.append(
                Instant(kind=kind, at_ns=at_ns, error_ns=error_ns, source=Source.ENGINE_API, container=container)
            )
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
