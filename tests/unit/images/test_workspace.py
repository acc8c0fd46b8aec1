"""Nothing half-made is ever in its place, or left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from coldstart.errors import StorageError
from coldstart.images.workspace import put_in_place, work_folder, write_atomically


def test_a_work_folder_is_gone_after_an_error(tmp_path: Path) -> None:
    def fail_half_way() -> None:
        with work_folder(tmp_path) as work:
            (work / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert not list((tmp_path / "work").iterdir())


def test_what_a_dead_process_left_is_swept_and_what_a_live_one_uses_stays(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in (f"{dead.pid}-x", "1-x"):
        (tmp_path / "work" / name).mkdir(parents=True)
    with work_folder(tmp_path):
        pass
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["1-x"]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="COLDSTART_CACHE_DIR"), work_folder(tmp_path / "file"):
        pass


def test_the_first_of_two_equal_folders_stays(tmp_path: Path) -> None:
    for name in ("made", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
    put_in_place(tmp_path / "made", tmp_path / "there")
    assert (tmp_path / "there" / "f").read_text() == "there"


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_atomically(tmp_path / "d" / "f", b"one")
    write_atomically(tmp_path / "d" / "f", b"two")
    assert {path.name: path.read_bytes() for path in (tmp_path / "d").iterdir()} == {"f": b"two"}


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(StorageError, match="g"):
        write_atomically(tmp_path / "f" / "g", b"")
