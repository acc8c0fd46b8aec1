"""The engine's log and API as sources, on lines as dockerd 20.10 wrote them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from coldstart.engines.base import Capability, ContainerState, LayerEvent, Timed
from coldstart.model.image import Image, Layer
from coldstart.model.sample import ClockConversion, Phase, Source, Span
from coldstart.trace.base import InstantKind, TrialWindow, of_all_layers
from coldstart.trace.engine_api import ANSWER_ERROR_NS, EXEC_ERROR_NS, EngineApi, layer_spans
from coldstart.trace.engine_log import EngineLog, pull_spans, unpacked_bytes
from tests.unit.factories import make_image, make_span

MS = 1_000_000
BY_STATE = frozenset({Capability.STARTED_AT_EXEC})
OFFSET_NS = 1_795_495_262_000_000_000  # 2026-11-24T04:41:02Z is 0 on the monotonic clock of these tests
A, B = (f"sha256:{c * 64}" for c in "ab")
DIFF_A, DIFF_B = (f"sha256:{c * 64}" for c in "12")

LOG = b"".join(
    b'time="2026-11-24T04:41:02.%03d000000Z" level=debug msg="%s"\n' % (at_ms, message.encode())
    for at_ms, message in (
        (1, "Calling POST /v1.41/images/create?fromImage=x"),
        (5, "Trying to pull 198.18.0.2:5000/t from https://198.18.0.2:5000 v2"),
        (6, "Trying to pull 198.18.0.2:5000/t from http://198.18.0.2:5000 v2"),
        (20, f'pulling blob \\"{A}\\"'),
        (21, f'pulling blob \\"{B}\\"'),
        (40, f"Downloaded {'b' * 12} to tempfile /data/tmp/GetImageBlob1"),
        (60, f"Downloaded {'a' * 12} to tempfile /data/tmp/GetImageBlob2"),
        (61, "Applying tar in /data/overlay2/cache1/diff"),
        (90, f"Applied tar {DIFF_A} to cache1, size: 4"),
        (100, "Applying tar in /data/overlay2/cache2/diff"),
        (120, f"Applied tar {DIFF_B} to cache2, size: 4"),
    )
)


def image() -> Image:
    return make_image(
        layers=(
            Layer(digest=A, diff_id=DIFF_A, compressed_bytes=1),
            Layer(digest=B, diff_id=DIFF_B, compressed_bytes=1),
        )
    )


def window(*events: LayerEvent) -> TrialWindow:
    state = ContainerState(
        running=True,
        pid=7,
        started_wall_ns=OFFSET_NS + 300 * MS,
        finished_wall_ns=None,
        exit_code=None,
        error="",
        address=None,
    )
    complete = events or (
        LayerEvent(99 * MS, "a" * 12, "Pull complete"),
        LayerEvent(131 * MS, "b" * 12, "Pull complete"),
    )
    return TrialWindow(
        image=image(),
        clock=ClockConversion(offset_ns=OFFSET_NS, error_ns=40),
        pull=Timed(0, 150 * MS, complete),
        starts=(Timed(200 * MS, 310 * MS, None),),
        states=(state,),
    )


def test_the_log_gives_every_layer_its_download_unpack_and_register() -> None:
    spans = {(span.phase, span.layer): (span.start_ns // MS, span.end_ns // MS) for span in pull_spans(LOG, window())}
    assert spans == {
        (Phase.RESOLVE, None): (1, 20),
        (Phase.DOWNLOAD, A): (20, 60),
        (Phase.DOWNLOAD, B): (21, 40),
        (Phase.UNPACK, A): (61, 90),
        (Phase.UNPACK, B): (100, 120),
        (Phase.REGISTER, A): (90, 99),
        (Phase.REGISTER, B): (120, 131),
    }


def test_spans_of_the_log_carry_their_source_and_the_clocks_error() -> None:
    assert {(span.source, span.error_ns) for span in pull_spans(LOG, window())} == {(Source.ENGINE_LOG, 40)}


def test_a_phase_seen_for_some_layers_only_is_not_reported() -> None:
    cut = LOG[: LOG.index(b"Applying tar in /data/overlay2/cache2")]
    phases = {span.phase for span in pull_spans(cut, window())}
    assert phases == {Phase.RESOLVE, Phase.DOWNLOAD}


def test_two_layers_of_one_content_are_told_apart_by_their_order() -> None:
    twice = make_image(
        layers=(
            Layer(digest=A, diff_id=DIFF_A, compressed_bytes=1),
            Layer(digest=B, diff_id=DIFF_A, compressed_bytes=1),
        )
    )
    log = LOG.replace(DIFF_B.encode(), DIFF_A.encode())
    trial = window()
    trial = TrialWindow(image=twice, clock=trial.clock, pull=trial.pull, starts=trial.starts, states=trial.states)
    unpacks = [(s.layer, s.start_ns // MS) for s in pull_spans(log, trial) if s.phase is Phase.UNPACK]
    assert unpacks == [(A, 61), (B, 100)]


class _Log:
    def __init__(self) -> None:
        self.text = b"before\n"

    def log_mark(self) -> int:
        return len(self.text)

    def log_since(self, mark: int) -> bytes:
        return self.text[mark:]


def test_bytes_unpacked_are_those_that_the_engine_counted() -> None:
    assert unpacked_bytes(LOG, image()) == 8


def test_bytes_unpacked_are_unknown_unless_the_engine_counted_every_layers() -> None:
    longer = msgspec.structs.replace(image(), layers=(*image().layers, image().layers[0]))
    assert unpacked_bytes(LOG, longer) is None
    assert unpacked_bytes(LOG.replace(b"cache2, size: 4", b"cache2"), image()) is None


def test_the_log_source_reads_only_what_the_trial_wrote() -> None:
    log = _Log()
    log.text += LOG
    source = EngineLog(log)
    source.begin()
    assert source.end(window()).spans == ()
    log.text += LOG
    assert len(source.end(window()).spans) == 7


def test_a_trial_without_a_pull_has_no_layer_spans() -> None:
    trial = window()
    warm = TrialWindow(image=trial.image, clock=trial.clock, pull=None, starts=trial.starts, states=trial.states)
    log = _Log()
    source = EngineLog(log)
    source.begin()
    log.text += LOG
    assert source.end(warm).spans == ()
    assert EngineApi(BY_STATE).end(warm).spans == ()


def test_the_api_gives_the_entrypoints_exec_with_its_error() -> None:
    (instant,) = EngineApi(BY_STATE).end(window()).instants
    assert (instant.kind, instant.at_ns, instant.error_ns) == (
        InstantKind.ENTRYPOINT_EXEC,
        300 * MS,
        40 + EXEC_ERROR_NS,
    )


def test_of_an_engine_that_sets_its_instant_too_early_the_answer_to_the_start_tells() -> None:
    (instant,) = EngineApi(frozenset()).end(window()).instants
    assert (instant.kind, instant.at_ns, instant.error_ns) == (
        InstantKind.ENTRYPOINT_EXEC,
        310 * MS,
        ANSWER_ERROR_NS,
    )


def test_the_sources_facts_say_what_an_exec_is_taken_from() -> None:
    by_state, by_answer = EngineApi(BY_STATE).facts, EngineApi(frozenset()).facts
    assert (by_state.resolution_ns, by_answer.resolution_ns) == (EXEC_ERROR_NS, ANSWER_ERROR_NS)
    assert "taken from State.StartedAt" in by_state.bias
    assert "taken from the answer to the start request" in by_answer.bias


def test_progress_gives_layer_spans_where_two_boundaries_were_reported() -> None:
    events = [
        LayerEvent(at_ms * MS, layer * 12, status)
        for layer, start in (("a", 0), ("b", 50))
        for at_ms, status in (
            (start + 1, "Downloading"),
            (start + 3, "Downloading"),
            (start + 5, "Download complete"),
            (start + 7, "Extracting"),
            (start + 9, "Extracting"),
            (start + 11, "Pull complete"),
        )
    ]
    spans = {
        (s.phase, s.layer): (s.start_ns // MS, s.end_ns // MS) for s in EngineApi(BY_STATE).end(window(*events)).spans
    }
    assert spans == {
        (Phase.DOWNLOAD, A): (1, 5),
        (Phase.DOWNLOAD, B): (51, 55),
        (Phase.UNPACK, A): (7, 9),
        (Phase.UNPACK, B): (57, 59),
        (Phase.REGISTER, A): (9, 11),
        (Phase.REGISTER, B): (59, 61),
    }


def test_a_dropped_progress_event_drops_its_phase_for_all_layers() -> None:
    events = [
        LayerEvent(1 * MS, "a" * 12, "Downloading"),
        LayerEvent(5 * MS, "a" * 12, "Download complete"),
        LayerEvent(6 * MS, "b" * 12, "Download complete"),
    ]
    assert EngineApi(BY_STATE).end(window(*events)).spans == ()


def test_a_container_that_never_started_gives_no_instant() -> None:
    trial = window()
    state = ContainerState(
        running=False,
        pid=None,
        started_wall_ns=None,
        finished_wall_ns=None,
        exit_code=None,
        error="",
        address=None,
    )
    created = TrialWindow(image=trial.image, clock=trial.clock, pull=None, starts=trial.starts, states=(state,))
    assert EngineApi(BY_STATE).end(created).instants == ()


# --- phases of all layers or of none ---

UNREAD = make_image(layers=tuple(Layer(digest=None, diff_id=diff, compressed_bytes=None) for diff in (DIFF_A, DIFF_B)))
"""An image of a registry we never read: nothing says which blob is which layer."""


def of_layers(phase: Phase, *layers: str | None) -> list[Span]:
    return [make_span(phase, 0, 1, layer=layer) for layer in layers]


def phases(spans: Sequence[Span], of: Image) -> set[Phase]:
    return {span.phase for span in of_all_layers(spans, of)}


def test_a_phase_of_every_layer_is_kept_and_one_of_some_is_not() -> None:
    spans = [*of_layers(Phase.UNPACK, A, B), *of_layers(Phase.DOWNLOAD, A)]
    assert phases(spans, image()) == {Phase.UNPACK}


def test_a_phase_of_another_images_layer_is_not_one_of_every_layer() -> None:
    assert phases(of_layers(Phase.UNPACK, A, DIFF_A), image()) == set()


def test_a_span_of_no_layer_is_always_kept() -> None:
    assert phases(of_layers(Phase.RESOLVE, None), image()) == {Phase.RESOLVE}


def test_a_layer_that_an_image_has_twice_needs_one_span() -> None:
    twice = make_image(layers=(image().layers[0],) * 2)
    assert phases(of_layers(Phase.DOWNLOAD, A), twice) == {Phase.DOWNLOAD}


def test_layers_of_an_unread_manifest_are_counted() -> None:
    spans = [*of_layers(Phase.UNPACK, "a" * 12, "b" * 12), *of_layers(Phase.DOWNLOAD, "a" * 12)]
    assert phases(spans, UNREAD) == {Phase.UNPACK}


def progress(*layers: str) -> tuple[LayerEvent, ...]:
    """What an engine sends of layers it brings one after the other."""
    return tuple(
        LayerEvent((10 * index + at) * MS, layer, status)
        for index, layer in enumerate(layers)
        for at, status in (
            (1, "Downloading"),
            (4, "Download complete"),
            (5, "Extracting"),
            (8, "Extracting"),
            (9, "Pull complete"),
        )
    )


def unread(*events: LayerEvent) -> TrialWindow:
    return msgspec.structs.replace(window(*events), image=UNREAD)


def test_layers_of_an_unread_manifest_have_the_engines_short_names() -> None:
    events = progress("a" * 12, "b" * 12)
    spans = {(s.phase, s.layer): (s.start_ns // MS, s.end_ns // MS) for s in layer_spans(events, unread(*events))}
    assert spans == {
        (Phase.DOWNLOAD, "a" * 12): (1, 4),
        (Phase.DOWNLOAD, "b" * 12): (11, 14),
        (Phase.UNPACK, "a" * 12): (5, 8),
        (Phase.UNPACK, "b" * 12): (15, 18),
        (Phase.REGISTER, "a" * 12): (8, 9),
        (Phase.REGISTER, "b" * 12): (18, 19),
    }


def test_of_an_unread_manifest_a_layer_that_was_there_already_drops_its_phases() -> None:
    events = (*progress("a" * 12), LayerEvent(50 * MS, "b" * 12, "Already exists"))
    assert layer_spans(events, unread(*events)) == ()


def test_a_read_manifest_gives_layers_their_digests_whatever_else_was_sent() -> None:
    events = progress("a" * 12, "b" * 12, "c" * 12)
    assert {span.layer for span in layer_spans(events, window(*events))} == {A, B}


def test_a_layer_listed_twice_is_unpacked_twice_and_its_registration_is_reported_once() -> None:
    again = msgspec.structs.replace(image(), layers=(*image().layers, image().layers[0]))
    log = LOG + b"".join(
        b'time="2026-11-24T04:41:02.%03d000000Z" level=debug msg="%s"\n' % line
        for line in (
            (132, b"Applying tar in /data/overlay2/cache3/diff"),
            (140, b"Applied tar %s to cache3, size: 4" % DIFF_A.encode()),
        )
    )
    spans = pull_spans(log, msgspec.structs.replace(window(), image=again))
    of_a = [(span.phase, span.start_ns // MS, span.end_ns // MS) for span in spans if span.layer == A]
    assert of_a == [
        (Phase.DOWNLOAD, 20, 60),
        (Phase.UNPACK, 61, 90),
        (Phase.REGISTER, 90, 99),
        (Phase.UNPACK, 132, 140),
    ]


def test_layers_without_digests_are_counted_once_each() -> None:
    layers = tuple(Layer(digest=None, diff_id=diff_id, compressed_bytes=None) for diff_id in (DIFF_A, DIFF_B, DIFF_A))
    unnumbered = msgspec.structs.replace(image(), layers=layers)
    spans = [make_span(Phase.UNPACK, 0, 1, layer=name) for name in ("a", "b")]
    assert of_all_layers(spans, unnumbered) == tuple(spans)
    assert of_all_layers(spans[:1], unnumbered) == ()
