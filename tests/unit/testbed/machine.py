"""Machines as their kernels tell of them: small trees of /proc, /sys and /etc, following public documentation.

The files' forms are those of proc(5), proc_pid_mountinfo(5), Documentation/ABI/testing/sysfs-block and sysfs-class-dmi,
Documentation/devicetree/usage-model.rst, machine-id(5) and os-release(5); the values are those the makers publish.
"""

from __future__ import annotations

from pathlib import Path

from coldstart.testbed.block import SystemRoots

PI_CPUINFO = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

processor\t: 1
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

Revision\t: c03114
Model\t\t: Raspberry Pi 4 Model B Rev 1.4
"""
PC_CPUINFO = """\
processor\t: 0
vendor_id\t: GenuineIntel
model\t\t: 158
model name\t: Intel(R) Core(TM) i5-7500  CPU @ 3.40GHz

processor\t: 1
vendor_id\t: GenuineIntel
model\t\t: 158
model name\t: Intel(R) Core(TM) i5-7500  CPU @ 3.40GHz
"""


class Machine:
    """A tree of kernel files below a folder, empty at first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.roots = SystemRoots(proc=folder / "proc", sys=folder / "sys")
        self.etc = folder / "etc"

    def write(self, path: str, content: str = "") -> None:
        """Write a file, such as ``proc/loadavg``."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def mount(self, device: str, point: Path | str, kind: str, source: str) -> None:
        """Add a line to the mount table, where a space is written in octal."""
        where = str(point).replace(" ", r"\040")
        table = self.folder / "proc/self/mountinfo"
        before = table.read_text() if table.exists() else ""
        self.write(
            "proc/self/mountinfo", f"{before}22 1 {device} / {where} rw,relatime shared:1 - {kind} {source} rw\n"
        )

    def add_disk(self, path: str, device: str) -> None:
        """Add a block device: its folder below ``sys/devices``, and the two links by which it is looked up."""
        node = self.folder / "sys/devices" / path
        node.mkdir(parents=True, exist_ok=True)
        for link in (f"sys/class/block/{node.name}", f"sys/dev/block/{device}"):
            (self.folder / link).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / link).symlink_to(node)

    def add_policy(self, number: int, cpus: str, governor: str, min_khz: int, max_khz: int) -> None:
        """Add CPUs whose frequency is set together."""
        policy = f"sys/devices/system/cpu/cpufreq/policy{number}"
        self.write(f"{policy}/related_cpus", f"{cpus} \n")
        self.write(f"{policy}/scaling_governor", f"{governor}\n")
        self.write(f"{policy}/cpuinfo_min_freq", f"{min_khz}\n")
        self.write(f"{policy}/cpuinfo_max_freq", f"{max_khz}\n")

    def add_journal(self, name: str) -> None:
        """Add the folder that jbd2 has for a journal in use, such as ``sda1-8``."""
        (self.folder / "proc/fs/jbd2" / name).mkdir(parents=True)


def raspberry_pi(folder: Path) -> Machine:
    """An arm64 board with journaled ext4 on its SD card, cgroup v2."""
    pi = Machine(folder)
    card = "platform/emmc2bus/fe340000.mmc/mmc_host/mmc0/mmc0:aaaa"
    pi.mount("179:2", "/", "ext4", "/dev/root")
    pi.mount("0:26", "/sys/fs/cgroup", "cgroup2", "cgroup2")
    pi.add_disk(f"{card}/block/mmcblk0", "179:0")
    pi.add_disk(f"{card}/block/mmcblk0/mmcblk0p2", "179:2")
    pi.write(f"sys/devices/{card}/block/mmcblk0/mmcblk0p2/partition", "2\n")
    pi.write(f"sys/devices/{card}/block/mmcblk0/device/name", "SC32G\n")
    pi.add_journal("mmcblk0p2-8")
    pi.write("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    pi.write("proc/cpuinfo", PI_CPUINFO)
    pi.write("proc/meminfo", "MemTotal:        3885396 kB\nMemFree:         2500000 kB\n")
    pi.write("etc/machine-id", "b08dfa6083e7567a1921a715000001fb\n")
    pi.write("etc/os-release", 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n')
    return pi


def jetson(folder: Path) -> Machine:
    """An arm64 board of two core clusters with its system on eMMC and a power mode, cgroup v1."""
    board = Machine(folder)
    chip = "platform/3460000.mmc/mmc_host/mmc0/mmc0:0001"
    board.mount("179:1", "/", "ext4", "/dev/mmcblk0p1")
    board.mount("0:29", "/sys/fs/cgroup/memory", "cgroup", "cgroup")
    board.add_disk(f"{chip}/block/mmcblk0", "179:0")
    board.add_disk(f"{chip}/block/mmcblk0/mmcblk0p1", "179:1")
    board.write(f"sys/devices/{chip}/block/mmcblk0/mmcblk0p1/partition", "1\n")
    for name, text in (("name", "G1M15L"), ("type", "MMC"), ("date", "03/2021"), ("life_time", "0x01 0x09")):
        board.write(f"sys/devices/{chip}/block/mmcblk0/device/{name}", f"{text}\n")
    board.add_journal("mmcblk0p1-8")
    board.write("proc/device-tree/model", "NVIDIA Jetson Xavier NX Developer Kit\0")
    board.write("proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t3\t60\t1\nmemory\t7\t80\t0\n")
    board.write("proc/meminfo", "MemTotal:        7858488 kB\n")
    board.write("var/lib/nvpmodel/status", "pmode:0002 fmode:quiet\n")
    board.write("sys/block/zram0/disksize", "1005879296\n")
    board.add_policy(0, "0 1 2 3", "schedutil", 115200, 1420800)
    board.add_policy(4, "4 5", "performance", 115200, 1907200)
    return board


def desktop(folder: Path) -> Machine:
    """An x86 machine with XFS on a logical volume of an NVMe disk, cgroup v1 with an empty v2 beside it."""
    pc = Machine(folder)
    disk = "pci0000:00/0000:00:1d.0/0000:01:00.0/nvme/nvme0/nvme0n1"
    pc.mount("253:0", "/", "xfs", "/dev/mapper/vg-root")
    pc.mount("0:29", "/sys/fs/cgroup/memory", "cgroup", "cgroup")
    pc.mount("0:30", "/sys/fs/cgroup/unified", "cgroup2", "cgroup2")
    pc.add_disk(disk, "259:0")
    pc.add_disk(f"{disk}/nvme0n1p3", "259:3")
    pc.add_disk("virtual/block/dm-0", "253:0")
    pc.write("sys/devices/virtual/block/dm-0/slaves/nvme0n1p3")
    pc.write(f"sys/devices/{disk}/nvme0n1p3/partition", "3\n")
    pc.write(f"sys/devices/{disk}/device/model", "Samsung SSD 970 EVO Plus  1TB           \n")
    pc.write("sys/class/dmi/id/sys_vendor", "Dell Inc.\n")
    pc.write("sys/class/dmi/id/product_name", "OptiPlex 7050\n")
    pc.write("proc/cpuinfo", PC_CPUINFO)
    pc.write("proc/meminfo", "MemTotal:       16303412 kB\n")
    pc.write("etc/os-release", "PRETTY_NAME='Fedora Linux 41 (Server Edition)'\n")
    return pc
