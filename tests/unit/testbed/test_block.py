"""What a folder is on, on machines as their kernels tell of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.testbed.block import Filesystem, disk_of, filesystem_of, kept_in_memory, model_of
from tests.unit.testbed.machine import Machine, desktop, raspberry_pi


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with nothing on it."""
    return Machine(tmp_path)


def test_a_board_keeps_its_folders_on_journaled_ext4(tmp_path: Path) -> None:
    roots = raspberry_pi(tmp_path).roots
    assert filesystem_of(Path("/any/where"), roots) == Filesystem(
        kind="ext4", point=Path("/"), device="mmcblk0p2", journal=True
    )


def test_the_deepest_mount_holds_a_folder(machine: Machine, tmp_path: Path) -> None:
    machine.mount("0:40", tmp_path / "data", "btrfs", "none")
    machine.mount("0:41", "/", "xfs", "none")
    filesystem = filesystem_of(tmp_path / "data" / "later", machine.roots)
    assert filesystem is not None
    assert (filesystem.kind, filesystem.point) == ("btrfs", tmp_path / "data")


def test_a_mount_does_not_hold_a_folder_whose_name_only_begins_alike(machine: Machine, tmp_path: Path) -> None:
    machine.mount("0:40", tmp_path / "data", "btrfs", "none")
    assert filesystem_of(tmp_path / "data-2", machine.roots) is None


def test_the_later_of_two_mounts_on_one_point_covers_the_earlier(machine: Machine) -> None:
    machine.mount("0:40", "/", "rootfs", "none")
    machine.mount("0:41", "/", "btrfs", "none")
    filesystem = filesystem_of(Path("/any"), machine.roots)
    assert filesystem is not None
    assert filesystem.kind == "btrfs"


def test_a_link_is_followed_to_what_stores_it(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "data")
    machine.mount("0:40", tmp_path / "data", "btrfs", "none")
    assert filesystem_of(tmp_path / "link" / "x", machine.roots) is not None


def test_without_a_mount_table_the_filesystem_is_unknown(machine: Machine) -> None:
    assert filesystem_of(Path("/"), machine.roots) is None


def test_a_device_the_kernel_lists_under_no_number_is_known_by_its_source(machine: Machine) -> None:
    machine.mount("0:33", "/", "btrfs", "/dev/coldstart-nvme0n1p2")
    filesystem = filesystem_of(Path("/"), machine.roots)
    assert filesystem is not None
    assert filesystem.device == "coldstart-nvme0n1p2"


def test_a_source_that_is_a_link_is_followed_to_the_device(machine: Machine, tmp_path: Path) -> None:
    """LVM names its volumes /dev/mapper/…, links to the kernel's names."""
    (tmp_path / "vg-root").symlink_to("dm-7")
    machine.mount("0:33", "/", "btrfs", f"/dev/..{tmp_path / 'vg-root'}")
    filesystem = filesystem_of(Path("/"), machine.roots)
    assert filesystem is not None
    assert filesystem.device == "dm-7"


@pytest.mark.parametrize("source", ["/dev/root", "server:/export", "overlay"])
def test_a_source_that_is_no_device_names_none(machine: Machine, source: str) -> None:
    machine.mount("0:33", "/", "ext4", source)
    filesystem = filesystem_of(Path("/"), machine.roots)
    assert filesystem is not None
    assert filesystem.device is None


@pytest.mark.parametrize(
    ("kind", "journal"),
    [
        *(("xfs", True), ("jfs", True), ("reiserfs", True), ("nilfs2", True), ("ext2", False), ("ext4", False)),
        *(("ext3", False), ("btrfs", None), ("overlay", None), ("tmpfs", None)),
    ],
)
def test_a_filesystem_has_a_journal_by_its_kind_or_by_what_the_kernel_lists(
    machine: Machine, kind: str, journal: bool | None
) -> None:
    machine.mount("8:1", "/", kind, "/dev/sda1")
    machine.add_disk("sda/sda1", "8:1")
    machine.add_journal("sda10-8")
    filesystem = filesystem_of(Path("/"), machine.roots)
    assert filesystem is not None
    assert filesystem.journal is journal


@pytest.mark.parametrize("kind", ["ext3", "ext4"])
def test_ext_has_a_journal_where_the_kernel_lists_one_for_its_device(machine: Machine, kind: str) -> None:
    machine.mount("8:1", "/", kind, "/dev/sda1")
    machine.add_disk("sda/sda1", "8:1")
    machine.add_journal("sda1-8")
    filesystem = filesystem_of(Path("/"), machine.roots)
    assert filesystem is not None
    assert filesystem.journal is True


@pytest.mark.parametrize(("kind", "journal"), [("ext4", None), ("ext2", False)])
def test_on_an_unknown_device_a_journal_is_unknown_unless_the_kind_has_none(
    machine: Machine, kind: str, journal: bool | None
) -> None:
    machine.mount("0:33", "/", kind, "/dev/root")
    filesystem = filesystem_of(Path("/"), machine.roots)
    assert filesystem is not None
    assert filesystem.journal is journal


@pytest.mark.parametrize(
    ("kind", "journal", "words"),
    [
        ("ext4", True, "journaled ext4"),
        ("ext3", False, "ext3 without a journal"),
        ("xfs", True, "xfs"),
        ("btrfs", None, "btrfs"),
    ],
)
def test_a_filesystem_in_words_tells_of_the_journal_where_it_could_lack_one(
    kind: str, journal: bool | None, words: str
) -> None:
    assert str(Filesystem(kind=kind, point=Path("/"), device="sda1", journal=journal)) == words


def test_a_mapper_is_looked_through_to_the_partition(tmp_path: Path) -> None:
    assert disk_of(Path("/any"), desktop(tmp_path).roots) == "nvme0n1p3"


def test_of_several_disks_under_a_mapper_the_first_by_name_counts(tmp_path: Path) -> None:
    pc = desktop(tmp_path)
    pc.write("sys/devices/virtual/block/dm-0/slaves/loop9")
    assert disk_of(Path("/any"), pc.roots) == "loop9"


@pytest.mark.parametrize("mark", ["", " (deleted)"])
def test_a_loop_is_looked_through_to_the_disk_of_its_file(tmp_path: Path, mark: str) -> None:
    pi = raspberry_pi(tmp_path)
    pi.mount("7:0", tmp_path / "data", "ext4", "/dev/loop0")
    pi.mount("0:44", tmp_path / "file (deleted)", "tmpfs", "tmpfs")
    pi.add_disk("virtual/block/loop0", "7:0")
    pi.write("sys/devices/virtual/block/loop0/loop/backing_file", f"{tmp_path / 'file'}{mark}\n")
    assert disk_of(tmp_path / "data" / "x", pi.roots) == "mmcblk0p2"


def test_a_loop_whose_file_is_nowhere_is_on_no_disk(machine: Machine, tmp_path: Path) -> None:
    machine.mount("7:0", tmp_path / "data", "ext4", "/dev/loop0")
    machine.add_disk("virtual/block/loop0", "7:0")
    machine.write("sys/devices/virtual/block/loop0/loop/backing_file", "/nowhere\n")
    assert disk_of(tmp_path / "data", machine.roots) is None


def test_a_loop_upon_itself_is_on_no_disk(machine: Machine) -> None:
    machine.mount("7:0", "/", "ext4", "/dev/loop0")
    machine.add_disk("virtual/block/loop0", "7:0")
    machine.write("sys/devices/virtual/block/loop0/loop/backing_file", "/image\n")
    assert disk_of(Path("/any"), machine.roots) is None


def test_without_a_mount_table_the_disk_is_unknown(machine: Machine) -> None:
    assert disk_of(Path("/"), machine.roots) is None


def test_a_folder_in_memory_is_on_no_disk(machine: Machine) -> None:
    machine.mount("0:44", "/", "tmpfs", "tmpfs")
    assert disk_of(Path("/any"), machine.roots) is None


def test_a_card_calls_itself_by_its_name(tmp_path: Path) -> None:
    assert model_of("mmcblk0", raspberry_pi(tmp_path).roots) == "SC32G"


def test_a_partition_is_called_what_its_disk_is(tmp_path: Path) -> None:
    assert model_of("nvme0n1p3", desktop(tmp_path).roots) == "Samsung SSD 970 EVO Plus 1TB"


def test_a_model_goes_before_a_name(tmp_path: Path) -> None:
    pi = raspberry_pi(tmp_path)
    pi.write("sys/class/block/mmcblk0/device/model", "Model\n")
    assert model_of("mmcblk0", pi.roots) == "Model"


def test_an_empty_model_is_none(tmp_path: Path) -> None:
    pi = raspberry_pi(tmp_path)
    pi.write("sys/class/block/mmcblk0/device/model", "   \n")
    assert model_of("mmcblk0", pi.roots) == "SC32G"


def test_a_virtual_disk_has_no_model(tmp_path: Path) -> None:
    assert model_of("dm-0", desktop(tmp_path).roots) is None


def on_loop(machine: Machine, folder: Path, *, direct_io: str, under: str = "ext4") -> None:
    """The folder on a loop device, whose file is on such a filesystem."""
    machine.mount("7:3", folder, "ext4", "/dev/loop3")
    machine.write("sys/class/block/loop3/loop/backing_file", f"{folder.parent}/data.img\n")
    machine.write("sys/class/block/loop3/loop/dio", f"{direct_io}\n")
    machine.mount("0:41", "/", under, "none")


def test_a_loop_device_without_direct_io_keeps_what_is_put_out_of_memory(machine: Machine, tmp_path: Path) -> None:
    on_loop(machine, tmp_path / "data", direct_io="0")
    assert "does not do direct I/O" in (kept_in_memory(tmp_path / "data", machine.roots) or "")


def test_a_loop_device_with_direct_io_keeps_nothing(machine: Machine, tmp_path: Path) -> None:
    on_loop(machine, tmp_path / "data", direct_io="1")
    assert kept_in_memory(tmp_path / "data", machine.roots) is None


def test_what_a_loop_devices_file_is_on_may_keep_it(machine: Machine, tmp_path: Path) -> None:
    on_loop(machine, tmp_path / "data", direct_io="1", under="zfs")
    assert "ARC" in (kept_in_memory(tmp_path / "data", machine.roots) or "")


@pytest.mark.parametrize(("kind", "keeps"), [("zfs", True), ("tmpfs", True), ("virtiofs", True), ("ext4", False)])
def test_a_filesystem_with_a_cache_of_its_own_keeps_what_is_put_out_of_memory(
    machine: Machine, kind: str, keeps: bool
) -> None:
    machine.mount("0:40", "/", kind, "none")
    assert (kept_in_memory(Path("/any"), machine.roots) is not None) is keeps


def test_a_filesystem_that_is_not_known_shows_nothing_of_the_kind(machine: Machine) -> None:
    assert kept_in_memory(Path("/any"), machine.roots) is None
