"""The mount table, in the form of proc_pid_mountinfo(5)."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from coldstart.errors import TestbedError
from coldstart.testbed import mounts, shell
from coldstart.testbed.mounts import Mount, parse
from tests.unit.testbed.machine import Machine
from tests.unit.testbed.records import add_program

LINE = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"


def test_a_line_is_read_by_its_fields() -> None:
    assert parse(LINE) == (Mount(device="98:0", point=Path("/mnt2"), kind="ext3", source="/dev/root"),)


@pytest.mark.parametrize("optional", ["", "shared:1 ", "shared:1 master:2 propagate_from:3 "])
def test_any_number_of_optional_fields_is_passed_over(optional: str) -> None:
    assert parse(LINE.replace("master:1 ", optional)) == parse(LINE)


def test_mounts_keep_the_tables_order() -> None:
    assert [mount.kind for mount in parse(LINE + LINE.replace("ext3", "ext4"))] == ["ext3", "ext4"]


def test_what_is_written_in_octal_is_read() -> None:
    line = LINE.replace("/mnt2", r"/a\040b\134c\011d").replace("/dev/root", r"//nas/my\040share")
    mount = parse(line)[0]
    assert (mount.point, mount.source) == (Path("/a b\\c\td"), "//nas/my share")


@pytest.mark.parametrize(
    "line", ["", "36 35 98:0 /mnt1 /mnt2 rw", "36 35 98:0 / - ext3 x rw", "1 2 3:4 / /x rw - ext3"]
)
def test_a_line_that_is_not_whole_is_passed_over(line: str) -> None:
    assert parse(f"{line}\n{LINE}") == parse(LINE)


def test_our_own_mount_namespace_is_read(tmp_path: Path) -> None:
    Machine(tmp_path).mount("8:1", "/", "ext4", "/dev/sda1")
    assert mounts.read(tmp_path / "proc") == (Mount(device="8:1", point=Path("/"), kind="ext4", source="/dev/sda1"),)


def test_the_running_kernels_table_is_read_unless_another_is_given() -> None:
    assert Path("/") in {mount.point for mount in mounts.read()}


def test_a_path_that_is_no_text_is_read(tmp_path: Path) -> None:
    Machine(tmp_path).write("proc/self/mountinfo")
    (tmp_path / "proc/self/mountinfo").write_bytes(LINE.encode().replace(b"/mnt2", b"/\xff"))
    assert mounts.read(tmp_path / "proc")[0].point == Path("/\udcff")


def test_what_is_mounted_at_or_below_a_folder_is_undone_last_first(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    for point in ("/", "/a", "/ab", "/a/b", "/a"):
        machine.mount("0:1", point, "tmpfs", "tmpfs")
    found = mounts.below(Path("/a"), machine.roots.proc)
    assert [str(mount.point) for mount in found] == ["/a", "/a/b", "/a"]


def test_where_nothing_is_mounted_nothing_is_unmounted(tmp_path: Path) -> None:
    assert mounts.unmount_below(tmp_path) == 0


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is mounted, the last first, as the kernel would tell; the next look at it finds the first one gone."""
    points = ["/fake/b", "/fake/a"]

    def below(_: Path) -> tuple[Mount, ...]:
        found = tuple(Mount(device="0:1", point=Path(point), kind="tmpfs", source="tmpfs") for point in points)
        del points[:1]
        return found

    monkeypatch.setattr(mounts, "below", below)
    return points


def test_everything_mounted_is_unmounted_in_order(
    tmp_path: Path, programs: Path, mounted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "time", SimpleNamespace(monotonic_ns=time.monotonic_ns, sleep=pytest.fail))
    add_program(programs, "umount", f'#!/bin/sh\necho "$@" >> {tmp_path}/said\n')
    assert mounted == ["/fake/b", "/fake/a"]
    count = mounts.unmount_below(Path("/fake"))
    assert (count, (tmp_path / "said").read_text()) == (2, "/fake/b\n/fake/a\n")


def test_a_mount_in_use_is_waited_for_and_counted_when_it_is_gone(
    programs: Path, mounted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(mounts, "time", SimpleNamespace(monotonic_ns=time.monotonic_ns, sleep=waits.append))
    add_program(programs, "umount", '#!/bin/sh\n[ "$1" = /fake/a ]\n')
    assert mounted
    count = mounts.unmount_below(Path("/fake"))
    assert (count, len(waits)) == (1, 1)


def test_a_mount_that_stays_in_use_is_an_error_that_says_who_to_look_for(
    programs: Path, mounted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "_UNMOUNT_TIMEOUT_NS", -1)
    add_program(programs, "umount", "#!/bin/sh\necho 'umount: /fake/b: target is busy.' >&2\nexit 32\n")
    assert mounted
    with pytest.raises(TestbedError, match=r"target is busy\. Find who uses it: fuser -vm /fake/b"):
        mounts.unmount_below(Path("/fake"))


@pytest.mark.usefixtures("mounted")
def test_an_unmounting_that_does_not_end_is_an_error(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a disk that does not answer."""
    monkeypatch.setattr(mounts, "_UNMOUNT_TIMEOUT_NS", -1)
    monkeypatch.setattr(shell, "_TIMEOUT_S", 0.2)
    add_program(programs, "umount", "#!/bin/sh\nexec sleep 20\n")
    with pytest.raises(TestbedError, match=r"^umount /fake/b did not end within 0\.2 s\. Find who uses it: fuser -vm"):
        mounts.unmount_below(Path("/fake"))
