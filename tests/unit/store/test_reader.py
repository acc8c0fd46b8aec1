"""Run directories read back: torn tails repaired, everything else that is wrong named by its line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldstart.errors import ColdstartError, CorruptRunError, InputFileError, UsageError
from coldstart.model.sample import Outcome, Phase
from coldstart.store.migrations import Migration
from coldstart.store.reader import find_run, newest_run, open_run, read_samples
from coldstart.store.writer import RunWriter
from tests.unit.factories import RUN_ID, make_cell, make_manifest, make_sample, make_span, make_trial

Store = Callable[..., Path]


def edit_manifest(path: Path, **changes: Any) -> None:
    """Set keys of run.json; ``...`` removes one."""
    record = {**json.loads((path / "run.json").read_text()), **changes}
    (path / "run.json").write_text(json.dumps({key: value for key, value in record.items() if value is not ...}))


def edit_line(path: Path, number: int, new: bytes) -> None:
    lines = (path / "samples.jsonl").read_bytes().splitlines()
    lines[number - 1] = new
    (path / "samples.jsonl").write_bytes(b"\n".join(lines) + b"\n")


def line(**changes: Any) -> bytes:
    """A stored sample with some of its JSON changed."""
    record = msgspec.to_builtins(make_sample())
    return json.dumps({**record, **changes}).encode()


# --- torn tails ---


def test_a_file_cut_anywhere_in_its_last_line_loses_that_line_at_most(store: Store) -> None:
    """Every byte offset: the crash may come at any."""
    path = store()
    whole = (path / "samples.jsonl").read_bytes()
    *kept, last = whole.splitlines(keepends=True)
    stored = open_run(path).samples
    for cut in range(len(last)):
        (path / "samples.jsonl").write_bytes(b"".join(kept) + last[:cut])
        expected = stored if cut == len(last) - 1 else stored[:2]
        assert open_run(path).samples == expected, f"cut after {cut} bytes"


def test_a_file_cut_anywhere_in_its_last_line_goes_on_whole(store: Store) -> None:
    path = store(make_sample(), make_sample(make_trial(block=1), outcome=Outcome.EXITED))
    whole = (path / "samples.jsonl").read_bytes()
    begin = whole.index(b"\n") + 1
    for cut in range(begin, len(whole)):
        (path / "samples.jsonl").write_bytes(whole[:cut])
        with RunWriter.resume(path) as writer:
            writer.append(make_sample(make_trial(block=9)))
        run = open_run(path)
        assert (run.samples[-1].trial.block, run.repaired) == (9, None), f"cut after {cut} bytes"


def test_a_torn_line_is_told_with_its_place_and_size(store: Store) -> None:
    path = store()
    with (path / "samples.jsonl").open("ab") as file:
        file.write(b'{"run_id"')
    expected = f"{path / 'samples.jsonl'}:4: the last line was torn by a crash (9 bytes); its trial was left out"
    assert open_run(path).repaired == expected


@pytest.mark.parametrize("tail", [b"\0" * 100, b'{"a":1}}', b"\xff\xfe", b"\n", b"{}{}\n", b"[" * 100_000])
def test_a_last_line_that_is_no_json_is_torn(store: Store, tail: bytes) -> None:
    path = store()
    with (path / "samples.jsonl").open("ab") as file:
        file.write(tail)
    assert len(open_run(path).samples) == 3


def test_a_whole_last_line_without_its_end_is_kept_and_told(store: Store) -> None:
    path = store()
    (path / "samples.jsonl").write_bytes((path / "samples.jsonl").read_bytes().removesuffix(b"\n"))
    run = open_run(path)
    assert (len(run.samples), run.repaired) == (3, f"{path / 'samples.jsonl'}:3: the last line lacked its line end")


def test_reading_changes_nothing(store: Store) -> None:
    path = store()
    with (path / "samples.jsonl").open("ab") as file:
        file.write(b"torn")
    before = (path / "samples.jsonl").read_bytes()
    open_run(path)
    assert (path / "samples.jsonl").read_bytes() == before


def test_good_bytes_end_after_the_last_whole_line(store: Store) -> None:
    path = store()
    size_bytes = (path / "samples.jsonl").stat().st_size
    with (path / "samples.jsonl").open("ab") as file:
        file.write(b"torn")
    assert read_samples(path, RUN_ID).good_bytes == size_bytes


# --- damage ---


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (b"", "is damaged: Input data was truncated."),
        (b'{"run_id"', "is damaged: Input data was truncated."),
        (b"\xff", "is damaged: "),
        (b"[]", "is no sample: Expected `object`, got `array`."),
        (b"{}", "is no sample: Object missing required field `run_id`."),
        (line(outcome="fine"), "is no sample: Invalid enum value 'fine' - at `$.outcome`."),
        (line(run_id="other"), f"belongs to run 'other', not to '{RUN_ID}'."),
        (line(spans=[]), "sample of block 0, position 0: is ok but has no create and no init and no readiness span."),
        (
            line(spans=[msgspec.to_builtins(make_span(Phase.PULL, 9, 3))]),
            "sample of block 0, position 0: its pull span ends before it starts.",
        ),
        (line(bytes_received=2**63), "has a number beyond 64 bits."),
        (line(harness={"prepare_ns": -(10**30)}), "has a number beyond 64 bits."),
        (line(started_at="soon"), "has no time in started_at: 'soon'."),
    ],
)
def test_damage_is_named_by_its_line_with_what_to_do(store: Store, damage: bytes, message: str) -> None:
    path = store()
    edit_line(path, 2, damage)
    with pytest.raises(CorruptRunError) as caught:
        open_run(path)
    assert str(caught.value).startswith(f"{path / 'samples.jsonl'}:2: {message}")
    assert str(caught.value).endswith(
        "Restore the file from a copy, or set the lines aside that cannot be read: coldstart repair " + str(path)
    )


def test_a_last_line_that_is_whole_but_no_sample_is_damage(store: Store) -> None:
    path = store()
    edit_line(path, 3, b"{}")
    with pytest.raises(CorruptRunError, match=r"samples\.jsonl:3: is no sample"):
        open_run(path)


def test_a_repeated_trial_names_both_lines(store: Store) -> None:
    path = store()
    first = (path / "samples.jsonl").read_bytes().splitlines()[0]
    edit_line(path, 3, first)
    with pytest.raises(CorruptRunError, match=r"samples\.jsonl:3: repeats the trial of line 1\."):
        open_run(path)


def test_another_attempt_of_a_trial_is_no_repetition(store: Store) -> None:
    spoilt = make_sample(make_trial(), outcome=Outcome.NOT_QUIET)
    assert len(open_run(store(spoilt, make_sample(make_trial(attempt=1, position=1)))).samples) == 2


def test_another_cell_of_a_block_is_no_repetition(store: Store) -> None:
    other = make_sample(make_trial(cell=make_cell(runtime="crun"), position=1))
    assert len(open_run(store(make_sample(), other)).samples) == 2


def test_a_run_without_its_samples_is_refused(store: Store) -> None:
    path = store()
    (path / "samples.jsonl").unlink()
    with pytest.raises(CorruptRunError, match=r"samples\.jsonl: is missing\. Restore the file"):
        open_run(path)


def test_a_run_without_its_manifest_is_refused(store: Store) -> None:
    path = store()
    (path / "run.json").unlink()
    with pytest.raises(CorruptRunError, match=r"has no run\.json: not a run, or one that ended before its first trial"):
        open_run(path)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"null", b"[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_refused(store: Store, data: bytes) -> None:
    path = store()
    (path / "run.json").write_bytes(data)
    with pytest.raises(CorruptRunError, match=r"run\.json: is damaged: "):
        open_run(path)


def test_a_manifest_that_lacks_a_field_is_refused(store: Store) -> None:
    path = store()
    edit_manifest(path, host=...)
    with pytest.raises(CorruptRunError, match=r"run\.json: is damaged: .*`host`"):
        open_run(path)


@pytest.mark.parametrize("version", [..., None, "1", True, 1.5])
def test_a_manifest_without_a_schema_version_is_refused(store: Store, version: object) -> None:
    path = store()
    edit_manifest(path, schema_version=version)
    with pytest.raises(CorruptRunError, match=r"run\.json: is damaged: it has no schema_version"):
        open_run(path)


def test_a_file_that_cannot_be_read_is_told(store: Store) -> None:
    path = store()
    (path / "samples.jsonl").unlink()
    (path / "samples.jsonl").mkdir()
    with pytest.raises(InputFileError, match=r"samples\.jsonl: is not a regular file"):
        open_run(path)


@given(st.data())
def test_no_damage_causes_anything_but_a_message(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    results = tmp_path_factory.mktemp("results")
    with RunWriter.create(results, make_manifest()) as writer:
        for block in range(2):
            writer.append(make_sample(make_trial(block=block)))
    name = data.draw(st.sampled_from(["run.json", "samples.jsonl"]))
    whole = (writer.path / name).read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    insert = data.draw(st.binary(max_size=5) | st.sampled_from([b"\n", b"null", b"9" * 30, b"-", b'"']))
    (writer.path / name).write_bytes(whole[:at] + insert + whole[at + data.draw(st.integers(0, 50)) :])
    try:
        assert len(open_run(writer.path).samples) <= 2
    except ColdstartError as error:
        assert str(writer.path) in str(error)  # noqa: PT017  any other exception is the failure
    finally:
        shutil.rmtree(results)


# --- schemas ---


def test_a_newer_schema_is_refused_with_the_version_that_reads_it(store: Store) -> None:
    path = store()
    edit_manifest(path, schema_version=2, coldstart_version="3.4.5")
    with pytest.raises(CorruptRunError) as caught:
        open_run(path)
    assert str(caught.value) == (
        f"{path / 'run.json'}: has schema version 2; this coldstart reads up to 1. "
        "Read it with the version that wrote it: pip install 'coldstart>=3.4.5'"
    )


def test_a_newer_schema_may_hide_who_wrote_it(store: Store) -> None:
    path = store()
    edit_manifest(path, schema_version=2, coldstart_version={"moved": "elsewhere"})
    with pytest.raises(CorruptRunError, match=r"pip install 'coldstart'$"):
        open_run(path)


def _manifest_from_0(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "run_id": record.pop("name")}


def _sample_from_0(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "run_id": record.pop("run")}


VERSION_0 = {0: Migration(manifest=_manifest_from_0, sample=_sample_from_0)}


@pytest.fixture
def version_0(store: Store) -> Path:
    """A run as a version 0 would have written it: ``name`` and ``run`` for what is ``run_id``; its tail is torn."""
    path = store()
    edit_manifest(path, schema_version=0, run_id=..., name=RUN_ID)
    samples = (path / "samples.jsonl").read_bytes().replace(b'"run_id"', b'"run"')
    (path / "samples.jsonl").write_bytes(samples + b'{"run')
    return path


def test_an_older_schema_is_migrated(version_0: Path) -> None:
    run = open_run(version_0, migrations=VERSION_0)
    assert run.manifest == make_manifest()
    assert run.samples == tuple(make_sample(make_trial(block=block)) for block in range(3))


def test_an_older_schemas_torn_line_is_left_out_too(version_0: Path) -> None:
    assert "torn by a crash" in (open_run(version_0, migrations=VERSION_0).repaired or "")


def test_an_older_schema_nobody_migrates_is_refused(version_0: Path) -> None:
    with pytest.raises(CorruptRunError, match="has schema version 0, which nothing migrates"):
        open_run(version_0)


def test_an_older_manifest_that_lacks_what_migrates_is_refused(version_0: Path) -> None:
    edit_manifest(version_0, name=...)
    with pytest.raises(
        CorruptRunError, match=r"run\.json: cannot be migrated from its older schema: KeyError\('name'\)"
    ):
        open_run(version_0, migrations=VERSION_0)


@pytest.mark.parametrize("damage", [b"{}", b"[]", b"7"])
def test_an_older_sample_that_lacks_what_migrates_is_named_by_its_line(version_0: Path, damage: bytes) -> None:
    edit_line(version_0, 2, damage)
    with pytest.raises(CorruptRunError, match=r"samples\.jsonl:2: cannot be migrated from its older schema"):
        open_run(version_0, migrations=VERSION_0)


# --- finding ---


def test_a_run_is_found_by_its_folder(store: Store) -> None:
    path = store()
    assert open_run(str(path)).path == path


def test_a_run_is_found_by_its_id(store: Store, tmp_path: Path) -> None:
    path = store()
    assert find_run(RUN_ID, tmp_path / "results") == path


def test_an_unknown_run_is_answered_with_the_nearest(store: Store, tmp_path: Path) -> None:
    store()
    with pytest.raises(UsageError, match=f"no run '20261124T051530Z-artcle': .* Nearest there: {RUN_ID}"):
        find_run("20261124T051530Z-artcle", tmp_path / "results")


def test_an_unknown_run_like_no_other_is_answered_with_the_latest(store: Store, tmp_path: Path) -> None:
    for day in (1, 2, 3, 4):
        store(make_sample(run_id=f"2026110{day}"), manifest=make_manifest(run_id=f"2026110{day}"))
    with pytest.raises(UsageError, match="Nearest there: 20261104, 20261103, 20261102"):
        find_run("x", tmp_path / "results")


@pytest.mark.parametrize("name", ["", "x", "a\0b", "x" * 5000, "a/b"])
def test_where_there_are_no_runs_the_way_to_one_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="There are no runs there; measure with: coldstart run"):
        find_run(name, tmp_path / "results")


# --- the newest ---


def stored_as(store: Store, *run_ids: str) -> list[Path]:
    return [store(make_sample(run_id=run_id), manifest=make_manifest(run_id=run_id)) for run_id in run_ids]


def test_the_newest_run_is_the_one_begun_last_whatever_it_is_called(store: Store, tmp_path: Path) -> None:
    ids = ("20261124T051531Z-a-0001", "20261124T051531Z-b-0000", "20261123T235959Z-z-0000", "20261124T051530Z-z-ffff")
    newest, *_ = stored_as(store, *ids)
    assert newest_run(tmp_path / "results") == newest


def test_a_folder_that_is_no_run_is_never_the_newest(store: Store, tmp_path: Path) -> None:
    (run,) = stored_as(store, "20261124T051530Z-a-0000")
    (tmp_path / "results" / "zzz").mkdir()
    assert newest_run(tmp_path / "results") == run


@pytest.mark.parametrize("folder", ["missing", ""])
def test_where_there_is_no_run_there_is_no_newest(tmp_path: Path, folder: str) -> None:
    with pytest.raises(UsageError, match=r"there are no runs under .*; measure with: coldstart run"):
        newest_run(tmp_path / folder)


def test_the_largest_number_of_a_table_is_read(store: Store) -> None:
    path = store()
    edit_line(path, 1, line(bytes_received=2**63 - 1))
    assert open_run(path).samples[0].bytes_received == 2**63 - 1
