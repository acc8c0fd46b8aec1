"""Nothing that is not ours is ever removed."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coldstart.errors import TestbedError, UnsafeFileError
from coldstart.testbed import marker, mounts
from coldstart.testbed.marker import MARKER, Claim, check_claimable, claim_folder, empty, read_claim, remove, unclaim
from coldstart.testbed.mounts import Mount


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to claim, absent yet."""
    return tmp_path / "f"


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_an_absent_folder_is_made_with_its_marker(folder: Path) -> None:
    claim_folder(folder, "me")
    assert names(folder) == [MARKER]


def test_a_folder_we_made_says_so(folder: Path) -> None:
    assert claim_folder(folder, "me") == Claim(id="me", made=True)


def test_a_claim_is_written_down(folder: Path) -> None:
    assert claim_folder(folder, "me") == read_claim(folder)


def test_an_empty_folder_that_was_given_is_marked_as_that(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o750)
    claim_folder(folder, "me")
    assert read_claim(folder) == Claim(id="me", made=False, mode=0o750)


def test_missing_folders_above_are_made(folder: Path) -> None:
    claim_folder(folder / "a" / "b", "me")
    assert names(folder / "a") == ["b"]


def test_a_folder_that_is_claimed_keeps_its_claim(folder: Path) -> None:
    claim_folder(folder, "me")
    assert claim_folder(folder, "me").made


def test_a_folder_never_exists_without_its_marker(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(marker, "write_record", crash)
    with pytest.raises(OSError, match="No space"):
        claim_folder(folder, "me")
    assert not folder.exists()


@pytest.mark.parametrize("left", [MARKER, f".{MARKER}.new"])
def test_a_claim_that_was_killed_half_way_can_be_made_again(folder: Path, left: str) -> None:
    fresh = folder.with_name(".f.coldstart-new")
    fresh.mkdir()
    (fresh / left).write_text("{")
    claim_folder(folder, "me")
    assert read_claim(folder) == Claim(id="me", made=True)


@pytest.mark.parametrize("left", [f".{MARKER}.new", "lost+found"])
def test_a_folder_with_nothing_but_the_leftovers_of_a_claim_or_a_filesystem_is_empty(folder: Path, left: str) -> None:
    folder.mkdir()
    (folder / left).touch()
    check_claimable(folder, "me")


def test_an_absent_folder_can_be_claimed(folder: Path) -> None:
    check_claimable(folder, "me")


def test_our_own_folder_can_be_claimed_whatever_is_in_it(folder: Path) -> None:
    claim_folder(folder, "me")
    (folder / "x").touch()
    check_claimable(folder, "me")


def test_a_folder_that_holds_anything_is_left_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.tex").touch()
    with pytest.raises(TestbedError, match="is not empty and has no marker of ours"):
        claim_folder(folder, "me")


def test_another_testbeds_folder_is_left_alone(folder: Path) -> None:
    claim_folder(folder, "them")
    with pytest.raises(TestbedError, match=r"belongs to another testbed \(them\)"):
        claim_folder(folder, "me")


def test_a_file_is_no_folder_to_claim(folder: Path) -> None:
    folder.touch()
    with pytest.raises(TestbedError, match="is not a folder"):
        claim_folder(folder, "me")


def test_a_folder_without_a_marker_has_no_claim(tmp_path: Path) -> None:
    assert read_claim(tmp_path) is None


def test_a_file_has_no_claim(folder: Path) -> None:
    folder.touch()
    assert read_claim(folder) is None


def test_a_claim_is_read_as_it_was_written(tmp_path: Path) -> None:
    claim = Claim(id="me", made=True, data_root=Path("/data"), controllers={"/sys/fs/cgroup": ("cpu", "memory")})
    marker.write(tmp_path, claim)
    assert read_claim(tmp_path) == claim


@pytest.mark.parametrize("text", ["", "{", '{"id": "me"}'])
def test_a_marker_that_cannot_be_read_is_named_with_the_remedy(tmp_path: Path, text: str) -> None:
    (tmp_path / MARKER).write_text(text)
    with pytest.raises(TestbedError, match=rf"{MARKER}: .*remove it by hand"):
        read_claim(tmp_path)


def fill(folder: Path) -> None:
    """Put a file, a tree, and a link to a folder in it."""
    (folder / "file").touch()
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").touch()
    (folder / "link").symlink_to(folder.parent / "outside")


def test_a_marked_folder_is_emptied_of_all_but_its_marker(folder: Path) -> None:
    claim_folder(folder, "me")
    fill(folder)
    empty(folder)
    assert names(folder) == [MARKER]


def test_what_a_link_leads_to_stays(folder: Path) -> None:
    claim_folder(folder, "me")
    (folder.parent / "outside").mkdir()
    (folder.parent / "outside" / "precious").touch()
    fill(folder)
    empty(folder)
    assert names(folder.parent / "outside") == ["precious"]


def test_what_is_to_be_kept_is_kept(folder: Path) -> None:
    claim_folder(folder, "me")
    fill(folder)
    empty(folder, kept=frozenset({MARKER, "a"}))
    assert names(folder) == [MARKER, "a"]


def test_a_folder_without_a_marker_is_not_emptied(folder: Path) -> None:
    folder.mkdir()
    fill(folder)
    with pytest.raises(TestbedError, match="has no marker of ours"):
        empty(folder)
    assert names(folder) == ["a", "file", "link"]


def test_a_folder_in_which_something_is_mounted_is_not_emptied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim_folder(folder, "me")
    fill(folder)
    inside = Mount(device="7:0", point=folder / "a", kind="ext4", source="/dev/loop0")
    monkeypatch.setattr(mounts, "below", lambda where: (inside,) if where == folder else ())
    with pytest.raises(TestbedError, match=f"{folder / 'a'} is still mounted"):
        empty(folder)
    assert names(folder) == [MARKER, "a", "file", "link"]


def test_what_went_by_itself_is_removed(tmp_path: Path) -> None:
    marker._remove_entry(tmp_path / "gone")


def test_a_folder_we_made_is_removed_with_all_that_is_in_it(folder: Path) -> None:
    claim_folder(folder, "me")
    fill(folder)
    remove(folder, "me")
    assert not folder.exists()


def test_a_folder_we_were_given_stays_empty(folder: Path) -> None:
    folder.mkdir()
    claim_folder(folder, "me")
    fill(folder)
    remove(folder, "me")
    assert names(folder) == []


@pytest.mark.parametrize(("claimed", "removed"), [(True, True), (False, False)])
def test_it_is_told_whether_there_was_anything_to_remove(folder: Path, claimed: bool, removed: bool) -> None:
    if claimed:
        claim_folder(folder, "me")
    assert remove(folder, "me") is removed


def test_an_empty_folder_without_a_marker_stays_as_it_is(folder: Path) -> None:
    folder.mkdir()
    removed = remove(folder, "me")
    assert (removed, folder.is_dir()) == (False, True)


def test_a_folder_of_somebody_is_not_removed(folder: Path) -> None:
    folder.mkdir()
    fill(folder)
    with pytest.raises(TestbedError, match="has no marker of ours"):
        remove(folder, "me")
    assert names(folder) == ["a", "file", "link"]


def test_another_testbeds_folder_is_not_removed(folder: Path) -> None:
    claim_folder(folder, "them")
    with pytest.raises(TestbedError, match="belongs to another testbed"):
        remove(folder, "me")
    assert names(folder) == [MARKER]


@pytest.mark.parametrize("name", [".f.coldstart-new", ".f.coldstart-new-x1"])
@pytest.mark.parametrize("left", [MARKER, f".{MARKER}.new"])
def test_what_a_killed_claim_left_beside_the_folder_is_removed(folder: Path, left: str, name: str) -> None:
    fresh = folder.with_name(name)
    fresh.mkdir()
    (fresh / left).touch()
    remove(folder, "me")
    assert names(folder.parent) == []


def test_what_a_killed_claim_left_in_a_folder_we_were_given_is_removed(folder: Path) -> None:
    folder.mkdir()
    (folder / f".{MARKER}.new").touch()
    remove(folder, "me")
    assert names(folder) == []


def test_a_folder_is_removed_if_it_is_empty(folder: Path) -> None:
    folder.mkdir()
    marker.remove_if_empty(folder)
    assert not folder.exists()


def test_a_folder_is_not_removed_if_it_holds_anything(folder: Path) -> None:
    (folder / "x").mkdir(parents=True)
    marker.remove_if_empty(folder)
    assert names(folder) == ["x"]


def test_an_absent_folder_needs_no_removing(folder: Path) -> None:
    marker.remove_if_empty(folder)
    assert not folder.exists()


def test_a_marker_can_be_read_by_everybody(folder: Path) -> None:
    """Who may not start a testbed may still ask for its status."""
    before = os.umask(0o022)
    try:
        claim_folder(folder, "me")
    finally:
        os.umask(before)
    assert (folder / MARKER).stat().st_mode & 0o444 == 0o444


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")


@pytest.mark.parametrize("given", [True, False])
def test_others_can_neither_list_nor_lock_a_claimed_folder(folder: Path, given: bool) -> None:
    if given:
        folder.mkdir()
        folder.chmod(0o755)
    claim_folder(folder, "me")
    assert folder.stat().st_mode & 0o777 == 0o711


def test_a_folder_that_an_older_version_claimed_is_closed_to_others(folder: Path) -> None:
    claim_folder(folder, "me")
    folder.chmod(0o755)
    claim_folder(folder, "me")
    assert folder.stat().st_mode & 0o777 == 0o711


def test_a_folder_that_was_given_gets_its_permissions_back(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    claim_folder(folder, "me")
    marker.remove(folder, "me")
    assert folder.stat().st_mode & 0o777 == 0o755


@needs_root
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, 1234, 1234)
    with pytest.raises(TestbedError, match="belongs to another user"):
        claim_folder(folder, "me")


@needs_root
def test_a_folder_of_who_called_sudo_is_accepted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    os.chown(folder, 1234, 1234)
    monkeypatch.setenv("SUDO_UID", "1234")
    assert claim_folder(folder, "me").id == "me"


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_a_folder_that_others_can_write_to_is_refused(folder: Path, mode: int) -> None:
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(TestbedError, match="can be written to by other users"):
        claim_folder(folder, "me")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize(("mode", "who"), [(0o777, "everybody"), (0o775, "its group"), (0o1777, None)])
def test_a_folder_that_others_can_replace_is_refused(
    tmp_path: Path, mode: int, who: str | None, is_there: bool
) -> None:
    """It is refused for any folder above it, and before anything is made."""
    above, folder = tmp_path / "a", tmp_path / "a" / "b" / "f"
    folder.parent.mkdir(parents=True)
    if is_there:
        folder.mkdir()
    above.chmod(mode)
    if who is None:
        assert claim_folder(folder, "me").id == "me"
    else:
        with pytest.raises(TestbedError, match=f"/a can be written to by {who}"):
            claim_folder(folder, "me")
        assert names(folder.parent) == ["f"] * is_there


@needs_root
@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("mode", [0o755, 0o1777])
def test_a_folder_below_one_of_another_user_is_refused(tmp_path: Path, mode: int, is_there: bool) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs").chmod(mode)
    os.chown(tmp_path / "theirs", 1234, 1234)
    folder = tmp_path / "theirs" / "b" / "f"
    if is_there:
        folder.mkdir(parents=True)
    with pytest.raises(TestbedError, match="theirs belongs to another user"):
        claim_folder(folder, "me")
    assert not (folder / MARKER).exists()


@needs_root
def test_a_folder_above_may_be_a_link_of_ours_and_not_one_of_another_user(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert claim_folder(tmp_path / "link" / "f", "me").id == "me"
    os.chown(tmp_path / "link", 1234, 1234, follow_symlinks=False)
    with pytest.raises(TestbedError, match="link belongs to another user"):
        claim_folder(tmp_path / "link" / "g", "me")


def test_where_a_link_above_leads_to_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "open" / "real").mkdir(parents=True)
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path / "open" / "real")
    with pytest.raises(TestbedError, match="open can be written to by everybody"):
        claim_folder(tmp_path / "link" / "f", "me")


@pytest.mark.parametrize("target", ["precious", "nowhere"])
def test_a_folder_that_is_a_link_is_neither_claimed_nor_emptied(folder: Path, tmp_path: Path, target: str) -> None:
    claim_folder(tmp_path / "precious", "me")
    (tmp_path / "precious" / "x").touch()
    folder.symlink_to(tmp_path / target)
    for action in (claim_folder, check_claimable, remove):
        with pytest.raises(TestbedError, match="f is a link"):
            action(folder, "me")
    assert names(tmp_path / "precious") == [MARKER, "x"]


def test_a_link_that_was_prepared_at_the_name_of_a_claim_is_not_followed(folder: Path, tmp_path: Path) -> None:
    """Whoever may write to the folder above, such as /tmp, may know how claims are named."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / MARKER).touch()
    folder.with_name(".f.coldstart-new").symlink_to(tmp_path / "precious")
    claim_folder(folder, "me")
    assert (folder.is_symlink(), names(folder)) == (False, [MARKER])
    assert remove(folder, "me")
    assert names(tmp_path / "precious") == [MARKER]


@needs_root
def test_a_leftover_of_another_user_is_left_alone(folder: Path) -> None:
    theirs = folder.with_name(".f.coldstart-new-theirs")
    theirs.mkdir()
    (theirs / MARKER).touch()
    os.chown(theirs, 1234, 1234)
    remove(folder, "me")
    assert names(theirs) == [MARKER]


def test_a_claim_that_another_process_made_first_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken(where: Path, claim: Claim, mode: int = 0o644) -> None:
        monkeypatch.undo()
        claim_folder(folder, "me")
        marker.write(where, claim, mode)

    monkeypatch.setattr(marker, "write", overtaken)
    assert claim_folder(folder, "me") == read_claim(folder)
    assert names(folder.parent) == ["f"]


def test_a_link_that_came_meanwhile_is_not_followed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken(where: Path, claim: Claim, mode: int = 0o644) -> None:
        monkeypatch.undo()
        folder.symlink_to(where)
        marker.write(where, claim, mode)

    monkeypatch.setattr(marker, "write", overtaken)
    with pytest.raises(TestbedError, match="f is a link"):
        claim_folder(folder, "me")
    assert names(folder.parent) == ["f"]


def test_a_marker_that_is_a_link_is_not_read(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (folder / MARKER).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFileError, match="is a link"):
        read_claim(folder)


def test_a_marker_is_not_written_through_a_link(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (tmp_path / "precious").write_text("precious")
    (folder / f".{MARKER}.new").symlink_to(tmp_path / "precious")
    with pytest.raises(UnsafeFileError, match="is a link"):
        claim_folder(folder, "me")
    assert (tmp_path / "precious").read_text() == "precious"


@contextmanager
def no_room() -> Iterator[None]:
    """What a full disk does to files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_claim_for_which_there_is_no_room_leaves_nothing(tmp_path: Path) -> None:
    with no_room(), pytest.raises(OSError, match="File too large"):
        claim_folder(tmp_path / "new", "me")
    assert list(tmp_path.iterdir()) == []


def test_a_claim_can_be_taken_back_while_nothing_else_is_there(tmp_path: Path) -> None:
    claim_folder(tmp_path / "made", "me")
    unclaim(tmp_path / "made")
    (tmp_path / "given").mkdir()
    claim_folder(tmp_path / "given", "me")
    unclaim(tmp_path / "given")
    assert [(path.name, list(path.iterdir())) for path in tmp_path.iterdir()] == [("given", [])]


def test_a_claim_under_which_something_was_made_stays(tmp_path: Path) -> None:
    claim_folder(tmp_path / "made", "me")
    (tmp_path / "made" / "x").touch()
    unclaim(tmp_path / "made")
    assert read_claim(tmp_path / "made") is not None
