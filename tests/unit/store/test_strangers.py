"""Run folders from strangers: nothing outside the folder is read, written, waited for or named by them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from coldstart.errors import ColdstartError, CorruptRunError, UnsafeFileError
from coldstart.store.files import write_inside
from coldstart.store.lock import RunLock
from coldstart.store.reader import open_run
from coldstart.store.writer import RunWriter
from tests.unit.factories import make_manifest, make_sample

FILES = ("run.json", "samples.jsonl", ".lock")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of one line outside the run's folder: a torn samples.jsonl, to anybody who follows a link to it."""
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A stored run of one sample."""
    manifest = make_manifest()
    with RunWriter.create(tmp_path / "results", manifest) as writer:
        writer.append(make_sample())
    return tmp_path / "results" / manifest.run_id


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_run_is_not_resumed_through_a_link(name: str, link: str, run_dir: Path, victim: Path) -> None:
    (run_dir / name).unlink(missing_ok=True)
    getattr(run_dir / name, link)(victim)
    with pytest.raises(ColdstartError) as refused:
        RunWriter.resume(run_dir)
    assert (refused.value.exit_code, victim.read_text()) == (2, "precious")


@pytest.mark.parametrize("name", FILES)
def test_a_run_with_a_pipe_in_it_is_refused_at_once(name: str, run_dir: Path) -> None:
    (run_dir / name).unlink(missing_ok=True)
    os.mkfifo(run_dir / name)
    with pytest.raises(UnsafeFileError, match=f"{name}: is not a regular file"):
        RunWriter.resume(run_dir)


@pytest.mark.parametrize("name", FILES[:2])
def test_a_run_is_not_read_through_a_link(name: str, run_dir: Path, tmp_path: Path) -> None:
    (run_dir / name).rename(tmp_path / name)
    (run_dir / name).symlink_to(tmp_path / name)
    with pytest.raises(UnsafeFileError, match=f"{name}: is a link"):
        open_run(run_dir)


@pytest.mark.parametrize(
    "run_id", ["/var/www/html", "../..", "..", ".hidden", "a/b", "", "a\0b", "20261124T051530Z-../../x-1a2b", "x" * 200]
)
def test_a_run_cannot_call_itself_by_a_path(run_id: str, run_dir: Path) -> None:
    record = json.loads((run_dir / "run.json").read_text())
    (run_dir / "run.json").write_text(json.dumps({**record, "run_id": run_id}))
    with pytest.raises(CorruptRunError, match="is not a plain name"):
        open_run(run_dir)


def test_a_lock_that_others_could_take_is_not_made(tmp_path: Path) -> None:
    lock = RunLock.acquire(tmp_path)
    assert (tmp_path / ".lock").stat().st_mode & 0o777 == 0o600
    lock.release()


def test_a_file_written_inside_a_folder_replaces_a_link(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.html").symlink_to(victim)
    write_inside(tmp_path / "out", "index.html", b"page")
    assert (victim.read_text(), (tmp_path / "out" / "index.html").read_text()) == ("precious", "page")


def test_nothing_is_written_into_a_folder_that_is_a_link(tmp_path: Path) -> None:
    for name in ("out", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "out" / "figures").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFileError, match="figures: is a link"):
        write_inside(tmp_path / "out", "figures/phases.svg", b"<svg/>")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_folders_below_are_made(tmp_path: Path) -> None:
    write_inside(tmp_path, "a/b/c", b"x")
    assert (tmp_path / "a" / "b" / "c").read_bytes() == b"x"
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["c"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_inside(tmp_path, "x", b"file")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
