"""Phases add up: by hand on small examples, and for any spans at all."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldstart.model.cell import Cell, Side, Tier, Trial
from coldstart.model.sample import Outcome, Phase, Sample, Source, Span
from coldstart.model.timeline import (
    ADDENDS,
    HEADLINES,
    PULL_PARTS,
    Phases,
    best_spans,
    common_profile,
    covered_ns,
    phases_of,
    profile_at,
    shared_profile,
)
from tests.unit.factories import make_cell, make_sample, make_span, make_trial

PULL_LEAVES = (Phase.RESOLVE, Phase.DOWNLOAD, Phase.UNPACK, Phase.REGISTER)


def phases(*pull_leaves: Span, pull: tuple[int, int] | None = (0, 100)) -> Phases:
    """Of a start with create 110-120, init 125-155 (its one leaf 130-150) and readiness 155-160."""
    pulled = () if pull is None else (make_span(Phase.PULL, *pull, source=Source.CLIENT),)
    spans = (
        *pulled,
        *pull_leaves,
        make_span(Phase.CREATE, 110, 120, source=Source.CLIENT),
        make_span(Phase.INIT, 125, 155),
        make_span(Phase.RUNTIME_CREATE, 130, 150),
        make_span(Phase.READINESS, 155, 160),
    )
    found = phases_of(make_sample(spans=spans))
    assert found is not None
    return found


def layer(phase: Phase, start_ns: int, end_ns: int, name: str = "a", **fields: object) -> Span:
    return make_span(phase, start_ns, end_ns, layer=name, **fields)


# --- by hand ---

TWO_LAYERS = (
    make_span(Phase.RESOLVE, 0, 10),
    layer(Phase.DOWNLOAD, 10, 50, "a"),
    layer(Phase.DOWNLOAD, 20, 60, "b"),
    layer(Phase.UNPACK, 50, 70, "a"),
    layer(Phase.REGISTER, 70, 75, "a"),
    layer(Phase.UNPACK, 75, 85, "b"),
    layer(Phase.REGISTER, 85, 95, "b"),
)
"""Downloads 10-60 (a union); unpack 50-70 and 75-85; register 70-75 and 85-95; nothing seen in 95-100."""


@pytest.mark.parametrize(
    ("field", "expected_ns"),
    [
        ("e2e_ns", 160),
        ("pull_ns", 100),
        ("create_ns", 10),
        ("init_ns", 30),
        ("readiness_ns", 5),
        ("gap_ns", 15),
        ("download_ns", 50),
        ("unpack_ns", 30),
        ("register_ns", 15),
        ("pull_download_only_ns", 40),
        ("pull_overlap_ns", 10),
        ("pull_unpack_only_ns", 20),
        ("pull_register_only_ns", 15),
        ("pull_other_ns", 15),
        ("unattributed_ns", 15 + 5 + 10),
    ],
)
def test_overlapping_layers_worked_out_by_hand(field: str, expected_ns: int) -> None:
    assert getattr(phases(*TWO_LAYERS), field) == expected_ns


def test_a_layer_span_outside_the_pull_is_clipped_to_it() -> None:
    found = phases(layer(Phase.DOWNLOAD, -20, 30), layer(Phase.UNPACK, 90, 140))
    assert (found.download_ns, found.unpack_ns, found.pull_other_ns) == (30, 10, 60)


def test_a_layer_downloaded_within_anothers_unpack_is_all_overlap() -> None:
    found = phases(layer(Phase.UNPACK, 10, 90, "a"), layer(Phase.DOWNLOAD, 30, 40, "b"))
    assert (found.pull_overlap_ns, found.pull_unpack_only_ns, found.pull_download_only_ns) == (10, 70, 0)


def test_register_under_a_download_is_not_counted_again() -> None:
    found = phases(layer(Phase.DOWNLOAD, 0, 50, "b"), layer(Phase.UNPACK, 50, 60), layer(Phase.REGISTER, 40, 70, "a"))
    assert (found.register_ns, found.pull_register_only_ns) == (30, 10)


def test_a_start_without_a_pull_has_zero_parts() -> None:
    found = phases(pull=None)
    assert {getattr(found, part) for part in ("pull_ns", "download_ns", "unpack_ns", "register_ns", *PULL_PARTS)} == {0}


def test_a_start_without_a_pull_begins_with_create() -> None:
    assert phases(pull=None).e2e_ns == 50


def test_a_pull_nobody_looked_into_has_unknown_parts() -> None:
    found = phases()
    unknown = ("download_ns", "unpack_ns", "register_ns", "unattributed_ns", *PULL_PARTS)
    assert {getattr(found, name) for name in unknown} == {None}


def test_a_pull_nobody_looked_into_still_has_its_length() -> None:
    assert phases().pull_ns == 100


def test_downloads_that_were_seen_are_told_where_unpack_was_not() -> None:
    found = phases(layer(Phase.DOWNLOAD, 10, 40))
    assert (found.download_ns, found.unpack_ns, found.pull_download_only_ns) == (30, None, None)


def test_unpack_that_was_seen_is_told_where_downloads_were_not() -> None:
    found = phases(layer(Phase.UNPACK, 10, 40))
    assert (found.unpack_ns, found.download_ns, found.pull_unpack_only_ns) == (30, None, None)


def test_register_that_nobody_told_is_unknown_and_its_time_is_pulls_other() -> None:
    found = phases(layer(Phase.DOWNLOAD, 0, 40), layer(Phase.UNPACK, 40, 60))
    assert (found.register_ns, found.pull_other_ns) == (None, 40)


def test_a_span_of_no_layer_is_no_layers() -> None:
    assert phases(make_span(Phase.DOWNLOAD, 0, 100), layer(Phase.UNPACK, 0, 50)).download_ns is None


def test_init_without_leaves_is_unattributed() -> None:
    sample = make_sample(
        spans=(
            make_span(Phase.CREATE, 0, 10),
            make_span(Phase.INIT, 12, 40),
            make_span(Phase.READINESS, 40, 50),
        )
    )
    found = phases_of(sample)
    assert found is not None
    assert found.unattributed_ns == 2 + 28


def test_a_leaf_nested_in_another_is_attributed_once() -> None:
    sample = make_sample(
        spans=(
            make_span(Phase.CREATE, 0, 10),
            make_span(Phase.INIT, 10, 40),
            make_span(Phase.RUNTIME_CREATE, 10, 35),
            make_span(Phase.NETWORK_HOOK, 15, 30),
            make_span(Phase.READINESS, 40, 50),
        )
    )
    found = phases_of(sample)
    assert found is not None
    assert found.unattributed_ns == 5


# --- several containers, several sources ---


def two_containers() -> Sample:
    return make_sample(
        spans=(
            make_span(Phase.PULL, 0, 100),
            *(
                span
                for container, late in ((0, 0), (1, 1000))
                for span in (
                    make_span(Phase.CREATE, 100 + late, 110 + late, container=container),
                    make_span(Phase.INIT, 110 + late, 150 + late, container=container),
                    make_span(Phase.INIT_SHIM, 110 + late, 130 + late + container, container=container),
                    make_span(Phase.READINESS, 150 + late, 160 + late, container=container),
                )
            ),
        )
    )


def test_every_container_of_a_trial_waits_for_the_one_pull() -> None:
    found = [phases_of(two_containers(), container) for container in (0, 1)]
    assert [(phase.pull_ns, phase.e2e_ns) for phase in found if phase] == [(100, 160), (100, 1160)]


def test_a_containers_leaves_are_its_own() -> None:
    cell = make_cell(tier=Tier.WARM)
    warm = msgspec.structs.replace(
        two_containers(),
        trial=make_trial(cell=cell),
        spans=tuple(s for s in two_containers().spans if s.phase is not Phase.PULL),
    )
    found = phases_of(warm, container=1)
    assert found is not None
    assert found.unattributed_ns == 40 - 21


def test_a_phase_is_drawn_from_the_best_source_only() -> None:
    found = phases(
        layer(Phase.DOWNLOAD, 0, 40, source=Source.ENGINE_API),
        layer(Phase.DOWNLOAD, 10, 30, source=Source.ENGINE_LOG),
        layer(Phase.UNPACK, 40, 60, source=Source.ENGINE_API),
    )
    assert (found.download_ns, found.unpack_ns) == (20, 20)


def test_sources_are_ranked_kernel_first_and_our_own_clock_last() -> None:
    ranked = [Source.TRACE, Source.PROC, Source.ENGINE_LOG, Source.ENGINE_API, Source.APP, Source.CLIENT]
    spans = [make_span(Phase.INIT, 0, 1, source=source) for source in ranked]
    best = [best_spans(spans[skipped:])[0].source for skipped in range(len(spans))]
    assert best == ranked


# --- what is no sample of ours ---


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.OK])
def test_a_failed_trial_has_no_phases(outcome: Outcome) -> None:
    failed = msgspec.structs.replace(make_sample(), outcome=outcome)
    assert phases_of(failed) is None


@pytest.mark.parametrize("missing", [Phase.CREATE, Phase.INIT, Phase.READINESS])
def test_an_ok_sample_that_lacks_a_phase_is_refused_by_name(missing: Phase) -> None:
    sample = make_sample()
    spans = tuple(span for span in sample.spans if span.phase is not missing)
    with pytest.raises(ValueError, match=f"block 0, position 0: is ok but has no {missing} span"):
        phases_of(msgspec.structs.replace(sample, spans=spans))


def test_an_ok_sample_without_spans_is_told_all_it_lacks() -> None:
    with pytest.raises(ValueError, match="has no create and no init and no readiness span"):
        phases_of(make_sample(spans=()))


def test_a_second_pull_is_refused() -> None:
    sample = make_sample()
    with pytest.raises(ValueError, match="has two pull spans"):
        phases_of(msgspec.structs.replace(sample, spans=(*sample.spans, sample.spans[0])))


def test_a_span_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="its unpack span ends before it starts"):
        phases(layer(Phase.UNPACK, 20, 10))


# --- any spans at all ---

lengths = st.integers(0, 10**9)


@st.composite
def ok_samples(draw: st.DrawFn) -> Sample:
    """Any start: phases of any length one after the other, any number of layer spans anywhere, any order."""
    at, spans = draw(lengths), []
    for phase in (Phase.PULL, Phase.CREATE, Phase.INIT, Phase.READINESS):
        length = draw(lengths)
        if phase is not Phase.PULL or draw(st.booleans()):
            spans.append(make_span(phase, at, at + length))
        at += length + draw(lengths)
    for phase in draw(st.lists(st.sampled_from([*PULL_LEAVES, Phase.INIT_SHIM, Phase.NETWORK_HOOK]), max_size=12)):
        start_ns = draw(st.integers(0, at))
        named = draw(st.sampled_from("abc")) if phase in PULL_LEAVES[1:] else None
        source = draw(st.sampled_from([Source.ENGINE_API, Source.TRACE]))
        spans.append(make_span(phase, start_ns, start_ns + draw(lengths), layer=named, source=source))
    return make_sample(spans=tuple(draw(st.permutations(spans))))


def known(sample: Sample) -> Phases:
    found = phases_of(sample)
    assert found is not None
    return found


@given(ok_samples())
def test_the_addends_always_add_up_to_the_whole(sample: Sample) -> None:
    found = known(sample)
    assert sum(getattr(found, name) for name in ADDENDS) == found.e2e_ns


@given(ok_samples())
def test_the_parts_of_a_pull_add_up_to_it_or_are_all_unknown(sample: Sample) -> None:
    found = known(sample)
    parts = [getattr(found, name) for name in PULL_PARTS]
    assert parts == [None] * 5 or sum(parts) == found.pull_ns


@given(ok_samples())
def test_no_part_and_no_phase_is_ever_negative(sample: Sample) -> None:
    found = known(sample)
    assert all(value is None or value >= 0 for value in msgspec.structs.astuple(found))


@given(ok_samples())
def test_overlap_is_what_download_and_unpack_share(sample: Sample) -> None:
    found = known(sample)
    if found.pull_overlap_ns is not None:
        assert found.download_ns is not None
        assert found.pull_download_only_ns is not None
        assert found.pull_overlap_ns == found.download_ns - found.pull_download_only_ns


@given(ok_samples(), st.randoms())
def test_the_order_of_spans_means_nothing(sample: Sample, random: object) -> None:
    spans = list(sample.spans)
    random.shuffle(spans)  # type: ignore[attr-defined]  # hypothesis types it as object
    assert known(msgspec.structs.replace(sample, spans=tuple(spans))) == known(sample)


@given(ok_samples())
def test_what_no_leaf_covers_is_never_more_than_the_whole(sample: Sample) -> None:
    found = known(sample)
    assert found.unattributed_ns is None or found.unattributed_ns <= found.e2e_ns


@given(st.lists(st.tuples(st.integers(-20, 120), st.integers(0, 50)), max_size=8))
def test_a_union_counts_every_nanosecond_once(intervals: list[tuple[int, int]]) -> None:
    spans = [make_span(Phase.DOWNLOAD, start, start + length) for start, length in intervals]
    within = make_span(Phase.PULL, 0, 100)
    covered = {at for span in spans for at in range(span.start_ns, span.end_ns) if 0 <= at < 100}
    assert covered_ns(spans, within) == len(covered)


def test_the_named_columns_are_fields() -> None:
    assert {*HEADLINES, *ADDENDS, *PULL_PARTS} <= set(Phases.__struct_fields__)


# --- the source of a comparison ---

RUNC, CRUN = make_cell(runtime="runc"), make_cell(runtime="crun")


def seen_by(source: str, cell: Cell = RUNC, side: Side | None = None, run_id: str = "one", n: int = 1) -> list[Sample]:
    trial = Trial(block=0, position=0, cell=cell, side=side)
    return [make_sample(trial, source=source, run_id=run_id) for _ in range(n)]


@pytest.mark.parametrize(
    ("samples", "profile"),
    [
        ([], None),
        (seen_by("trace", n=3), None),
        (seen_by("engine", n=3), None),
        ([*seen_by("trace", n=2), *seen_by("engine")], "trace"),
        ([*seen_by("trace"), *seen_by("engine")], "engine"),
        ([*seen_by("trace", n=9), *seen_by("proc", n=5), *seen_by("engine", n=5)], "proc"),
        ([*seen_by("trace", n=9), *seen_by("engine", CRUN, n=2), *seen_by("trace", CRUN)], "engine"),
        (
            [
                *seen_by("trace", side=Side.BASELINE, n=9),
                *seen_by("trace", side=Side.CANDIDATE, n=2),
                *seen_by("proc", side=Side.CANDIDATE, n=3),
            ],
            "proc",
        ),
        ([*seen_by("trace", n=9), *seen_by("engine", run_id="another")], "engine"),
        ([*seen_by("imported", n=9), *seen_by("engine")], None),
    ],
)
def test_phases_are_drawn_from_what_most_starts_of_each_cell_side_and_run_have(
    samples: list[Sample], profile: str | None
) -> None:
    assert common_profile(samples) == profile


def test_a_failed_start_has_no_say_in_the_source() -> None:
    failed = [make_sample(source="engine", outcome=Outcome.EXITED, run_id="one") for _ in range(9)]
    assert common_profile([*seen_by("trace", n=2), *failed]) is None


def blocks_seen_by(*sources: str, outcome: Outcome = Outcome.OK) -> list[Sample]:
    """One start in each block, of these sources."""
    return [
        make_sample(make_trial(block=block), source=source, outcome=outcome) for block, source in enumerate(sources)
    ]


@pytest.mark.parametrize(
    ("sources", "profile"),
    [
        (("trace", "trace", "proc", "proc", "proc"), "trace"),
        (("proc", "proc", "trace", "trace", "trace"), "proc"),
        (("trace", "proc", "trace"), "proc"),
        (("trace", "trace"), "trace"),
    ],
)
def test_blocks_after_the_first_look_have_no_say_in_the_source(sources: tuple[str, ...], profile: str) -> None:
    assert profile_at(blocks_seen_by(*sources), 2) == profile


def test_without_a_timed_start_before_the_first_look_no_source_is_chosen() -> None:
    failed = blocks_seen_by("trace", "trace", outcome=Outcome.EXITED)
    assert profile_at([*failed, *blocks_seen_by("proc", "trace", "proc")[2:]], 2) is None


def test_where_each_start_has_to_have_every_phase_the_weakest_source_is_the_one() -> None:
    assert shared_profile([*seen_by("trace", n=9), *seen_by("proc")]) == "proc"
    assert shared_profile(seen_by("trace", n=9)) is None


def test_a_start_without_the_source_that_is_asked_for_lacks_what_needs_it() -> None:
    sample = make_sample(make_trial(cell=make_cell(tier=Tier.ABSENT)), source="engine")
    full, found = phases_of(sample), phases_of(sample, profile="trace")
    assert full is not None
    assert found is not None
    kept = {name for name in Phases.__struct_fields__ if getattr(found, name) is not None}
    assert kept == {"e2e_ns", "pull_ns", "create_ns", "gap_ns"}
    assert all(getattr(found, name) == getattr(full, name) for name in kept)
    assert phases_of(sample, profile="engine") == full


def test_that_a_start_pulled_nothing_is_known_by_any_source() -> None:
    found = phases_of(make_sample(make_trial(cell=make_cell(tier=Tier.WARM)), source="proc"), profile="trace")
    assert found is not None
    assert (found.unpack_ns, found.pull_other_ns, found.init_ns, found.unattributed_ns) == (0, 0, None, None)
