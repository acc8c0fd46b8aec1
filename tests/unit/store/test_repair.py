"""Runs with lines that cannot be read: moved aside, byte for byte, and counted ever after."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from coldstart.errors import CorruptRunError, StorageError, UnsafeFileError
from coldstart.model.sample import Phase
from coldstart.store.lock import RunLock
from coldstart.store.reader import SET_ASIDE_NAME, open_run
from coldstart.store.repair import set_aside
from coldstart.store.writer import RunWriter
from tests.unit.factories import make_sample, make_span, make_trial
from tests.unit.store.conftest import Store

NEGATIVE = msgspec.json.encode(
    msgspec.structs.replace(make_sample(make_trial(block=1)), spans=(make_span(Phase.PULL, 9, 3),))
)
"""What version 0.1 stored when the wall clock was set during a pull."""


def put(path: Path, *lines: bytes) -> bytes:
    """Let the lines follow the first one of ``samples.jsonl``; the whole file as it then is."""
    first, *rest = (path / "samples.jsonl").read_bytes().splitlines(keepends=True)
    content = first + b"".join(line + b"\n" for line in lines) + b"".join(rest)
    (path / "samples.jsonl").write_bytes(content)
    return content


@pytest.mark.parametrize("line", [NEGATIVE, b"\0\xff", b"", b"{}", b"[" * 100_000])
def test_a_line_that_cannot_be_read_is_moved_as_it_is_and_the_run_is_readable(store: Store, line: bytes) -> None:
    path = store()
    whole = open_run(path).samples
    put(path, line)
    repair = set_aside(path)
    assert (repair.kept, len(repair.reasons), repair.set_aside) == (3, 1, path / SET_ASIDE_NAME)
    assert repair.reasons[0].startswith(f"{path / 'samples.jsonl'}:2: ")
    assert (path / SET_ASIDE_NAME).read_bytes() == line + b"\n"
    assert open_run(path).samples == whole


def test_what_was_set_aside_is_said_whenever_the_run_is_opened(store: Store) -> None:
    path = store()
    put(path, NEGATIVE, b"{}")
    set_aside(path)
    said = f"2 lines that could not be read, set aside in {SET_ASIDE_NAME}: their trials are left out"
    assert open_run(path).repaired == said
    with RunWriter.resume(path) as writer:
        assert writer.stored.repaired == said


def test_a_repetition_of_a_trial_is_set_aside_and_its_first_line_stays(store: Store) -> None:
    path = store()
    first = (path / "samples.jsonl").read_bytes().splitlines()[0]
    put(path, first)
    set_aside(path)
    run = open_run(path)
    assert [sample.trial.block for sample in run.samples] == [0, 1, 2]
    assert run.repaired == f"1 line that could not be read, set aside in {SET_ASIDE_NAME}: its trial is left out"


def test_a_run_that_can_be_read_is_not_changed(store: Store) -> None:
    path = store()
    before = (path / "samples.jsonl").stat()
    repair = set_aside(path)
    assert (repair.kept, repair.reasons) == (3, ())
    assert os.path.samestat((path / "samples.jsonl").stat(), before)
    assert {entry.name for entry in path.iterdir()} == {"run.json", "samples.jsonl"}


def test_a_torn_last_line_stays_for_the_reader_to_leave_out(store: Store) -> None:
    path = store()
    put(path, b"{}")
    with (path / "samples.jsonl").open("ab") as file:
        file.write(b"torn")
    set_aside(path)
    run = open_run(path)
    assert "torn by a crash" in (run.repaired or "")
    assert "1 line that could not be read" in (run.repaired or "")
    assert (path / "samples.jsonl").read_bytes().endswith(b"\ntorn")


def test_a_command_that_was_killed_between_its_two_files_can_be_repeated(store: Store) -> None:
    path = store()
    content = put(path, b"{}", b"{}")
    set_aside(path)
    (path / "samples.jsonl").write_bytes(content)  # as it was before the second file was replaced
    set_aside(path)
    assert (path / SET_ASIDE_NAME).read_bytes() == b"{}\n{}\n"
    assert len(open_run(path).samples) == 3


def test_later_damage_is_added_to_what_was_set_aside_before(store: Store) -> None:
    path = store()
    for line in (b"{}", NEGATIVE):
        put(path, line)
        set_aside(path)
    assert (path / SET_ASIDE_NAME).read_bytes() == b"{}\n" + NEGATIVE + b"\n"


def test_a_run_that_is_being_written_is_left_alone(store: Store) -> None:
    path = store()
    content = put(path, b"{}")
    lock = RunLock.acquire(path)
    with pytest.raises(StorageError, match="is writing to this run"):
        set_aside(path)
    lock.release()
    assert (path / "samples.jsonl").read_bytes() == content


def test_the_lock_is_given_back(store: Store) -> None:
    path = store()
    put(path, b"{}")
    set_aside(path)
    RunLock.acquire(path).release()


def test_a_damaged_manifest_cannot_be_repaired_so(store: Store) -> None:
    path = store()
    (path / "run.json").write_text("{")
    with pytest.raises(CorruptRunError, match=r"run\.json: is damaged"):
        set_aside(path)


def test_nothing_is_read_or_written_through_a_link(store: Store, tmp_path: Path) -> None:
    path = store()
    put(path, b"{}")
    victim = tmp_path / "victim"
    victim.write_bytes(b"theirs\n")
    (path / SET_ASIDE_NAME).symlink_to(victim)
    with pytest.raises(UnsafeFileError, match="is a link"):
        set_aside(path)
    assert victim.read_bytes() == b"theirs\n"
