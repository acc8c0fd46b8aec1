"""The machine's fingerprint, read from what its kernel and distribution tell."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from pathlib import Path

from coldstart.model.host import HostFacts
from coldstart.testbed import block, cgroups, mounts
from coldstart.testbed.block import HERE, SystemRoots
from coldstart.testbed.sysfs import read_text

_SALT = b"coldstart host\0"
_PLACEHOLDERS = re.compile(
    r"to be filled|system (product|manufacturer|name)|default string|not specified|^o\.e\.m", re.IGNORECASE
)

# ARM kernels name a core by implementer and part (MIDR_EL1; Arm's and lscpu's tables).
_ARM_CORES = {
    "0x41:0xb76": "ARM1176",
    "0x41:0xc07": "Cortex-A7",
    "0x41:0xc08": "Cortex-A8",
    "0x41:0xc09": "Cortex-A9",
    "0x41:0xc0f": "Cortex-A15",
    "0x41:0xd03": "Cortex-A53",
    "0x41:0xd04": "Cortex-A35",
    "0x41:0xd05": "Cortex-A55",
    "0x41:0xd07": "Cortex-A57",
    "0x41:0xd08": "Cortex-A72",
    "0x41:0xd09": "Cortex-A73",
    "0x41:0xd0a": "Cortex-A75",
    "0x41:0xd0b": "Cortex-A76",
    "0x41:0xd0c": "Neoverse-N1",
    "0x41:0xd0d": "Cortex-A77",
    "0x41:0xd40": "Neoverse-V1",
    "0x41:0xd41": "Cortex-A78",
    "0x41:0xd42": "Cortex-A78AE",
    "0x41:0xd49": "Neoverse-N2",
    "0x41:0xd4f": "Neoverse-V2",
}


def host_facts(
    data_root: Path, roots: SystemRoots = HERE, etc: Path = Path("/etc"), var: Path = Path("/var")
) -> HostFacts:
    """The host's fingerprint; ``data_root`` is the engine's data folder, whose storage is described."""
    uname = os.uname()
    filesystem = block.filesystem_of(data_root, roots)
    disk = block.disk_of(data_root, roots)
    return HostFacts(
        host_id=_host_id(etc, uname.nodename),
        machine=uname.machine,
        board=_board(roots),
        cpu_model=_cpu_model(roots),
        cpus=os.cpu_count() or 1,
        memory_bytes=_memory_bytes(roots),
        page_bytes=os.sysconf("SC_PAGE_SIZE"),
        kernel=uname.release,
        os_name=_os_name(etc),
        cgroup=_cgroup(roots),
        storage_device=(block.model_of(disk, roots) or disk) if disk else None,
        filesystem=filesystem.kind if filesystem else None,
        filesystem_journal=filesystem.journal if filesystem else None,
        python=platform.python_version(),
        governor=_governor(roots),
        power_mode=_power_mode(var),
    )


def _host_id(etc: Path, hostname: str) -> str:
    secret = read_text(etc / "machine-id") or hostname
    return hashlib.sha256(_SALT + secret.encode()).hexdigest()[:16]


def _board(roots: SystemRoots) -> str | None:
    tree = read_text(roots.proc / "device-tree" / "model") or read_text(roots.sys / "firmware/devicetree/base/model")
    if tree:
        return tree
    parts = [read_text(roots.sys / "class/dmi/id" / name) for name in ("sys_vendor", "product_name")]
    told = [part for part in parts if part and not _PLACEHOLDERS.search(part)]
    return " ".join(told) or None


def _cpu_model(roots: SystemRoots) -> str | None:
    cpuinfo = read_text(roots.proc / "cpuinfo") or ""
    values: dict[str, list[str]] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        values.setdefault(key.strip(), []).append(value.strip())
    if parts := values.get("CPU part"):
        makers = values.get("CPU implementer", [])
        keys = dict.fromkeys(f"{maker.lower()}:{part.lower()}" for maker, part in zip(makers, parts, strict=False))
        return " + ".join(_ARM_CORES.get(key, f"ARM implementer {key.replace(':', ' part ')}") for key in keys) or None
    names = next((values[key] for key in ("model name", "uarch", "cpu model", "cpu") if key in values), [])
    return " + ".join(dict.fromkeys(" ".join(name.split()) for name in names if name)) or None


def _memory_bytes(roots: SystemRoots) -> int:
    found = re.search(r"^MemTotal:\s+(\d+) kB", read_text(roots.proc / "meminfo") or "", re.MULTILINE)
    return int(found.group(1)) * 1024 if found else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _os_name(etc: Path) -> str | None:
    found = re.search(r"^PRETTY_NAME=(.*)$", read_text(etc / "os-release") or "", re.MULTILINE)
    return found.group(1).strip("\"'") or None if found else None


def _governor(roots: SystemRoots) -> str | None:
    policies = (roots.sys / "devices/system/cpu/cpufreq").glob("policy*/scaling_governor")
    return " + ".join(sorted({governor for path in policies if (governor := read_text(path))})) or None


def _power_mode(var: Path) -> str | None:
    """What NVIDIA's nvpmodel service keeps, such as ``mode 2``."""
    match = re.search(r"pmode:0*(\d+)", read_text(var / "lib/nvpmodel/status") or "")
    return None if match is None else f"mode {match[1]}"


def _cgroup(roots: SystemRoots) -> str:
    try:
        table = mounts.read(roots.proc)
    except OSError:
        table = ()
    return cgroups.version(table) or "none"
