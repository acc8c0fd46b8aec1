"""What kind of machine this is, beyond its fingerprint: what a measurement on it depends on."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from coldstart.model.host import HostFacts
from coldstart.model.run import RuntimeFacts

# Docker's overlay2 wants an upper folder with whiteouts and extended attributes (moby, daemon/graphdriver/overlay2).
WITHOUT_OVERLAYS = frozenset(
    {"overlay", "aufs", "ecryptfs", "vfat", "exfat", "ntfs3", "9p", "nfs", "nfs4", "cifs", "smb3", "fuseblk", "fuse"}
)
"""Filesystems that cannot be the upper one of an overlay."""


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """CPUs whose frequency is set together; ``None`` is what the kernel does not tell.

    ``cpus`` are their numbers; frequencies are in kHz, as cpufreq has them.
    """

    cpus: tuple[int, ...]
    governor: str | None
    min_khz: int | None
    max_khz: int | None


class StorageMedium(msgspec.Struct, frozen=True, kw_only=True):
    """The disk under the engine's data.

    ``kind`` is ``SD``, ``eMMC``, ``NVMe``, ``disk`` or ``virtual``; ``wear_percent`` the upper end of an eMMC's own
    estimate of its life used (JEDEC EXT_CSD, in tenths); ``free_bytes`` is of the filesystem.
    """

    device: str | None
    kind: str | None
    name: str | None
    manufactured: str | None
    wear_percent: int | None
    filesystem: str | None
    journal: bool | None
    free_bytes: int | None


class Throttling(msgspec.Struct, frozen=True, kw_only=True):
    """Whether something slows the CPUs down: now, and since boot. ``None`` is what nobody tells.

    ``cooling`` are the kernel's cooling devices that are at work.
    """

    undervoltage_now: bool | None = None
    undervoltage_since_boot: bool | None = None
    throttled_now: bool | None = None
    throttled_since_boot: bool | None = None
    cooling: tuple[str, ...] = ()


class BoardFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A machine as `coldstart doctor` describes it; sizes in bytes, temperature in °C."""

    host: HostFacts
    clusters: tuple[Cluster, ...]
    temperature_c: float | None
    throttling: Throttling
    storage: StorageMedium
    swap_bytes: int
    zram_bytes: int
    cgroup_controllers: tuple[str, ...]
    has_psi: bool


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """What coldstart can do on this machine, as it is asked.

    ``sources`` and ``tiers`` map a name to why it is not to be had, ``None`` if it is; ``testbed`` is why there can be
    no testbed; ``own_engine`` what answers where `docker` itself would ask, if anything does; ``busy`` the
    CPUs' busy share over a moment.
    """

    testbed: str | None
    own_engine: str | None
    runtimes: tuple[RuntimeFacts, ...]
    sources: dict[str, str | None]
    tiers: dict[str, str | None]
    busy: float
    calibration: str | None


class Level(StrEnum):
    """How much a finding matters."""

    GOOD = "good"
    NOTE = "note"
    SPOILS = "spoils"  # figures are taken, and are worse for it
    BLOCKS = "blocks"  # something cannot be measured at all


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at: what it is, how much it matters, and what to do about it."""

    name: str
    level: Level
    what: str
    remedy: str | None = None
