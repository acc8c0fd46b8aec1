"""Real pages of real files: put out of memory, and counted."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import cast

import pytest

from coldstart.errors import TestbedError
from coldstart.testbed import pagecache
from coldstart.testbed.pagecache import PAGE_BYTES, Eviction, evict, resident_bytes


def write(path: Path, size: int) -> Path:
    """A file of that many bytes; its pages are in memory, and dirty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def test_what_was_just_written_is_in_memory(tmp_path: Path) -> None:
    write(tmp_path / "a", 3 * PAGE_BYTES)
    assert resident_bytes([tmp_path]) == 3 * PAGE_BYTES


def test_what_was_evicted_is_not_in_memory(on_disk: Path) -> None:
    write(on_disk / "a", 3 * PAGE_BYTES + 1)
    evict([on_disk])
    assert resident_bytes([on_disk]) == 0


def test_only_what_was_read_again_is_in_memory(on_disk: Path) -> None:
    path = write(on_disk / "a", 8 * PAGE_BYTES)
    evict([on_disk])
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(file.fileno(), 1, 5 * PAGE_BYTES)
    assert resident_bytes([on_disk]) == PAGE_BYTES


def test_only_what_was_asked_for_is_evicted(on_disk: Path) -> None:
    write(on_disk / "evicted" / "a", PAGE_BYTES)
    write(on_disk / "kept" / "a", PAGE_BYTES)
    evict([on_disk / "evicted"])
    assert resident_bytes([on_disk / "kept"]) == PAGE_BYTES


@pytest.mark.parametrize(("size", "pages"), [(0, 0), (1, 1), (PAGE_BYTES, 1), (PAGE_BYTES + 1, 2)])
def test_memory_is_counted_in_whole_pages(tmp_path: Path, size: int, pages: int) -> None:
    write(tmp_path / "a", size)
    assert resident_bytes([tmp_path]) == pages * PAGE_BYTES


def test_files_of_every_size_are_counted_one_after_the_other(tmp_path: Path) -> None:
    for index, pages in enumerate((1, 9, 2, 40)):
        write(tmp_path / str(index), pages * PAGE_BYTES)
    assert resident_bytes([tmp_path]) == 52 * PAGE_BYTES


def test_nested_folders_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "c", 10)
    write(tmp_path / "a" / "d", 20)
    assert evict([tmp_path]) == Eviction(files=2, bytes=30)


def test_several_folders_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x", 10)
    write(tmp_path / "b" / "x", 20)
    write(tmp_path / "c" / "x", 40)
    assert evict([tmp_path / "a", tmp_path / "b"]) == Eviction(files=2, bytes=30)


def test_paths_may_be_given_one_by_one(tmp_path: Path) -> None:
    write(tmp_path / "a", 10)
    assert evict(iter([tmp_path])) == Eviction(files=1, bytes=10)


def test_a_file_can_be_asked_for_itself(tmp_path: Path) -> None:
    assert evict([write(tmp_path / "a", 10)]) == Eviction(files=1, bytes=10)


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    write(tmp_path / "a", 0)
    assert evict([tmp_path]) == Eviction(files=1, bytes=0)


def test_nothing_asked_for_is_nothing_evicted() -> None:
    assert evict([]) == Eviction(files=0, bytes=0)


def test_a_file_of_two_names_is_evicted_once(tmp_path: Path) -> None:
    (tmp_path / "b").hardlink_to(write(tmp_path / "a", 10))
    assert evict([tmp_path]) == Eviction(files=1, bytes=10)


def test_a_file_of_two_names_is_in_memory_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").hardlink_to(write(tmp_path / "a", 1))
    assert resident_bytes([tmp_path / "sub", tmp_path]) == PAGE_BYTES


def test_links_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "out" / "a", 10)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").symlink_to(tmp_path / "out" / "a")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "dangling").symlink_to("nowhere")
    assert evict([tmp_path / "in"]) == Eviction(files=0, bytes=0)


def test_a_pipe_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert evict([tmp_path]) == Eviction(files=0, bytes=0)


def test_an_eviction_leaves_no_descriptor_open(tmp_path: Path) -> None:
    write(tmp_path / "a", 10)
    before = os.listdir("/proc/self/fd")  # noqa: PTH208  names are compared, not paths
    evict([tmp_path])
    resident_bytes([tmp_path])
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208  the same


def test_counting_leaves_nothing_mapped(tmp_path: Path) -> None:
    path = write(tmp_path / "a", 10)
    resident_bytes([tmp_path])
    assert str(path) not in Path("/proc/self/maps").read_text()


def test_a_folder_that_is_not_there_cannot_be_evicted(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match="gone: No such file or directory"):
        evict([tmp_path / "gone"])


def test_a_folder_that_is_not_there_cannot_be_counted(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match="gone: No such file or directory"):
        resident_bytes([tmp_path / "gone"])


def test_a_file_that_is_removed_meanwhile_is_passed_over(tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path / name, 10)
    files = pagecache._files([tmp_path])
    next(files)
    for path in tmp_path.iterdir():
        path.unlink()
    assert list(files) == []


def refuse_to_open(monkeypatch: pytest.MonkeyPatch, name: str, flags: int = 0) -> None:
    """Let nobody open a file of that name, with these flags if any; root could open everything otherwise."""
    os_open = os.open

    def refuse(path: str | Path, mode: int, *rest: int) -> int:
        if Path(path).name == name and mode & flags == flags:
            raise PermissionError(13, "Permission denied")
        return os_open(path, mode, *rest)

    monkeypatch.setattr(os, "open", refuse)


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "secret", 10)
    refuse_to_open(monkeypatch, "secret")
    with pytest.raises(TestbedError, match=r"secret: Permission denied\. Layers can only be read as root"):
        resident_bytes([tmp_path])


def test_somebody_elses_file_is_read_in_the_ordinary_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a file's owner may read it without a trace (O_NOATIME, open(2))."""
    write(tmp_path / "theirs", 10)
    refuse_to_open(monkeypatch, "theirs", os.O_NOATIME)
    assert resident_bytes([tmp_path]) == PAGE_BYTES


def test_a_file_that_cannot_be_mapped_is_an_error() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(TestbedError, match="mmap of a layer's file: No such device"):
            pagecache._resident_pages(reading, PAGE_BYTES, ctypes.create_string_buffer(1))
    finally:
        os.close(reading)
        os.close(writing)


def test_pages_that_cannot_be_counted_are_an_error(tmp_path: Path) -> None:
    nowhere = cast("ctypes.Array[ctypes.c_char]", None)
    with (
        write(tmp_path / "a", 10).open("rb") as file,
        pytest.raises(TestbedError, match="mincore of a layer's file: Bad address"),
    ):
        pagecache._resident_pages(file.fileno(), 10, nowhere)


class FakeLibrary:
    """A C library whose syncfs(2) is counted, and answers as told."""

    def __init__(self, answer: int) -> None:
        self.answer = answer
        self.syncs = 0

    def syncfs(self, _: int) -> int:
        """Count."""
        self.syncs += 1
        return self.answer


def test_a_filesystem_is_written_back_once_for_all_its_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = FakeLibrary(0)
    monkeypatch.setattr(pagecache, "_libc", library)
    for name in "abc":
        (tmp_path / name).mkdir()
    evict([tmp_path / name for name in "abc"])
    assert library.syncs == 1


def test_a_filesystem_that_cannot_be_written_back_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagecache, "_libc", FakeLibrary(-1))
    ctypes.set_errno(5)
    with pytest.raises(TestbedError, match=f"syncfs of {tmp_path}: Input/output error"):
        evict([tmp_path])
