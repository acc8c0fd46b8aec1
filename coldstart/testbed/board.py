"""The board, read from what its kernel and firmware tell: CPUs, power, heat, storage, memory, cgroups.

Sources: Documentation/admin-guide/pm/cpufreq.rst, Documentation/driver-api/mmc/mmc-dev-attrs.rst,
Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import os
from pathlib import Path

from coldstart.model.board import BoardFacts, Cluster, StorageMedium
from coldstart.testbed import block, cgroups, mounts
from coldstart.testbed.block import HERE, SystemRoots
from coldstart.testbed.conditions import read_sensors
from coldstart.testbed.host import host_facts
from coldstart.testbed.sysfs import read_integer, read_text
from coldstart.testbed.throttling import AskFirmware, ask_vcgencmd, throttling


def board_facts(
    data_root: Path,
    roots: SystemRoots = HERE,
    etc: Path = Path("/etc"),
    var: Path = Path("/var"),
    ask_firmware: AskFirmware = ask_vcgencmd,
) -> BoardFacts:
    """The board; ``data_root`` is where the engine's data would be, and need not exist yet."""
    return BoardFacts(
        host=host_facts(data_root, roots, etc, var),
        clusters=clusters(roots),
        temperature_c=read_sensors().temperature_c,
        throttling=throttling(roots, ask_firmware),
        storage=storage_medium(data_root, roots),
        swap_bytes=_swap_bytes(roots),
        zram_bytes=_zram_bytes(roots),
        cgroup_controllers=controllers(roots),
        has_psi=(roots.proc / "pressure" / "cpu").exists(),
    )


def clusters(roots: SystemRoots = HERE) -> tuple[Cluster, ...]:
    """CPUs by cpufreq policy; none where the kernel does not scale their frequency."""
    found = []
    for policy in (roots.sys / "devices/system/cpu/cpufreq").glob("policy*"):
        cpus = (read_text(policy / "related_cpus") or read_text(policy / "affected_cpus") or "").split()
        found.append(
            Cluster(
                cpus=tuple(sorted(int(cpu) for cpu in cpus)),
                governor=read_text(policy / "scaling_governor"),
                min_khz=read_integer(policy / "cpuinfo_min_freq"),
                max_khz=read_integer(policy / "cpuinfo_max_freq"),
            )
        )
    return tuple(sorted(found, key=lambda cluster: cluster.cpus))


def storage_medium(data_root: Path, roots: SystemRoots = HERE) -> StorageMedium:
    """The disk and filesystem that hold ``data_root``; partitions are looked through to their disk."""
    filesystem, disk = block.filesystem_of(data_root, roots), block.disk_of(data_root, roots)
    node = None if disk is None else Path(os.path.realpath(roots.sys / "class" / "block" / disk))
    if node is not None and (node / "partition").exists():
        node = node.parent
    return StorageMedium(
        device=None if node is None else node.name,
        kind=None if node is None else _medium_kind(node),
        name=None if disk is None else block.model_of(disk, roots),
        manufactured=None if node is None else read_text(node / "device" / "date"),
        wear_percent=None if node is None else _wear_percent(node),
        filesystem=None if filesystem is None else filesystem.kind,
        journal=None if filesystem is None else filesystem.journal,
        free_bytes=_free_bytes(data_root),
    )


def controllers(roots: SystemRoots = HERE) -> tuple[str, ...]:
    """The cgroup controllers that can be used: v2's at its root, v1's that are enabled."""
    try:
        table = mounts.read(roots.proc)
    except OSError:
        return ()
    found: set[str] = set()
    for point in cgroups.points(table, "cgroup2"):
        found |= set((read_text(point / "cgroup.controllers") or "").split())
    for line in (read_text(roots.proc / "cgroups") or "").splitlines():
        fields = line.split()
        if len(fields) == 4 and not line.startswith("#") and fields[3] == "1" and cgroups.points(table, "cgroup"):
            found.add(fields[0])
    return tuple(sorted(found))


def _medium_kind(node: Path) -> str:
    kind = read_text(node / "device" / "type")
    if node.name.startswith("mmcblk"):
        return "eMMC" if kind == "MMC" else "SD"
    if node.name.startswith("nvme"):
        return "NVMe"
    return "disk" if (node / "device" / "model").exists() else "virtual"


def _wear_percent(node: Path) -> int | None:
    """EXT_CSD's DEVICE_LIFE_TIME_EST_TYP_A and _B: 0x01 is up to 10 % used, 0x0b is past its life; 0 not defined."""
    stages = [int(word, 16) for word in (read_text(node / "device" / "life_time") or "").split()]
    worst = max((stage for stage in stages if stage > 0), default=None)
    return None if worst is None else worst * 10


def _free_bytes(path: Path) -> int | None:
    for folder in (path, *path.parents):
        try:
            stats = os.statvfs(folder)
        except OSError:
            continue
        return stats.f_bavail * stats.f_frsize
    return None


def _swap_bytes(roots: SystemRoots) -> int:
    lines = (read_text(roots.proc / "swaps") or "").splitlines()[1:]
    return sum(int(line.split()[2]) * 1024 for line in lines if len(line.split()) > 2)


def _zram_bytes(roots: SystemRoots) -> int:
    return sum(read_integer(path) or 0 for path in (roots.sys / "block").glob("zram*/disksize"))
