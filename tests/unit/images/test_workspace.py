"""Nothing half-made is ever in its place, or left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coldstart.errors import StorageError
from coldstart.images.workspace import WORK, put_in_place, work_folder, write_atomically


def test_a_work_folder_is_gone_after_an_error(tmp_path: Path) -> None:
    def fail_half_way() -> None:
        with work_folder(tmp_path) as work:
            (work / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert not list((tmp_path / WORK).iterdir())


def test_what_a_dead_process_left_is_swept_and_what_a_live_one_uses_stays(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in (f"coldstart-{dead.pid}-x", "coldstart-1-x"):
        (tmp_path / WORK / name).mkdir(parents=True)
    with work_folder(tmp_path):
        pass
    assert [path.name for path in (tmp_path / WORK).iterdir()] == ["coldstart-1-x"]


@pytest.mark.parametrize("place", ["work", WORK])
def test_what_another_program_keeps_in_the_cache_stays(tmp_path: Path, place: str) -> None:
    """COLDSTART_CACHE_DIR may be any folder: only what carries our name is swept."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    theirs = ["20240131-taxes", f"{dead.pid}-x", str(dead.pid), f"old-coldstart-{dead.pid}-x"]
    for name in theirs:
        (tmp_path / place / name).mkdir(parents=True)
    with work_folder(tmp_path):
        pass
    assert sorted(path.name for path in (tmp_path / place).iterdir()) == sorted(theirs)


def test_a_work_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / f"coldstart-{2**22 + 1}-x").mkdir(parents=True)
    (tmp_path / WORK).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="is a link"), work_folder(tmp_path):
        pass
    assert len(list((tmp_path / "elsewhere").iterdir())) == 1


@pytest.mark.parametrize(("user", "refused"), [(0, True), (os.geteuid() or 1000, False)])
@pytest.mark.parametrize("place", ["", WORK])
def test_root_does_not_work_where_others_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, refused: bool, place: str
) -> None:
    """A user's own folders are often their group's, which has no other member."""
    (tmp_path / "cache" / place).mkdir(parents=True)
    (tmp_path / "cache" / place).chmod(0o775)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setenv("SUDO_UID", str(os.getuid()))
    if refused:
        with pytest.raises(StorageError, match="can be written to by other users"), work_folder(tmp_path / "cache"):
            pass
        assert [path.name for path in (tmp_path / "cache").iterdir()] == ([place] if place else [])
    else:
        with work_folder(tmp_path / "cache") as work:
            assert work.is_dir()


def test_a_cache_may_be_a_link_to_a_folder_of_ours(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with work_folder(tmp_path / "link") as work:
        assert work.is_dir()


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
