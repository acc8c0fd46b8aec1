"""From what sources saw to a sample's spans of a start, and the name of what they are drawn from."""

from __future__ import annotations

from typing import Any

import pytest

from coldstart.engines.base import Timed
from coldstart.measure.assemble import between, clock_step_ns, profile, request_spans, sound, start_spans
from coldstart.measure.failure import TrialFailure
from coldstart.model.sample import ClockConversion, Outcome, Phase, Source, Span
from coldstart.probes.base import Ready
from coldstart.trace.base import Instant, InstantKind, Observation

START = Timed(100, 190, None)


def ready(at_ns: int = 300) -> Ready:
    return Ready(at_ns=at_ns, resolution_ns=1, attempts=1)


def execed(at_ns: int = 200, source: Source = Source.TRACE, **fields: Any) -> Instant:
    return Instant(kind=InstantKind.ENTRYPOINT_EXEC, at_ns=at_ns, error_ns=1, source=source, **fields)


def listened(at_ns: int = 250, source: Source = Source.TRACE, **fields: Any) -> Instant:
    return Instant(kind=InstantKind.LISTENING, at_ns=at_ns, error_ns=2, source=source, **fields)


def spans(*instants: Instant) -> tuple[Span, ...]:
    return start_spans([Observation(instants=instants)], [START], [ready()])


def leaves(*found: Span) -> dict[Phase, tuple[int, int]]:
    return {s.phase: (s.start_ns, s.end_ns) for s in found if s.phase in {Phase.APP_START, Phase.RESPOND}}


def test_an_exec_divides_init_from_readiness() -> None:
    found = {span.phase: (span.start_ns, span.end_ns) for span in spans(execed())}
    assert found == {Phase.INIT: (100, 200), Phase.READINESS: (200, 300)}


def test_every_source_that_saw_the_exec_divides_them_its_own_way() -> None:
    seen = [Observation(instants=(execed(200),)), Observation(instants=(execed(210, Source.ENGINE_API),))]
    found = {(s.source, s.end_ns) for s in start_spans(seen, [START], [ready()]) if s.phase is Phase.INIT}
    assert found == {(Source.TRACE, 200), (Source.ENGINE_API, 210)}


@pytest.mark.parametrize(("at_ns", "clamped_ns"), [(90, 100), (310, 300)])
def test_an_exec_told_outside_its_window_is_moved_into_it_and_says_how_far(at_ns: int, clamped_ns: int) -> None:
    init, readiness = spans(execed(at_ns))
    assert (init.end_ns, init.error_ns, readiness.error_ns) == (clamped_ns, 11, 11)


def test_that_no_source_saw_the_exec_is_a_failure() -> None:
    with pytest.raises(TrialFailure, match="no source saw the entrypoint start") as caught:
        spans(listened())
    assert caught.value.outcome is Outcome.UNOBSERVED


def test_listening_divides_readiness() -> None:
    assert leaves(*spans(execed(), listened())) == {Phase.APP_START: (200, 250), Phase.RESPOND: (250, 300)}


def test_the_leaves_of_readiness_say_who_saw_them_and_how_exactly() -> None:
    found = spans(execed(), listened())[2:]
    assert {(span.source, span.error_ns, span.container) for span in found} == {(Source.TRACE, 2, 0)}


def test_without_listening_readiness_has_no_leaves() -> None:
    assert leaves(*spans(execed())) == {}


@pytest.mark.parametrize("at_ns", [199, 301])
def test_listening_outside_readiness_divides_nothing(at_ns: int) -> None:
    assert leaves(*spans(execed(), listened(at_ns))) == {}


@pytest.mark.parametrize("at_ns", [200, 300])
def test_listening_at_the_very_ends_of_readiness_divides_it(at_ns: int) -> None:
    assert leaves(*spans(execed(), listened(at_ns))) == {Phase.APP_START: (200, at_ns), Phase.RESPOND: (at_ns, 300)}


def test_listening_that_another_source_saw_divides_nothing() -> None:
    assert leaves(*spans(execed(), listened(source=Source.PROC))) == {}


def test_an_exec_is_no_listening() -> None:
    assert leaves(*spans(execed(200), execed(201))) == {}


def test_each_container_has_its_own_leaves() -> None:
    seen = [Observation(instants=(execed(), listened(240), execed(210, container=1), listened(260, container=1)))]
    found = start_spans(seen, [START, START], [ready(), ready(320)])
    assert leaves(*(s for s in found if s.container == 0)) == {Phase.APP_START: (200, 240), Phase.RESPOND: (240, 300)}
    assert leaves(*(s for s in found if s.container == 1)) == {Phase.APP_START: (210, 260), Phase.RESPOND: (260, 320)}


def test_listening_of_another_container_divides_nothing() -> None:
    assert leaves(*spans(execed(), listened(container=1))) == {}


@pytest.mark.parametrize(
    ("source", "name"),
    [(Source.TRACE, "trace"), (Source.PROC, "proc"), (Source.ENGINE_API, "engine"), (Source.APP, "app")],
)
def test_a_sample_is_named_after_who_saw_the_exec(source: Source, name: str) -> None:
    assert profile([execed(source=source)]) == name


def test_of_several_the_best_ranked_names_the_sample_whatever_their_order() -> None:
    assert profile([execed(source=Source.ENGINE_API), execed(source=Source.TRACE), execed(source=Source.PROC)]) == (
        "trace"
    )


def test_who_saw_only_the_listening_does_not_name_the_sample() -> None:
    assert profile([listened(source=Source.TRACE), execed(source=Source.PROC)]) == "proc"


def test_what_the_wall_clock_moved_during_a_trial_is_half_correction_and_half_error() -> None:
    before, after = ClockConversion(offset_ns=100, error_ns=5), ClockConversion(offset_ns=107, error_ns=3)
    assert between(before, after) == ClockConversion(offset_ns=103, error_ns=9)


def test_a_pull_is_shared_and_each_create_its_containers() -> None:
    found = request_spans(Timed(1, 2, ()), [Timed(3, 4, "a"), Timed(5, 6, "b")])
    assert [(s.phase, s.start_ns, s.end_ns, s.container) for s in found] == [
        (Phase.PULL, 1, 2, 0),
        (Phase.CREATE, 3, 4, 0),
        (Phase.CREATE, 5, 6, 1),
    ]


# --- a clock that is set, and spans that cannot be true ---


@pytest.mark.parametrize(
    ("moved_ns", "step_ns"),
    [(0, None), (1_000_007, None), (1_000_008, 1_000_008), (-1_000_008, -1_000_008), (3_600 * 10**9, 3_600 * 10**9)],
)
def test_a_step_of_the_wall_clock_is_more_than_a_millisecond_and_what_the_readings_may_be_off(
    moved_ns: int, step_ns: int | None
) -> None:
    before = ClockConversion(offset_ns=10, error_ns=3)
    assert clock_step_ns(before, ClockConversion(offset_ns=10 + moved_ns, error_ns=4)) == step_ns


def of(phase: Phase, start_ns: int, end_ns: int, **fields: Any) -> Span:
    return Span(phase=phase, start_ns=start_ns, end_ns=end_ns, **{"source": Source.ENGINE_LOG, **fields})


def test_spans_within_the_trial_are_kept_as_they_are() -> None:
    good = (of(Phase.UNPACK, 100, 100), of(Phase.DOWNLOAD, 100, 200))
    assert sound(good, 100, 200) == (good, ())


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "why"),
    [(120, 119, "ends before it begins"), (94, 110, "lies outside the trial"), (110, 206, "lies outside the trial")],
)
def test_one_impossible_span_takes_those_of_its_phase_and_source_with_it(start_ns: int, end_ns: int, why: str) -> None:
    other = (of(Phase.DOWNLOAD, 101, 102), of(Phase.UNPACK, 101, 102, source=Source.TRACE))
    found = (of(Phase.UNPACK, 101, 102), of(Phase.UNPACK, start_ns, end_ns, error_ns=5), *other)
    doubt = f"unpack by engine_log is left out: a span of it {why}"
    assert sound(found, 100, 200) == (other, (doubt,))


@pytest.mark.parametrize(("start_ns", "end_ns"), [(95, 110), (110, 205)])
def test_a_span_may_lie_outside_by_its_error(start_ns: int, end_ns: int) -> None:
    found = (of(Phase.UNPACK, start_ns, end_ns, error_ns=5),)
    assert sound(found, 100, 200) == (found, ())
