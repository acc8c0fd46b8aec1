"""Names that a stranger may have prepared: only regular files of their own are opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from coldstart.errors import EXIT_USAGE, UnsafeFileError
from coldstart.opening import exists, is_file, is_folder, open_folder, open_regular, read_regular


def put_link(path: Path) -> None:
    (path.parent / "elsewhere").write_text("precious")
    path.symlink_to(path.parent / "elsewhere")


def put_dangling_link(path: Path) -> None:
    path.symlink_to(path.parent / "not there yet")


def put_second_name(path: Path) -> None:
    (path.parent / "elsewhere").write_text("precious")
    path.hardlink_to(path.parent / "elsewhere")


def put_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("put", [put_link, put_dangling_link, put_second_name, os.mkfifo, put_device, Path.mkdir])
def test_what_is_not_a_file_of_its_own_is_not_opened_for_writing(put: object, tmp_path: Path) -> None:
    assert callable(put)
    put(tmp_path / "x")
    with pytest.raises(UnsafeFileError):
        open_regular(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    assert not (tmp_path / "not there yet").exists()


@pytest.mark.parametrize("put", [put_link, put_dangling_link, os.mkfifo, put_device, Path.mkdir])
def test_what_is_not_a_regular_file_is_not_read(put: object, tmp_path: Path) -> None:
    assert callable(put)
    put(tmp_path / "x")
    with pytest.raises(UnsafeFileError):
        read_regular(tmp_path / "x")


def test_a_file_with_two_names_can_be_read(tmp_path: Path) -> None:
    put_second_name(tmp_path / "x")
    assert read_regular(tmp_path / "x") == b"precious"


def test_a_link_that_appears_after_the_look_is_refused_by_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_text("")
    look = os.stat

    def swapped(*arguments: Any, **named: Any) -> os.stat_result:
        found = look(*arguments, **named)
        path.unlink()
        put_link(path)
        return found

    monkeypatch.setattr(os, "stat", swapped)
    with pytest.raises(UnsafeFileError, match="is a link"):
        open_regular(path, os.O_RDWR)


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "x", os.O_RDONLY)


def test_a_record_of_any_size_is_not_read_whole(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert read_regular(tmp_path / "x", 5) == b"12345"
    with pytest.raises(UnsafeFileError, match="more than 4 bytes"):
        read_regular(tmp_path / "x", 4)


def test_a_folder_that_was_named_may_be_a_link_but_none_inside_it(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "named").symlink_to("folder")
    (tmp_path / "folder" / "inner").symlink_to("/etc")
    outer = open_folder(tmp_path / "named")
    try:
        with pytest.raises(UnsafeFileError, match="inner: is a link"):
            open_folder("inner", parent=outer)
    finally:
        os.close(outer)


def test_it_is_bad_input() -> None:
    assert UnsafeFileError("x", "is a link").exit_code == EXIT_USAGE


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "no such file"])
def test_there_is_nothing_of_a_name_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    assert [ask(tmp_path / name) for ask in (exists, is_file, is_folder)] == [False, False, False]


def test_what_there_is_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    assert [ask(tmp_path / "x") for ask in (exists, is_file, is_folder)] == [True, True, False]
    assert [ask(tmp_path) for ask in (exists, is_file, is_folder)] == [True, False, True]
