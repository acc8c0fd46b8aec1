"""Whole files or none, and whose they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from coldstart.errors import StorageError
from coldstart.store.files import (
    give_to_invoker,
    make_folder,
    replacing,
    storing,
    sync_folder,
    write_all,
    write_atomically,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x", b"all")
    assert (tmp_path / "x").read_bytes() == b"all"


def test_a_file_that_was_there_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"before, and longer")
    write_atomically(tmp_path / "x", b"after")
    assert (tmp_path / "x").read_bytes() == b"after"


def test_nothing_is_left_beside_a_written_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x", b"all")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def _write_half(path: Path) -> None:
    with replacing(path) as file:
        file.write(b"half")
        raise RuntimeError("half-way")


def _fail_while_replacing(path: Path) -> None:
    with pytest.raises(RuntimeError, match="half-way"):
        _write_half(path)


def test_a_failure_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"before")
    _fail_while_replacing(tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"before"


def test_a_failure_half_way_leaves_nothing_of_its_own(tmp_path: Path) -> None:
    _fail_while_replacing(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"before")
    (tmp_path / "link").symlink_to("there")
    write_atomically(tmp_path / "link", b"after")
    assert ((tmp_path / "link").is_symlink(), (tmp_path / "there").read_bytes()) == (True, b"after")


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(tmp_path / "pipe", b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)


def test_missing_folders_are_made(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_a_folder_that_is_there_is_fine(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    make_folder(tmp_path)
    assert (tmp_path / "kept").exists()


def test_a_folder_cannot_be_made_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file")


def test_a_folder_can_be_synced(tmp_path: Path) -> None:
    sync_folder(tmp_path)


def test_every_byte_is_written_however_small_the_bites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    descriptor = os.open(tmp_path / "x", os.O_CREAT | os.O_WRONLY)
    write_all(descriptor, b"ten bytes.")
    os.close(descriptor)
    assert (tmp_path / "x").read_bytes() == b"ten bytes."


def test_a_failure_to_write_says_where_what_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught, storing(tmp_path / "x", "Do this."):
        (tmp_path / "missing" / "x").touch()
    assert str(caught.value) == f"{tmp_path / 'x'}: cannot be written: No such file or directory. Do this."


def test_a_failure_to_write_keeps_its_cause(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught, storing(tmp_path, ""):
        (tmp_path / "missing" / "x").touch()
    assert isinstance(caught.value.__cause__, FileNotFoundError)


@needs_root
def test_under_sudo_a_file_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "5678")
    write_atomically(tmp_path / "x", b"")
    assert ((tmp_path / "x").stat().st_uid, (tmp_path / "x").stat().st_gid) == (1234, 5678)


@needs_root
def test_under_sudo_every_new_folder_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "5678")
    make_folder(tmp_path / "a" / "b")
    assert {path.stat().st_uid for path in (tmp_path / "a", tmp_path / "a" / "b")} == {1234}


@needs_root
def test_under_sudo_a_folder_that_was_there_keeps_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "5678")
    make_folder(tmp_path / "a")
    assert tmp_path.stat().st_uid == os.geteuid()


@pytest.mark.parametrize("user", ["", "root", "-1", "1 2"])
def test_without_a_user_nothing_is_given_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    monkeypatch.setenv("SUDO_UID", user)
    monkeypatch.setenv("SUDO_GID", "5678")
    give_to_invoker(tmp_path)
    assert tmp_path.stat().st_uid == os.geteuid()


def test_a_file_system_without_owners_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1234")
    monkeypatch.setenv("SUDO_GID", "5678")
    give_to_invoker(tmp_path / "no such file")
