"""A run as it is written: on the disk line by line, whole whatever fails, by one writer."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from coldstart.errors import CorruptRunError, StorageError, UsageError
from coldstart.model.run import RunManifest
from coldstart.model.sample import Outcome, Phase, Sample
from coldstart.store.lock import LOCK_NAME
from coldstart.store.reader import open_run
from coldstart.store.writer import RunWriter
from tests.unit.factories import RUN_ID, make_manifest, make_sample, make_span, make_trial

Store = Callable[..., Path]


def sample(block: int, **fields: object) -> Sample:
    return make_sample(make_trial(block=block), **fields)  # type: ignore[arg-type]  # any field of a sample


@contextmanager
def files_no_larger_than(limit_bytes: int) -> Iterator[None]:
    """What a full disk does, from the kernel: a write is cut short, and the next one fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- a new run ---


def test_a_new_run_is_its_manifest_and_an_empty_list_of_samples(tmp_path: Path) -> None:
    RunWriter.create(tmp_path, make_manifest()).close()
    run = open_run(RUN_ID, tmp_path)
    assert (run.manifest, run.samples, run.repaired) == (make_manifest(), (), None)


def test_the_results_folder_is_made_if_missing(tmp_path: Path) -> None:
    RunWriter.create(tmp_path / "a" / "results", make_manifest()).close()
    assert (tmp_path / "a" / "results" / RUN_ID / "run.json").exists()


def test_a_closed_run_is_two_files(store: Store) -> None:
    assert sorted(path.name for path in store().iterdir()) == ["run.json", "samples.jsonl"]


def test_samples_come_back_as_they_went_in(store: Store) -> None:
    samples = (sample(0), sample(1, outcome=Outcome.EXITED, exit_code=3, output_tail="bye\n"), sample(2))
    assert open_run(store(*samples)).samples == samples


def test_a_sample_is_on_the_disk_before_the_writer_is_closed(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path, make_manifest()) as writer:
        writer.append(sample(0))
        assert open_run(writer.path).samples == (sample(0),)


def test_each_sample_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunWriter.create(tmp_path, make_manifest()) as writer:
        synced: list[int] = []
        monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
        writer.append(sample(0))
        writer.append(sample(1))
        assert synced[1] == (writer.path / "samples.jsonl").stat().st_size


def test_a_sample_of_many_lines_is_one_line(store: Store) -> None:
    path = store(sample(0, outcome=Outcome.EXITED, output_tail="one\ntwo\r\n\u2028three"))
    assert (path / "samples.jsonl").read_bytes().count(b"\n") == 1


def test_output_that_is_no_utf_8_is_kept_readable(store: Store) -> None:
    path = store(sample(0, outcome=Outcome.EXITED, output_tail=b"caf\xe9".decode(errors="surrogateescape")))
    assert open_run(path).samples[0].output_tail == r"caf\xe9"


def test_an_argument_that_is_no_utf_8_is_kept_readable(store: Store) -> None:
    path = store(manifest=make_manifest(argv=("coldstart", b"\xff".decode(errors="surrogateescape"))))
    assert open_run(path).manifest.argv == ("coldstart", r"\xff")


def test_a_sample_of_another_run_is_refused(tmp_path: Path) -> None:
    with (
        RunWriter.create(tmp_path, make_manifest()) as writer,
        pytest.raises(ValueError, match="could not be read back is not stored"),
    ):
        writer.append(sample(0, run_id="other"))


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path, make_manifest())
    writer.close()
    writer.close()


def test_closing_lets_go_of_the_lock(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path, make_manifest()) as writer:
        pass
    RunWriter.resume(writer.path).close()


# --- where nothing can be written ---


def test_a_run_that_exists_is_not_overwritten(store: Store, tmp_path: Path) -> None:
    path = store()
    with pytest.raises(StorageError, match="cannot be written: File exists"):
        RunWriter.create(tmp_path / "results", make_manifest())
    assert len(open_run(path).samples) == 3


def test_a_results_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").touch()
    with pytest.raises(StorageError, match=r"cannot be written: .* Choose another place with --results"):
        RunWriter.create(tmp_path / "results", make_manifest())


def test_a_results_folder_nobody_can_write_is_refused() -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        RunWriter.create(Path("/proc/results"), make_manifest())


def test_a_disk_full_from_the_start_leaves_nothing_behind(tmp_path: Path) -> None:
    with files_no_larger_than(100), pytest.raises(StorageError, match="cannot be written: File too large"):
        RunWriter.create(tmp_path, make_manifest())
    assert list(tmp_path.iterdir()) == []


# --- a disk that fills up ---


@pytest.fixture
def full(tmp_path: Path) -> Iterator[RunWriter]:
    """A writer of two samples whose third did not fit."""
    with RunWriter.create(tmp_path, make_manifest()) as writer:
        writer.append(sample(0))
        writer.append(sample(1))
        size_bytes = (writer.path / "samples.jsonl").stat().st_size
        with files_no_larger_than(size_bytes + 50), pytest.raises(StorageError):
            writer.append(sample(2))
        yield writer


def test_a_full_disk_is_told_with_what_is_kept_and_how_to_go_on(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path, make_manifest()) as writer:
        writer.append(sample(0))
        size_bytes = (writer.path / "samples.jsonl").stat().st_size
        with files_no_larger_than(size_bytes + 50), pytest.raises(StorageError) as caught:
            writer.append(sample(1))
    assert str(caught.value) == (
        f"{writer.path / 'samples.jsonl'}: cannot be written: File too large. Its first 1 samples are kept; "
        f"make room and continue with: coldstart run --resume {writer.path}"
    )


def test_a_line_that_did_not_fit_is_taken_back(full: RunWriter) -> None:
    assert open_run(full.path).samples == (sample(0), sample(1))


def test_a_file_whose_line_was_taken_back_needs_no_repair(full: RunWriter) -> None:
    assert open_run(full.path).repaired is None


def test_once_there_is_room_the_same_writer_goes_on(full: RunWriter) -> None:
    full.append(sample(2))
    assert len(open_run(full.path).samples) == 3


def test_a_sync_that_fails_takes_the_line_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with RunWriter.create(tmp_path, make_manifest()) as writer:
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(StorageError, match="Input/output error"):
            writer.append(sample(0))
        assert (writer.path / "samples.jsonl").read_bytes() == b""


def test_after_a_line_that_could_not_be_taken_back_nothing_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int, _length: int) -> None:
        raise OSError(5, "Input/output error")

    with RunWriter.create(tmp_path, make_manifest()) as writer:
        writer.append(sample(0))
        monkeypatch.setattr(os, "ftruncate", fail)
        size_bytes = (writer.path / "samples.jsonl").stat().st_size
        with files_no_larger_than(size_bytes + 50), pytest.raises(StorageError):
            writer.append(sample(1))
        with pytest.raises(StorageError, match="ends in a torn line"):
            writer.append(sample(1))
        assert open_run(writer.path).samples == (sample(0),)


def test_a_run_removed_while_measuring_is_noticed(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path, make_manifest()) as writer:
        (writer.path / "samples.jsonl").unlink()
        with pytest.raises(StorageError, match="was removed while measuring"):
            writer.append(sample(0))


# --- going on ---


def test_a_resumed_run_has_what_was_stored(store: Store) -> None:
    with RunWriter.resume(store()) as writer:
        assert writer.stored == open_run(writer.path)


def test_a_resumed_run_goes_on_at_its_end(store: Store) -> None:
    with RunWriter.resume(store(sample(0))) as writer:
        writer.append(sample(1))
    assert open_run(writer.path).samples == (sample(0), sample(1))


def test_two_runs_cannot_write_at_once(tmp_path: Path) -> None:
    with (
        RunWriter.create(tmp_path, make_manifest()) as writer,
        pytest.raises(StorageError, match=f"process {os.getpid()} is writing to this run"),
    ):
        RunWriter.resume(writer.path)


def test_a_refused_second_writer_does_not_break_the_firsts_lock(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path, make_manifest()) as writer:
        for _ in range(2):
            with pytest.raises(StorageError, match="is writing to this run"):
                RunWriter.resume(writer.path)


def test_resuming_removes_a_torn_line_from_the_file(store: Store) -> None:
    path = store(sample(0), sample(1))
    with (path / "samples.jsonl").open("ab") as file:
        file.write(b'{"run_id":"2026')
    RunWriter.resume(path).close()
    assert open_run(path).repaired is None


def test_resuming_tells_what_it_repaired(store: Store) -> None:
    path = store(sample(0))
    with (path / "samples.jsonl").open("ab") as file:
        file.write(b'{"run_id":"2026')
    with RunWriter.resume(path) as writer:
        assert "samples.jsonl:2: the last line was torn by a crash (15 bytes)" in (writer.stored.repaired or "")


def test_resuming_ends_a_last_line_that_lacked_its_end(store: Store) -> None:
    path = store(sample(0))
    os.truncate(path / "samples.jsonl", (path / "samples.jsonl").stat().st_size - 1)
    with RunWriter.resume(path) as writer:
        writer.append(sample(1))
    assert open_run(path).samples == (sample(0), sample(1))


def test_a_corrupt_run_is_not_resumed_and_not_left_locked(store: Store) -> None:
    path = store()
    data = (path / "samples.jsonl").read_bytes()
    (path / "samples.jsonl").write_bytes(b"damage\n" + data)
    with pytest.raises(CorruptRunError, match=r"samples\.jsonl:1: is damaged"):
        RunWriter.resume(path)
    assert not (path / LOCK_NAME).exists()


def test_a_corrupt_run_is_not_changed_by_trying_to_resume_it(store: Store) -> None:
    path = store()
    damaged = b"damage\n" + (path / "samples.jsonl").read_bytes() + b'{"torn'
    (path / "samples.jsonl").write_bytes(damaged)
    with pytest.raises(CorruptRunError):
        RunWriter.resume(path)
    assert (path / "samples.jsonl").read_bytes() == damaged


def test_a_folder_that_is_no_run_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(CorruptRunError, match=r"has no run\.json"):
        RunWriter.resume(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_an_older_schema_is_not_gone_on_with(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store()
    older = msgspec.json.decode((path / "run.json").read_bytes(), type=RunManifest)
    monkeypatch.setattr("coldstart.store.writer.SCHEMA_VERSION", older.schema_version + 1)
    with pytest.raises(UsageError, match=r"under an older schema\. Go on with that version, or begin a new run"):
        RunWriter.resume(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_under_sudo_everything_of_a_run_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "5678")
    with RunWriter.create(tmp_path / "results", make_manifest()) as writer:
        made = [writer.path.parent, writer.path, *writer.path.iterdir()]
        assert {path.stat().st_uid for path in made} == {1234}


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        (make_sample(spans=(make_span(Phase.PULL, 9, 3),)), "its pull span ends before it starts"),
        (make_sample(spans=()), "is ok but has no create"),
        (make_sample(make_trial(block=0)), "repeats the trial of line 1"),
    ],
)
def test_a_sample_that_could_not_be_read_back_is_not_stored(store: Store, sample: Sample, why: str) -> None:
    path = store(make_sample())
    with RunWriter.resume(path) as writer, pytest.raises(ValueError, match=f"could not be read back .*{why}"):
        writer.append(sample)
    assert len(open_run(path).samples) == 1
