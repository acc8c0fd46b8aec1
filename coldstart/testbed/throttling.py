"""Whether heat or a weak supply slows the CPUs down, from a Pi's firmware, Intel's counters or the kernel.

Sources: ``vcgencmd get_throttled`` as documented for Raspberry Pi's firmware;
Documentation/ABI/testing/sysfs-class-thermal; ``thermal_throttle`` of arch/x86/kernel/cpu/mce/therm_throt.c.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable

from coldstart.model.board import Throttling
from coldstart.testbed.block import HERE, SystemRoots
from coldstart.testbed.sysfs import read_integer, read_text

_UNDERVOLTAGE, _CAPPED, _THROTTLED, _SOFT_LIMIT = 1, 2, 4, 8  # get_throttled's bits; 16 higher: since boot
_SLOWED = _CAPPED | _THROTTLED | _SOFT_LIMIT
_SINCE_BOOT = 16
_ASK_LIMIT_S = 5.0
_COOLING_CPU = re.compile(r"cpu|processor|gpu-cluster", re.IGNORECASE)

AskFirmware = Callable[[], str | None]


def ask_vcgencmd() -> str | None:
    """What ``vcgencmd get_throttled`` prints; ``None`` where there is no such command, or it does not answer."""
    if shutil.which("vcgencmd") is None:
        return None
    try:
        done = subprocess.run(
            ["vcgencmd", "get_throttled"], capture_output=True, text=True, check=False, timeout=_ASK_LIMIT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def throttling(roots: SystemRoots = HERE, ask_firmware: AskFirmware = ask_vcgencmd) -> Throttling:
    """What slows the CPUs down: a Pi's firmware, Intel's counters, the kernel's cooling devices."""
    cooling = tuple(
        sorted(
            name
            for device in (roots.sys / "class/thermal").glob("cooling_device*")
            if (read_integer(device / "cur_state") or 0) > 0
            and _COOLING_CPU.search(name := read_text(device / "type") or device.name)
        )
    )
    told = read_text(roots.sys / "devices/platform/soc/soc:firmware/get_throttled") or ask_firmware()
    match = re.search(r"(?:^|=)(?:0x)?([0-9a-fA-F]+)\s*$", told) if told else None
    if match is not None:
        bits = int(match[1], 16)
        return Throttling(
            undervoltage_now=bool(bits & _UNDERVOLTAGE),
            undervoltage_since_boot=bool(bits >> _SINCE_BOOT & _UNDERVOLTAGE),
            throttled_now=bool(bits & _SLOWED),
            throttled_since_boot=bool(bits >> _SINCE_BOOT & _SLOWED),
            cooling=cooling,
        )
    count = throttle_count(roots)
    return Throttling(
        throttled_now=bool(cooling) or None,
        throttled_since_boot=None if count is None else count > 0,
        cooling=cooling,
    )


def throttle_count(roots: SystemRoots = HERE) -> int | None:
    """How often cores were slowed down since boot, all together; ``None`` where nobody counts."""
    counters = (roots.sys / "devices/system/cpu").glob("cpu*/thermal_throttle/core_throttle_count")
    counts = [count for path in counters if (count := read_integer(path)) is not None]
    return sum(counts) if counts else None
