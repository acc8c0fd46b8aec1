"""What the machine went through during a trial: pressure, disk traffic, load, heat, frequency."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from coldstart.model.sample import Conditions
from coldstart.testbed.block import HERE, SystemRoots
from coldstart.testbed.throttling import throttle_count, throttling

_SECTOR_BYTES = 512  # Documentation/admin-guide/iostats.rst: always, whatever the disk's own


class Sensors(NamedTuple):
    """Hottest sensor, mean CPU frequency, and whether heat or a weak supply slows the CPUs down right now."""

    temperature_c: float | None
    frequency_mhz: float | None
    throttled: bool | None = None
    undervoltage: bool | None = None


class Meters(msgspec.Struct, frozen=True, kw_only=True):
    """Counters at one instant. ``None`` is a counter that this kernel does not have."""

    cpu_psi_us: int | None
    io_psi_us: int | None
    memory_psi_us: int | None
    disk_read_bytes: int | None
    disk_write_bytes: int | None
    load_1m: float | None
    throttle_count: int | None


def read_meters(device: str | None, roots: SystemRoots = HERE) -> Meters:
    """Read the counters; ``device`` is the disk's kernel name (`coldstart.testbed.block.disk_of`)."""
    read_bytes, write_bytes = _disk(device, roots)
    return Meters(
        cpu_psi_us=_pressure("cpu", roots),
        io_psi_us=_pressure("io", roots),
        memory_psi_us=_pressure("memory", roots),
        disk_read_bytes=read_bytes,
        disk_write_bytes=write_bytes,
        load_1m=_load(roots),
        throttle_count=throttle_count(roots),
    )


def conditions(before: Meters, after: Meters, sensors: Callable[[], Sensors] | None = None) -> Conditions:
    """What happened between two readings; sensors and load are those of now and of the later one."""
    sensed = (sensors or read_sensors)()
    slowed = _delta(before.throttle_count, after.throttle_count)
    return Conditions(
        cpu_psi_us=_delta(before.cpu_psi_us, after.cpu_psi_us),
        io_psi_us=_delta(before.io_psi_us, after.io_psi_us),
        memory_psi_us=_delta(before.memory_psi_us, after.memory_psi_us),
        disk_read_bytes=_delta(before.disk_read_bytes, after.disk_read_bytes),
        disk_write_bytes=_delta(before.disk_write_bytes, after.disk_write_bytes),
        load_1m=after.load_1m,
        temperature_c=sensed.temperature_c,
        frequency_mhz=sensed.frequency_mhz,
        throttled=sensed.throttled if slowed is None else slowed > 0 or bool(sensed.throttled),
        undervoltage=sensed.undervoltage,
    )


def read_sensors() -> Sensors:
    """What the board's sensors say now, ``None`` for those it does not have."""
    import psutil  # noqa: PLC0415  7 ms that only measuring needs to pay

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # psutil warns of each sensor that refuses to be read
        try:
            temperatures = [each.current for sensors in psutil.sensors_temperatures().values() for each in sensors]
        except (AttributeError, OSError, ValueError):
            temperatures = []
        try:
            frequency = psutil.cpu_freq()
        except (AttributeError, NotImplementedError, OSError, ValueError):
            frequency = None
    found = throttling()
    return Sensors(
        temperature_c=max(temperatures, default=None),
        frequency_mhz=frequency.current if frequency else None,
        throttled=found.throttled_now,
        undervoltage=found.undervoltage_now,
    )


def _pressure(resource: str, roots: SystemRoots) -> int | None:
    try:
        first = (roots.proc / "pressure" / resource).read_text().splitlines()[0]
        kind, *fields = first.split()
        total = dict(field.split("=", 1) for field in fields)["total"]
    except (OSError, LookupError, ValueError):  # not in this kernel, or disabled at boot
        return None
    return int(total) if kind == "some" else None


def _disk(device: str | None, roots: SystemRoots) -> tuple[int | None, int | None]:
    if device is None:
        return None, None
    try:
        fields = (roots.sys / "class" / "block" / device / "stat").read_text().split()
        return int(fields[2]) * _SECTOR_BYTES, int(fields[6]) * _SECTOR_BYTES
    except (OSError, IndexError, ValueError):
        return None, None


def _load(roots: SystemRoots) -> float | None:
    try:
        return float((roots.proc / "loadavg").read_text().split()[0])
    except (OSError, IndexError, ValueError):
        return None


def _delta(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before
