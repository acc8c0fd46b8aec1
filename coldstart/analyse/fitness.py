"""Is this machine fit to measure on? A finding for each thing that would spoil a figure, with its remedy."""

from __future__ import annotations

from collections.abc import Iterator

from coldstart.model.board import WITHOUT_OVERLAYS, Abilities, BoardFacts, Finding, Level
from coldstart.units import format_bytes

STEADY_GOVERNORS = frozenset({"performance"})
BUSY_LIMIT = 0.20
LEAST_MEMORY_BYTES = 450 * 1024**2
LEAST_FREE_BYTES = 4 * 10**9
WORN_PERCENT = 90
HOT_C = 80.0


def findings(board: BoardFacts, abilities: Abilities) -> tuple[Finding, ...]:
    """Everything that was looked at: what cannot be measured first, then what is spoilt, notes, and what is good."""
    order = {level: place for place, level in enumerate((Level.BLOCKS, Level.SPOILS, Level.NOTE, Level.GOOD))}
    found = [
        *_abilities(abilities),
        *_processors(board),
        *_power(board),
        *_memory(board),
        *_storage(board),
        *_kernel(board),
    ]
    return tuple(sorted(found, key=lambda finding: order[finding.level]))


def _abilities(abilities: Abilities) -> Iterator[Finding]:
    if abilities.testbed is None:
        yield _good("testbed", "an isolated engine and registry can be started")
    elif abilities.own_engine is not None:
        yield Finding(
            name="testbed",
            level=Level.NOTE,
            what=f"none ({abilities.testbed}); your own engine can be measured: {abilities.own_engine}",
            remedy="Run scripts/setup as root for a testbed that proves every tier.",
        )
    else:
        yield Finding(
            name="testbed",
            level=Level.BLOCKS,
            what=f"none: {abilities.testbed}, and no Docker answers either",
            remedy="Run scripts/setup as root, or start Docker and set DOCKER_HOST.",
        )
    names = ", ".join(f"{facts.name} ({facts.version or 'version unknown'})" for facts in abilities.runtimes)
    yield (
        _good("runtimes", names)
        if names
        else Finding(
            name="runtimes",
            level=Level.BLOCKS,
            what="no OCI runtime",
            remedy="Run scripts/setup: it brings runc and crun.",
        )
    )
    best = next((name for name, why in abilities.sources.items() if why is None), None)
    if best == "trace":
        yield _good("source", "phases come from the kernel's trace")
    else:
        why = "; ".join(f"{name}: {reason}" for name, reason in abilities.sources.items() if reason is not None)
        yield Finding(
            name="source",
            level=Level.NOTE,
            what=f"phases come from {best or 'the engine'}, which is less exact ({why})",
            remedy="The kernel's trace needs root and a kernel with tracefs (CONFIG_FTRACE, CONFIG_EVENT_TRACING).",
        )
    for tier, obstacle in abilities.tiers.items():
        if obstacle is not None:
            yield Finding(name=f"tier {tier}", level=Level.NOTE, what=obstacle, remedy="It is measured on the testbed.")
    if abilities.busy >= BUSY_LIMIT:
        yield Finding(
            name="quiet",
            level=Level.SPOILS,
            what=f"the CPUs are {abilities.busy:.0%} busy: starts wait for a quiet window, or are not quiet",
            remedy="End what else runs here.",
        )
    else:
        yield _good("quiet", f"the CPUs are {abilities.busy:.0%} busy")
    yield (
        _good("gate", abilities.calibration)
        if abilities.calibration
        else Finding(
            name="gate",
            level=Level.NOTE,
            what="how often a gate would be wrong here is not known",
            remedy="coldstart calibrate",
        )
    )


def _processors(board: BoardFacts) -> Iterator[Finding]:
    if not board.clusters:
        yield Finding(
            name="frequency",
            level=Level.NOTE,
            what="the kernel does not tell how the CPUs' frequency is set (a virtual machine has no say in it)",
        )
    unsteady = sorted({c.governor for c in board.clusters if c.governor and c.governor not in STEADY_GOVERNORS})
    if unsteady:
        yield Finding(
            name="governor",
            level=Level.SPOILS,
            what=f"{', '.join(unsteady)}: the frequency follows the load, so a start after a pause is slower",
            remedy="for g in /sys/devices/system/cpu/cpufreq/policy*/scaling_governor; do echo performance | "
            "sudo tee $g; done",
        )
    elif board.clusters:
        yield _good("governor", "performance")
    if len({cluster.max_khz for cluster in board.clusters}) > 1:
        groups = "; ".join(
            f"CPUs {_ranges(cluster.cpus)} up to {(cluster.max_khz or 0) / 1e6:.2f} GHz" for cluster in board.clusters
        )
        yield Finding(
            name="core clusters",
            level=Level.NOTE,
            what=f"of different speed: {groups}",
            remedy=f"Keep containers on one cluster: --cpuset-cpus {_ranges(_fastest(board))}.",
        )


def _power(board: BoardFacts) -> Iterator[Finding]:
    found = board.throttling
    if found.undervoltage_now or found.undervoltage_since_boot:
        when = "now" if found.undervoltage_now else "since boot"
        yield Finding(
            name="undervoltage",
            level=Level.SPOILS,
            what=f"the supply was too weak ({when}): the firmware lowers the frequency",
            remedy="Use the maker's own power supply and cable, and boot again.",
        )
    if found.throttled_now or found.throttled_since_boot:
        when = "now" if found.throttled_now else "since boot"
        at_work = f" ({', '.join(found.cooling)})" if found.cooling else ""
        yield Finding(
            name="throttling",
            level=Level.SPOILS if found.throttled_now else Level.NOTE,
            what=f"the CPUs were slowed down, {when}{at_work}",
            remedy="Add a heat sink or a fan, or let it cool down between runs.",
        )
    elif found.throttled_now is None and found.throttled_since_boot is None:
        yield Finding(name="throttling", level=Level.NOTE, what="nothing here tells whether the CPUs are slowed down")
    else:
        yield _good("throttling", "none since boot")
    if board.temperature_c is not None and board.temperature_c >= HOT_C:
        yield Finding(
            name="temperature",
            level=Level.SPOILS,
            what=f"{board.temperature_c:.0f} °C: near where boards slow down",
            remedy="Let it cool down, or add a fan.",
        )
    if board.host.power_mode is not None:
        yield Finding(
            name="power mode",
            level=Level.NOTE,
            what=f"nvpmodel {board.host.power_mode}: figures hold for this mode only",
            remedy="sudo nvpmodel -q tells what it stands for; -m chooses another.",
        )


def _memory(board: BoardFacts) -> Iterator[Finding]:
    if board.host.memory_bytes < LEAST_MEMORY_BYTES:
        yield Finding(
            name="memory",
            level=Level.SPOILS,
            what=f"{format_bytes(board.host.memory_bytes)}: pages of warm images may be pushed out",
            remedy="Measure small images, and end what else runs.",
        )
    else:
        yield _good("memory", format_bytes(board.host.memory_bytes))
    if board.zram_bytes:
        yield Finding(
            name="zram",
            level=Level.NOTE,
            what=f"{format_bytes(board.zram_bytes)} of memory may be compressed, which takes CPU time under pressure",
        )
    elif board.swap_bytes:
        yield Finding(
            name="swap", level=Level.NOTE, what=f"{format_bytes(board.swap_bytes)} of swap are in use or ready"
        )


def _storage(board: BoardFacts) -> Iterator[Finding]:
    storage = board.storage
    parts = [storage.kind, storage.name, storage.manufactured and f"made {storage.manufactured}", storage.filesystem]
    yield Finding(name="storage", level=Level.GOOD, what=", ".join(part for part in parts if part) or "unknown")
    if storage.filesystem in WITHOUT_OVERLAYS:
        yield Finding(
            name="overlays",
            level=Level.NOTE,
            what=f"{storage.filesystem} bears none, so Docker would copy every layer whole: the testbed's data go to a "
            "loop file, if this machine can mount one (coldstart testbed status tells)",
            remedy="COLDSTART_STATE_DIR or --data-root puts them on another filesystem.",
        )
    if storage.journal is False:
        yield Finding(
            name="journal",
            level=Level.NOTE,
            what="the filesystem has no journal, where repeated pulls slow down: the testbed's data go to a journaled "
            "loop file",
            remedy="--data-root puts them on the storage under test.",
        )
    if storage.wear_percent is not None and storage.wear_percent >= WORN_PERCENT:
        yield Finding(
            name="wear",
            level=Level.SPOILS,
            what=f"the eMMC says that up to {storage.wear_percent} % of its life is used: writes get slower",
            remedy="Measure on another medium with --data-root.",
        )
    if storage.free_bytes is not None and storage.free_bytes < LEAST_FREE_BYTES:
        yield Finding(
            name="free space",
            level=Level.SPOILS,
            what=f"{format_bytes(storage.free_bytes)}: the article's images and their builder take about 4 GB",
            remedy="Make room, or choose another place with COLDSTART_STATE_DIR and COLDSTART_CACHE_DIR.",
        )


def _kernel(board: BoardFacts) -> Iterator[Finding]:
    if not board.has_psi:
        yield Finding(
            name="pressure",
            level=Level.NOTE,
            what="the kernel does not tell pressure (PSI): nothing shows what slowed a start down",
            remedy="Boot with psi=1 on the kernel's command line.",
        )
    if "memory" not in board.cgroup_controllers:
        yield Finding(
            name="memory limits",
            level=Level.NOTE,
            what=f"the memory controller is off (cgroup {board.host.cgroup}): --memory has no effect",
            remedy="On Raspberry Pi OS add cgroup_enable=memory to /boot/firmware/cmdline.txt, and boot again.",
        )


def _good(name: str, what: str) -> Finding:
    return Finding(name=name, level=Level.GOOD, what=what)


def _fastest(board: BoardFacts) -> tuple[int, ...]:
    return max(board.clusters, key=lambda cluster: cluster.max_khz or 0).cpus


def _ranges(cpus: tuple[int, ...]) -> str:
    """``0-3,6`` of (0, 1, 2, 3, 6)."""
    parts: list[list[int]] = []
    for cpu in cpus:
        if parts and cpu == parts[-1][-1] + 1:
            parts[-1].append(cpu)
        else:
            parts.append([cpu])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
