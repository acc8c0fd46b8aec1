"""What a folder is stored on: its filesystem, whether that has a journal, the disk under it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from coldstart.testbed import mounts
from coldstart.testbed.sysfs import read_text

_JOURNALED = {"xfs", "jfs", "reiserfs", "nilfs2"}  # always; ext3 and ext4 are looked up, others have their own ways
_KEPT_ELSEWHERE = {
    "zfs": "ZFS keeps what it read in a cache of its own (ARC)",
    "tmpfs": "a tmpfs is memory itself",
    "ramfs": "a ramfs is memory itself",
    "9p": "9p leaves it in the cache of the machine that holds the files",
    "virtiofs": "virtiofs leaves it in the cache of the machine that holds the files",
}
_MAX_DEPTH = 8  # loop on a loop, mapper on a mapper: nobody stacks more


class SystemRoots(msgspec.Struct, frozen=True):
    """Where the kernel's files are; tests put recorded trees there."""

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")


HERE = SystemRoots()


class Filesystem(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder is on. ``journal`` of ``None`` is unknown; ``device`` a kernel name such as ``mmcblk0p2``."""

    kind: str
    point: Path
    device: str | None
    journal: bool | None

    def __str__(self) -> str:
        if self.kind not in {"ext3", "ext4"} or self.journal is None:
            return self.kind
        return f"{'journaled ' if self.journal else ''}{self.kind}{'' if self.journal else ' without a journal'}"


def filesystem_of(path: Path, roots: SystemRoots = HERE) -> Filesystem | None:
    """The filesystem that holds ``path``, which need not exist yet; ``None`` if the mount table does not tell."""
    try:
        table = mounts.read(roots.proc)
    except OSError:
        return None
    real = Path(os.path.realpath(path))
    holders = [mount for mount in table if real.is_relative_to(mount.point)]
    if not holders:
        return None
    deepest = max(len(mount.point.parts) for mount in holders)
    mount = [mount for mount in holders if len(mount.point.parts) == deepest][-1]
    device = _device_name(mount, roots)
    return Filesystem(kind=mount.kind, point=mount.point, device=device, journal=_journal(mount.kind, device, roots))


def disk_of(path: Path, roots: SystemRoots = HERE) -> str | None:
    """Kernel name of the disk (or partition) that finally stores ``path``: loops and mappers are looked through."""
    filesystem = filesystem_of(path, roots)
    device = filesystem.device if filesystem else None
    for _ in range(_MAX_DEPTH):
        if device is None:
            return None
        node = roots.sys / "class" / "block" / device
        backing = read_text(node / "loop" / "backing_file")
        slaves = sorted(slave.name for slave in (node / "slaves").glob("*"))
        if backing:
            under = filesystem_of(Path(backing.removesuffix(" (deleted)")), roots)
            device = under.device if under else None
        elif slaves:
            device = slaves[0]
        else:
            return device
    return None


def kept_in_memory(path: Path, roots: SystemRoots = HERE) -> str | None:
    """Why a file's pages stay in some memory though the page cache lets go of them; ``None`` where nothing shows that.

    Whoever reads the file next does not read a disk then. A loop device without direct I/O reads through the page cache
    of the file under it, and some filesystems have caches of their own.
    """
    filesystem = filesystem_of(path, roots)
    for _ in range(_MAX_DEPTH):
        if filesystem is None:
            return None
        if filesystem.kind in _KEPT_ELSEWHERE:
            return _KEPT_ELSEWHERE[filesystem.kind]
        loop = roots.sys / "class" / "block" / (filesystem.device or "none") / "loop"
        backing = read_text(loop / "backing_file")
        if not backing:
            return None
        if read_text(loop / "dio") == "0":
            return "the loop device under it does not do direct I/O, so the file it is on keeps the pages in memory"
        filesystem = filesystem_of(Path(backing.removesuffix(" (deleted)")), roots)
    return None


def model_of(device: str, roots: SystemRoots = HERE) -> str | None:
    """What the disk calls itself (SCSI, NVMe: model; eMMC, SD: name); ``None`` for the nameless (virtual ones)."""
    node = Path(os.path.realpath(roots.sys / "class" / "block" / device))
    if (node / "partition").exists():
        node = node.parent
    names = (read_text(node / "device" / name) for name in ("model", "name"))
    return next((" ".join(name.split()) for name in names if name), None)


def _device_name(mount: mounts.Mount, roots: SystemRoots) -> str | None:
    node = roots.sys / "dev" / "block" / mount.device
    if node.exists():
        return Path(os.path.realpath(node)).name
    if mount.source.startswith("/dev/") and mount.source != "/dev/root":
        return Path(os.path.realpath(mount.source)).name
    return None


def _journal(kind: str, device: str | None, roots: SystemRoots) -> bool | None:
    if kind in _JOURNALED:
        return True
    if kind not in {"ext3", "ext4"} or device is None:
        return False if kind == "ext2" else None
    return any((roots.proc / "fs" / "jbd2").glob(f"{device}-*"))  # a folder for each journal in use
