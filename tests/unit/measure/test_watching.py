"""What a trial makes of its sources: whose phases its sample has, and that none is left watching."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from coldstart.errors import EngineError, EngineUnreachableError
from coldstart.measure.assemble import read_clock
from coldstart.measure.bench import Subject
from coldstart.measure.session import measure
from coldstart.measure.trial import Stage
from coldstart.model.cell import Cell, Tier
from coldstart.model.run import SourceFacts
from coldstart.model.sample import ClockConversion, Outcome, Phase, ProcessUse, Sample, Source
from coldstart.trace.base import Instant, InstantKind, Observation, TrialWindow
from coldstart.trace.engine_api import EngineApi
from tests.unit.factories import make_span, make_trial
from tests.unit.measure.conftest import Bed, Registry, Traffic, served


class Tracer:
    """A kernel's trace that sees what the test says."""

    facts = SourceFacts(name=Source.TRACE, resolution_ns=1000, bias="none")

    def __init__(self, within: Mapping[Phase, tuple[int, int]] | None = None, **seen: Any) -> None:
        self._within = within or {}  # spans, by their boundaries since the start was requested
        self.asked: list[str] = []
        self.windows: list[TrialWindow] = []
        self._seen = seen
        self.sees_execs = True

    def begin(self) -> None:
        self.asked.append("begin")

    def end(self, window: TrialWindow) -> Observation:
        self.asked.append("end")
        self.windows.append(window)
        at_ns = window.starts[0].end_ns
        instants = [
            Instant(kind=kind, at_ns=at_ns, error_ns=1000, source=Source.TRACE)
            for kind in InstantKind
            if self.sees_execs or kind is not InstantKind.ENTRYPOINT_EXEC
        ]
        begin_ns = window.starts[0].start_ns
        spans = tuple(
            make_span(phase, begin_ns + start_ns, begin_ns + end_ns, source=Source.TRACE)
            for phase, (start_ns, end_ns) in self._within.items()
        )
        return Observation(**{"instants": tuple(instants), "spans": spans, **self._seen})

    def abandon(self) -> None:
        self.asked.append("abandon")

    def close(self) -> None:
        self.asked.append("close")


LOST = Tracer(instants=(), lost="trace: the buffer overran")


def run(bed: Bed, cell: Cell, *sources: Tracer, best: str = "trace") -> Sample:
    bench = bed.bench(sources=(*sources, EngineApi(bed.engine.capabilities)), source_profile=best)
    return Stage(bench).run(make_trial(cell=cell))


def test_a_sample_is_drawn_from_the_best_source_and_has_no_fallback(bed: Bed) -> None:
    sample = run(bed, bed.cell(), Tracer())
    assert (sample.outcome, sample.source, sample.fallback) == (Outcome.OK, "trace", None)


def test_a_source_that_lost_events_leaves_the_sample_to_the_next_and_says_why(bed: Bed) -> None:
    sample = run(bed, bed.cell(), LOST)
    assert (sample.outcome, sample.source, sample.fallback) == (Outcome.OK, "engine", "trace: the buffer overran")


def test_several_sources_that_lost_events_each_say_why(bed: Bed) -> None:
    sample = run(bed, bed.cell(), LOST, Tracer(instants=(), lost="proc: full"))
    assert sample.fallback == "trace: the buffer overran; proc: full"


def test_a_source_that_did_not_see_the_entrypoint_leaves_the_sample_to_the_next_and_says_so(bed: Bed) -> None:
    tracer = Tracer()
    tracer.sees_execs = False
    sample = run(bed, bed.cell(), tracer)
    assert (sample.source, sample.fallback) == ("engine", "source trace did not see the entrypoint start")


def test_what_the_engines_own_sources_see_is_no_fallback_where_they_are_the_best(bed: Bed) -> None:
    sample = run(bed, bed.cell(), best="engine")
    assert (sample.source, sample.fallback) == ("engine", None)


def test_a_trial_that_failed_is_named_after_the_best_source_of_its_run(bed: Bed) -> None:
    sample = run(bed, bed.cell(variant="exits"), Tracer())
    assert (sample.outcome, sample.source, sample.fallback) == (Outcome.EXITED, "trace", None)


def test_every_sources_spans_are_stored(bed: Bed) -> None:
    sample = run(bed, bed.cell(), Tracer(within={Phase.INIT_SHIM: (1, 2)}))
    assert (Phase.INIT_SHIM, Source.TRACE, 1) in {(s.phase, s.source, s.length_ns) for s in sample.spans}
    assert {s.source for s in sample.spans if s.phase is Phase.INIT} == {Source.TRACE, Source.ENGINE_API}


def test_an_app_that_was_seen_to_listen_has_its_readiness_divided(bed: Bed) -> None:
    sample = run(bed, bed.cell(), Tracer())
    assert {Phase.APP_START, Phase.RESPOND} <= {span.phase for span in sample.spans}


def test_spans_are_in_order_of_time(bed: Bed) -> None:
    sample = run(bed, bed.cell(), Tracer(within={Phase.INIT_SHIM: (3, 4), Phase.INIT_ENGINE: (1, 2)}))
    assert {Phase.INIT_SHIM, Phase.INIT_ENGINE} <= {span.phase for span in sample.spans}
    assert list(sample.spans) == sorted(sample.spans, key=lambda span: (span.start_ns, span.end_ns))


def test_what_processes_took_is_stored_of_every_source(bed: Bed) -> None:
    shim, engine = (ProcessUse(role=role, name="x", source="proc") for role in ("shim", "engine"))
    sample = run(bed, bed.cell(), Tracer(uses=(shim,)), Tracer(uses=(engine,)))
    assert sample.uses == (shim, engine)


def test_bytes_that_the_engine_was_seen_to_read_are_those_received_where_no_log_tells(bed: Bed) -> None:
    assert run(bed, bed.cell(Tier.ABSENT), Tracer(received_bytes=77)).bytes_received == 77


def test_bytes_are_those_of_the_first_source_that_saw_any(bed: Bed) -> None:
    sample = run(bed, bed.cell(Tier.ABSENT), Tracer(), Tracer(received_bytes=77), Tracer(received_bytes=99))
    assert sample.bytes_received == 77


def test_bytes_that_the_registry_logged_are_preferred(bed: Bed) -> None:
    bed.registry = Registry(served(bed.image()))
    assert run(bed, bed.cell(Tier.ABSENT), Tracer(received_bytes=77)).bytes_received == 35


def test_a_registry_that_logged_no_byte_is_believed(bed: Bed) -> None:
    bed.registry = Registry(Traffic(gets=0, bytes=0))
    assert run(bed, bed.cell(Tier.WARM), Tracer(received_bytes=77)).bytes_received == 0


def test_bytes_that_nobody_saw_are_unknown(bed: Bed) -> None:
    assert run(bed, bed.cell(Tier.ABSENT), Tracer()).bytes_received is None


def test_a_source_is_told_the_port_that_readiness_is_asked_on(bed: Bed) -> None:
    cell, tracer = bed.cell(), Tracer()
    (key, subject), *_ = bed.bench().subjects.items()
    subjects = {key: Subject(image=subject.image, new_probe=subject.new_probe, port=8080)}
    Stage(bed.bench(sources=(tracer, EngineApi(bed.engine.capabilities)), subjects=subjects)).run(make_trial(cell=cell))
    assert [window.port for window in tracer.windows] == [8080]


def test_a_good_trial_is_watched_from_its_beginning_to_its_end(bed: Bed) -> None:
    tracer = Tracer()
    run(bed, bed.cell(Tier.ABSENT), tracer)
    assert tracer.asked == ["begin", "end"]


def test_the_discarded_start_before_a_warm_trial_is_not_watched(bed: Bed) -> None:
    tracer = Tracer()
    run(bed, bed.cell(Tier.WARM), tracer)
    assert tracer.asked == ["begin", "end"]


@pytest.mark.parametrize(("variant", "outcome"), [("exits", Outcome.EXITED), ("wrong-platform", Outcome.START_FAILED)])
def test_a_trial_that_fails_is_abandoned_by_every_source(bed: Bed, variant: str, outcome: Outcome) -> None:
    tracers = Tracer(), Tracer()
    sample = run(bed, bed.cell(Tier.ABSENT, variant=variant), *tracers)
    assert sample.outcome is outcome
    assert [tracer.asked for tracer in tracers] == [["begin", "abandon"]] * 2


def test_a_pull_that_fails_is_abandoned(bed: Bed) -> None:
    cell, tracer = bed.cell(Tier.ABSENT), Tracer()

    def fail(image: object) -> None:
        raise EngineError(f"pull of {image}: no")

    bed.engine.pull = fail  # type: ignore[method-assign,assignment]
    run(bed, cell, tracer)
    assert tracer.asked == ["begin", "abandon"]


def test_an_engine_that_is_gone_when_it_is_asked_for_the_container_is_abandoned(bed: Bed) -> None:
    cell, tracer = bed.cell(Tier.ABSENT), Tracer()

    def gone(container_id: str) -> None:
        raise EngineUnreachableError(f"gone with {container_id}")

    bed.engine.state = gone  # type: ignore[method-assign,assignment]
    assert run(bed, cell, tracer).outcome is Outcome.ENGINE_LOST
    assert tracer.asked == ["begin", "abandon"]


def test_a_trial_that_was_never_timed_is_not_watched(bed: Bed) -> None:
    tracer = Tracer()
    run(bed, bed.cell(Tier.WARM, variant="wrong-platform"), tracer)
    assert tracer.asked == []


def test_an_engine_that_cannot_tell_the_containers_state_is_an_outcome(bed: Bed) -> None:
    cell, tracer = bed.cell(Tier.ABSENT), Tracer()

    def fail(container_id: str) -> None:
        raise EngineError(f"No such container: {container_id}")

    bed.engine.state = fail  # type: ignore[method-assign,assignment]
    assert run(bed, cell, tracer).outcome is not Outcome.OK


@pytest.mark.parametrize(
    ("within", "why"),
    [
        ((5, 4), "ends before it begins"),
        ((-(2**60), 1), "lies outside the trial"),
        ((1, 2**60), "lies outside the trial"),
    ],
)
def test_a_phase_whose_times_cannot_be_true_is_left_out_and_named(bed: Bed, within: tuple[int, int], why: str) -> None:
    sample = run(bed, bed.cell(), Tracer(within={Phase.INIT_SHIM: within, Phase.INIT_ENGINE: (1, 2)}))
    phases = {span.phase for span in sample.spans if span.source is Source.TRACE}
    assert (Phase.INIT_SHIM in phases, Phase.INIT_ENGINE in phases) == (False, True)
    assert sample.left_out == f"shim by trace is left out: a span of it {why}"
    assert (sample.outcome, sample.fallback) == (Outcome.OK, None)


# --- a clock that is set ---


def set_clock(monkeypatch: pytest.MonkeyPatch, step_ns: int, *, at_reading: int = 2) -> None:
    """Let the wall clock be ``step_ns`` further from some reading on."""
    readings = itertools.count(1)

    def read() -> ClockConversion:
        now = read_clock()
        return msgspec.structs.replace(now, offset_ns=now.offset_ns + step_ns * (next(readings) >= at_reading))

    monkeypatch.setattr("coldstart.measure.trial.read_clock", read)


@pytest.mark.parametrize(
    ("step_s", "way"), [(3600, "forward by 3600 s"), (-3600, "back by 3600 s"), (1, "forward by 1.00 s")]
)
def test_a_trial_in_which_the_wall_clock_was_set_is_no_timing(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, step_s: int, way: str
) -> None:
    set_clock(monkeypatch, step_s * 1_000_000_000)
    cell = bed.cell(Tier.ABSENT)
    sample = Stage(bed.bench()).run(make_trial(cell=cell))
    assert (sample.outcome, sample.outcome.is_requeued) == (Outcome.CLOCK_MOVED, True)
    assert (sample.reason or "").startswith(f"the wall clock was set {way} during the trial")
    assert all(span.start_ns <= span.end_ns for span in sample.spans)


def test_a_clock_that_was_set_before_the_trial_changes_nothing(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch, 3600 * 1_000_000_000, at_reading=1)
    assert run(bed, bed.cell(), Tracer()).outcome is Outcome.OK


def test_a_trial_in_which_the_clock_was_set_is_repeated(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch, 3600 * 1_000_000_000)
    cell = bed.cell(Tier.ABSENT)
    samples = list(measure(bed.bench(), [(make_trial(cell=cell),)]))
    assert [sample.outcome for sample in samples] == [Outcome.CLOCK_MOVED, Outcome.OK]


def test_spans_that_do_not_add_up_are_no_timing_and_are_kept(bed: Bed) -> None:
    sample = run(bed, bed.cell(), Tracer(within={Phase.INIT: (1, 2)}))  # beside the one that the exec divides
    assert sample.outcome is Outcome.UNOBSERVED
    assert (sample.reason or "").startswith("what was seen of it does not add up: ")
    assert sum((s.phase, s.source) == (Phase.INIT, Source.TRACE) for s in sample.spans) == 2
