"""From requests, answers and observations to a sample's spans."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from coldstart.engines.base import LayerEvent, Timed
from coldstart.measure.failure import TrialFailure
from coldstart.model.sample import ClockConversion, Outcome, Phase, Source, Span
from coldstart.probes.base import Ready
from coldstart.trace.base import Instant, InstantKind, Observation

_PROFILE_OF = {Source.TRACE: "trace", Source.PROC: "proc", Source.ENGINE_API: "engine"}
"""What a sample's source is called, by who saw the entrypoint start; also what ``--source`` takes."""

_STEP_NS = 1_000_000
"""A step up to the resolution of the best source that uses the wall clock, the engine's log, is only its error."""


def read_clock() -> ClockConversion:
    """Wall clock against monotonic, now: the tightest of a few brackets."""
    best: ClockConversion | None = None
    for _ in range(5):
        before_ns = time.monotonic_ns()
        wall_ns = time.time_ns()
        after_ns = time.monotonic_ns()
        half_ns = (after_ns - before_ns) // 2 + 1
        if best is None or half_ns < best.error_ns:
            best = ClockConversion(offset_ns=wall_ns - (before_ns + after_ns) // 2, error_ns=half_ns)
    assert best is not None
    return best


def between(before: ClockConversion, after: ClockConversion) -> ClockConversion:
    """One conversion for a trial: what the wall clock moved against the monotonic one during it is its error."""
    moved_ns = abs(after.offset_ns - before.offset_ns)
    return ClockConversion(
        offset_ns=(before.offset_ns + after.offset_ns) // 2,
        error_ns=max(before.error_ns, after.error_ns) + (moved_ns + 1) // 2,
    )


def clock_step_ns(before: ClockConversion, after: ClockConversion) -> int | None:
    """By how much the wall clock was set during a trial; ``None`` if it was not, as far as can be seen.

    Linux corrects both clocks' rate together (clock_gettime(2): CLOCK_MONOTONIC is affected by adjtime(3)), so a change
    of their offset is always a step: of NTP, of a person, or of a leap second.
    """
    moved_ns = after.offset_ns - before.offset_ns
    return moved_ns if abs(moved_ns) - before.error_ns - after.error_ns > _STEP_NS else None


def sound(spans: Iterable[Span], begin_ns: int, end_ns: int) -> tuple[tuple[Span, ...], tuple[str, ...]]:
    """The spans that can be true, and a sentence about each phase that was left out.

    A span that ends before it begins, or lies outside ``begin_ns`` to ``end_ns`` by more than its error, can not. Then
    all spans of its phase and source are left out: a union of the others would be too short.
    """
    kept = tuple(spans)
    wrong: dict[tuple[Phase, Source], str] = {}
    for span in kept:
        error_ns = span.error_ns or 0
        if span.end_ns < span.start_ns:
            wrong[span.phase, span.source] = "ends before it begins"
        elif span.start_ns + error_ns < begin_ns or span.end_ns - error_ns > end_ns:
            wrong[span.phase, span.source] = "lies outside the trial"
    doubts = tuple(f"{phase} by {source} is left out: a span of it {why}" for (phase, source), why in wrong.items())
    return tuple(span for span in kept if (span.phase, span.source) not in wrong), doubts


def request_spans(pull: Timed[tuple[LayerEvent, ...]] | None, creates: Sequence[Timed[str]]) -> tuple[Span, ...]:
    """The phases whose boundaries are our own requests and their answers."""
    spans = [] if pull is None else [_client_span(Phase.PULL, pull.start_ns, pull.end_ns, 0)]
    spans += [_client_span(Phase.CREATE, made.start_ns, made.end_ns, k) for k, made in enumerate(creates)]
    return tuple(spans)


def start_spans(
    observations: Iterable[Observation], starts: Sequence[Timed[None]], readies: Sequence[Ready]
) -> tuple[Span, ...]:
    """Init and readiness of each container, once for every source that saw the entrypoint's exec between them.

    Raises:
        TrialFailure: `Outcome.UNOBSERVED`: no source saw a container's entrypoint start.
    """
    instants = [instant for observation in observations for instant in observation.instants]
    spans: list[Span] = []
    for container, (start, ready) in enumerate(zip(starts, readies, strict=True)):
        execs = [i for i in instants if i.kind is InstantKind.ENTRYPOINT_EXEC and i.container == container]
        if not execs:
            raise TrialFailure(Outcome.UNOBSERVED, "no source saw the entrypoint start")
        for instant in execs:
            spans += _around_exec(instant, start, ready)
            spans += _around_listening(instant, instants, ready)
    return tuple(spans)


def _around_exec(instant: Instant, start: Timed[None], ready: Ready) -> tuple[Span, ...]:
    # A source that is late by more than readiness took would turn a phase negative: the boundary is clamped into the
    # window it must lie in, and its error says how far it may be off.
    exec_ns = min(max(instant.at_ns, start.start_ns), ready.at_ns)
    return _spans_of(
        instant,
        instant.error_ns + abs(exec_ns - instant.at_ns),
        (Phase.INIT, start.start_ns, exec_ns),
        (Phase.READINESS, exec_ns, ready.at_ns),
    )


def _around_listening(begun: Instant, instants: Sequence[Instant], ready: Ready) -> tuple[Span, ...]:
    """The leaves of readiness, where the source that saw the exec saw the socket listen too, and in between."""
    for instant in instants:
        if (
            instant.kind is InstantKind.LISTENING
            and (instant.source, instant.container) == (begun.source, begun.container)
            and begun.at_ns <= instant.at_ns <= ready.at_ns
        ):
            return _spans_of(
                instant,
                instant.error_ns,
                (Phase.APP_START, begun.at_ns, instant.at_ns),
                (Phase.RESPOND, instant.at_ns, ready.at_ns),
            )
    return ()


def _spans_of(instant: Instant, error_ns: int, *parts: tuple[Phase, int, int]) -> tuple[Span, ...]:
    """Spans that meet at an instant, as its source saw them."""
    return tuple(
        Span(
            phase=phase,
            start_ns=start_ns,
            end_ns=end_ns,
            source=instant.source,
            error_ns=error_ns,
            container=instant.container,
        )
        for phase, start_ns, end_ns in parts
    )


def profile(instants: Iterable[Instant]) -> str:
    """The name of what a sample's phases are drawn from: the best-ranked source that saw the entrypoint's exec."""
    rank = {source: place for place, source in enumerate(Source)}
    best = min((i.source for i in instants if i.kind is InstantKind.ENTRYPOINT_EXEC), key=lambda s: rank[s])
    return _PROFILE_OF.get(best, str(best))


def _client_span(phase: Phase, start_ns: int, end_ns: int, container: int) -> Span:
    return Span(phase=phase, start_ns=start_ns, end_ns=end_ns, source=Source.CLIENT, container=container)
