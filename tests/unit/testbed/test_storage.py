"""What the engine's data are on. No loop device is made here: a record is kept of what would have been run."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.errors import TestbedError
from coldstart.testbed import block, storage
from coldstart.testbed.block import Filesystem
from coldstart.testbed.config import Layout, Medium
from coldstart.testbed.storage import Storage, prepare, release_loops


def on(monkeypatch: pytest.MonkeyPatch, kind: str | None, journal: bool | None = None) -> None:
    """Let every folder be on such a filesystem; ``None`` is one that nobody knows."""
    found = None if kind is None else Filesystem(kind=kind, point=Path("/"), device="sda1", journal=journal)
    monkeypatch.setattr(block, "filesystem_of", lambda _: found)


class Tools:
    """Takes the place of running the machine's tools: what was run, and which fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *failing: str) -> None:
        self.failing = failing
        self.ran: list[str] = []
        self.tags: set[str] = set()
        monkeypatch.setattr(storage, "run", self)

    def __call__(self, *argv: str | Path, tag: str = "") -> str:
        """Keep it, or fail."""
        words = " ".join(str(word) for word in argv)
        self.ran.append(words)
        self.tags.add(tag)
        if any(part in words for part in self.failing):
            raise TestbedError(f"{argv[0]}: no")
        return "/dev/loop7\n" if "--show" in argv else ""


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Tools:
    """Tools that all succeed, on ext4 without a journal."""
    on(monkeypatch, "ext4", journal=False)
    return Tools(monkeypatch)


@pytest.mark.parametrize(
    ("kind", "journal", "words"),
    [
        ("ext4", True, "directory on journaled ext4"),
        ("xfs", True, "directory on xfs"),
        ("btrfs", None, "directory on btrfs"),
        (None, None, "directory on an unknown filesystem"),
    ],
)
def test_our_own_folder_is_used_unless_it_surely_has_no_journal(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, kind: str | None, journal: bool | None, words: str
) -> None:
    on(monkeypatch, kind, journal)
    assert prepare(layout, None) == Storage(data_root=layout.data, description=words)


@pytest.mark.parametrize("kind", ["overlay", "vfat", "9p", "nfs4"])
def test_where_no_overlay_can_be_a_loop_file_takes_its_place(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """As under a read-only Raspberry Pi OS: Docker would fall back to vfs."""
    on(monkeypatch, kind)
    Tools(monkeypatch)
    assert prepare(layout, None).description == "journaled ext4 loop file"


def test_where_no_overlay_can_be_and_no_loop_file_the_description_says_what_that_costs(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    on(monkeypatch, "overlay")
    Tools(monkeypatch, "losetup")
    cost = "directory on overlay, on which Docker falls back to its vfs driver and copies every layer whole"
    assert prepare(layout, None).description.startswith(f"{cost}; no loop file, because")
    assert prepare(layout, tmp_path / "asked").description == cost


@pytest.mark.usefixtures("tools")
def test_a_folder_that_was_asked_for_is_used_as_it_is(layout: Layout, tmp_path: Path) -> None:
    words = "directory on ext4 without a journal"
    assert prepare(layout, tmp_path / "asked") == Storage(data_root=tmp_path / "asked", description=words)


def test_data_in_memory_are_on_a_tmpfs_of_bounded_size(layout: Layout, tools: Tools) -> None:
    words = Storage(data_root=layout.data, description="tmpfs")
    assert prepare(layout, None, Medium.MEMORY) == words
    (mount,) = tools.ran
    assert mount == f"mount -t tmpfs -o size={512 * 1024**2},mode=711 tmpfs {layout.data}"
    assert tools.tags != {""}


@pytest.mark.parametrize("there", [True, False])
def test_the_folder_is_there_afterwards(layout: Layout, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    on(monkeypatch, "xfs", journal=True)
    if there:
        layout.data.mkdir()
    prepare(layout, None)
    assert layout.data.is_dir()


def test_the_engines_data_are_not_for_everybody_to_list(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "xfs", journal=True)
    prepare(layout, None)
    assert layout.data.stat().st_mode & 0o066 == 0


@pytest.mark.usefixtures("tools")
def test_without_a_journal_a_loop_file_takes_its_place(layout: Layout) -> None:
    assert prepare(layout, None) == Storage(
        data_root=layout.data,
        description="journaled ext4 loop file",
        loop_device="/dev/loop7",
        loop_mount=layout.data,
    )


def test_a_loop_file_is_made_attached_past_the_cache_mounted_and_let_go_of(layout: Layout, tools: Tools) -> None:
    prepare(layout, None)
    assert tools.ran == [
        f"mkfs.ext4 -q -F -m 0 {layout.loop_file}",
        f"losetup --find --show --direct-io=on {layout.loop_file}",
        f"mount /dev/loop7 {layout.data}",
        "losetup --detach /dev/loop7",
    ]


@pytest.mark.usefixtures("tools")
def test_a_loop_file_takes_only_what_is_written_to_it(layout: Layout) -> None:
    prepare(layout, None)
    status = layout.loop_file.stat()
    assert (status.st_size, status.st_blocks) == (12 * 1024**3, 0)


@pytest.mark.usefixtures("tools")
def test_the_engine_finds_its_new_filesystem_empty(layout: Layout) -> None:
    (layout.data / "lost+found").mkdir(parents=True)
    prepare(layout, None)
    assert list(layout.data.iterdir()) == []


def test_tools_are_marked_as_the_testbeds(layout: Layout, tools: Tools) -> None:
    prepare(layout, None)
    assert tools.tags == {f"{layout.id}:tool", ""}


def test_without_direct_io_a_loop_file_says_so(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "ext4", journal=False)
    tools = Tools(monkeypatch, "--direct-io")
    found = prepare(layout, None)
    assert found.description.startswith("journaled ext4 loop file, without direct I/O: its pages stay in")
    assert f"losetup --find --show {layout.loop_file}" in tools.ran


@pytest.mark.parametrize(
    ("failing", "tool"), [("mkfs", "mkfs.ext4"), ("losetup --find", "losetup"), ("mount", "mount")]
)
def test_where_no_loop_file_can_be_had_the_folder_is_used_and_says_why(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, failing: str, tool: str
) -> None:
    on(monkeypatch, "ext4", journal=False)
    Tools(monkeypatch, failing)
    words = f"directory on ext4 without a journal; no loop file, because {tool}: no"
    assert prepare(layout, None) == Storage(data_root=layout.data, description=words)


def test_a_loop_file_that_is_of_no_use_is_removed(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "ext4", journal=False)
    Tools(monkeypatch, "mount")
    prepare(layout, None)
    assert not layout.loop_file.exists()


def test_a_loop_device_that_is_of_no_use_is_released(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "ext4", journal=False)
    Tools(monkeypatch, "mount")
    released: list[Layout] = []
    monkeypatch.setattr(storage, "release_loops", released.append)
    prepare(layout, None)
    assert released == [layout]


def back(sys: Path, loop: str, file: str) -> None:
    """Let a loop device be backed by a file."""
    (sys / "block" / loop / "loop").mkdir(parents=True)
    (sys / "block" / loop / "loop" / "backing_file").write_text(f"{file}\n")


@pytest.mark.parametrize("mark", ["", " (deleted)"])
def test_a_loop_on_our_file_is_detached(layout: Layout, tmp_path: Path, tools: Tools, mark: str) -> None:
    back(tmp_path, "loop3", f"{layout.loop_file}{mark}")
    assert (release_loops(layout, tmp_path), tools.ran) == (1, ["losetup --detach /dev/loop3"])


def test_loops_on_other_files_stay(layout: Layout, tmp_path: Path, tools: Tools) -> None:
    back(tmp_path, "loop3", f"{layout.loop_file}.other")
    assert (release_loops(layout, tmp_path), tools.ran) == (0, [])


def test_a_loop_that_goes_meanwhile_does_not_hide_the_others(layout: Layout, tmp_path: Path, tools: Tools) -> None:
    (tmp_path / "block" / "loop2" / "loop" / "backing_file").mkdir(parents=True)
    back(tmp_path, "loop3", str(layout.loop_file))
    (tmp_path / "block" / "loop4" / "loop" / "backing_file").mkdir(parents=True)
    assert (release_loops(layout, tmp_path), tools.ran) == (1, ["losetup --detach /dev/loop3"])


def test_every_loop_on_our_file_is_detached(layout: Layout, tmp_path: Path, tools: Tools) -> None:
    for loop in ("loop3", "loop12"):
        back(tmp_path, loop, str(layout.loop_file))
    assert (release_loops(layout, tmp_path), set(tools.ran)) == (
        2,
        {"losetup --detach /dev/loop3", "losetup --detach /dev/loop12"},
    )
