"""Runs with two contenders: their samples are told apart wherever samples are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from coldstart.model.cell import Cell, CellPair, Side, Trial
from coldstart.model.rule import Rule
from coldstart.model.run import Comparison
from coldstart.model.sample import Conditions, Sample, SentinelReading, Source
from coldstart.store.frames import rows, tidy
from coldstart.store.reader import StoredRun, open_run
from coldstart.store.resume import remaining
from coldstart.store.writer import RunWriter
from tests.unit.factories import (
    MS,
    RUN_ID,
    make_cell,
    make_experiment,
    make_image,
    make_manifest,
    make_sample,
    make_trial,
)

CELL = make_cell()
PAIR = CellPair(baseline=CELL, candidate=CELL)
MANIFEST = make_manifest(comparison=Comparison(candidate=make_experiment(), pairs=(PAIR,), rule=Rule()))


def trial(side: Side | None, cell: Cell = CELL, **fields: Any) -> Trial:
    made: Trial = msgspec.structs.replace(make_trial(cell=cell, **fields), side=side)
    return made


def stored(*samples: Sample) -> StoredRun:
    return StoredRun(path=Path("nowhere"), manifest=MANIFEST, samples=samples)


def test_both_sides_of_a_block_are_read_back_with_the_comparison(tmp_path: Path) -> None:
    samples = tuple(make_sample(trial(side), sentinel=SentinelReading(cpu_ns=5)) for side in Side)
    with RunWriter.create(tmp_path, MANIFEST) as writer:
        for sample in samples:
            writer.append(sample)
    run = open_run(tmp_path / RUN_ID)
    assert (run.samples, run.manifest) == (samples, MANIFEST)


def test_the_same_side_twice_is_a_repetition(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path, MANIFEST) as writer:
        writer.append(make_sample(trial(Side.BASELINE)))
        with pytest.raises(ValueError, match="repeats the trial of line 1"):
            writer.append(make_sample(trial(Side.BASELINE)))
    assert len(open_run(tmp_path / RUN_ID).samples) == 1


def test_a_run_goes_on_with_the_side_that_is_missing() -> None:
    block = tuple(trial(side, position=place) for place, side in enumerate(Side))
    (left,) = remaining(stored(make_sample(block[0])), [block], max_attempts=3)
    assert left == (block[1],)


def test_rows_of_a_side_state_its_own_image_though_both_have_one_name() -> None:
    """A baseline's rows must not state the candidate's digest and sizes."""
    ours, theirs = make_image(), make_image(digest="sha256:theirs", layers=make_image().layers[:1])
    assert MANIFEST.comparison is not None
    comparison = msgspec.structs.replace(MANIFEST.comparison, images=(theirs,))
    manifest = msgspec.structs.replace(MANIFEST, images=(ours,), comparison=comparison)
    samples = tuple(make_sample(trial(side)) for side in Side)
    found = list(rows(StoredRun(path=Path("nowhere"), manifest=manifest, samples=samples)))
    assert [(row["image_digest"], row["image_layers"]) for row in found] == [(ours.digest, 2), ("sha256:theirs", 1)]


def test_rows_tell_sides_and_sentinels() -> None:
    with_one = make_sample(trial(Side.CANDIDATE), sentinel=SentinelReading(cpu_ns=5, io_ns=7))
    without = make_sample(trial(None, block=1))
    found = [(row["side"], row["sentinel_cpu_ns"], row["sentinel_io_ns"]) for row in rows(stored(with_one, without))]
    assert found == [("candidate", 5, 7), (None, None, None)]


def test_rows_tell_throttling_and_leave_open_what_nobody_knows() -> None:
    hot = make_sample(trial(None), conditions=Conditions(throttled=True, undervoltage=False))
    frame = tidy(stored(hot, make_sample(trial(None, block=1))))
    assert (str(frame["throttled"].dtype), frame["throttled"].tolist()[0]) == ("boolean", True)
    assert frame["undervoltage"].tolist()[0] is False
    assert frame["throttled"].isna().tolist() == [False, True]


def traced() -> StoredRun:
    """A start whose init ended 5 ms sooner by the trace than the engine says."""
    plain = make_sample(trial(None))
    leaf = next(span for span in plain.spans if span.phase == "init")
    better = msgspec.structs.replace(leaf, source=Source.TRACE, end_ns=leaf.end_ns - 5 * MS)
    ready = next(span for span in plain.spans if span.phase == "readiness")
    sooner = msgspec.structs.replace(ready, source=Source.TRACE, start_ns=better.end_ns)
    return stored(msgspec.structs.replace(plain, source="trace", spans=(*plain.spans, better, sooner)))


def test_rows_of_another_profile_can_be_asked_for() -> None:
    (own,), (asked,) = list(rows(traced())), list(rows(traced(), "engine"))
    assert (own["source"], asked["source"]) == ("trace", "engine")
    assert asked["init_ns"] - own["init_ns"] == 5 * MS


def test_a_table_of_another_profile_can_be_asked_for() -> None:
    own, asked = tidy(traced()), tidy(traced(), "engine")
    assert asked["init_ns"][0] - own["init_ns"][0] == 5 * MS


def test_the_table_keeps_sides_as_text_and_sentinels_to_the_nanosecond() -> None:
    frame = tidy(stored(make_sample(trial(Side.BASELINE), sentinel=SentinelReading(cpu_ns=5, io_ns=2**53 + 1))))
    columns = ["side", "sentinel_cpu_ns", "sentinel_io_ns"]
    assert [str(frame[column].dtype) for column in columns] == ["string", "Int64", "Int64"]
    assert frame["sentinel_io_ns"][0] == 2**53 + 1


def test_rows_of_which_not_most_have_the_better_source_are_drawn_from_the_weaker_unless_another_is_asked_for() -> None:
    (better,) = traced().samples
    mixed = stored(better, make_sample(trial(None, block=1)))
    assert [row["source"] for row in rows(mixed)] == ["engine", "engine"]


def test_one_start_that_fell_back_moves_no_others_phases_and_lacks_those_that_need_the_better_source() -> None:
    (better,) = traced().samples
    blocks = [msgspec.structs.replace(better, trial=trial(None, block=block)) for block in range(3)]
    fallen = make_sample(trial(None, block=3), fallback="the trace buffer overran")
    before, after = list(rows(stored(*blocks))), list(rows(stored(*blocks, fallen)))
    assert after[:3] == before
    assert (after[3]["source"], after[3]["init_ns"], after[3]["readiness_ns"]) == ("trace", None, None)
    for column in ("e2e_ns", "create_ns", "pull_ns", "gap_ns"):
        assert after[3][column] == before[0][column]
