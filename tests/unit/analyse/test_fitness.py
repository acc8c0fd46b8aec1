"""What would spoil a measurement, and what to do about it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from coldstart.analyse.fitness import findings
from coldstart.model.board import Abilities, BoardFacts, Cluster, Finding, Level, StorageMedium, Throttling
from coldstart.model.run import RuntimeFacts
from tests.unit.factories import make_host

GIB = 1024**3
RUNC = RuntimeFacts(name="runc", path="/usr/sbin/runc", version="runc version 1.1.5", sha256=None)
STEADY = Cluster(cpus=(0, 1, 2, 3), governor="performance", min_khz=600_000, max_khz=1_800_000)
DISK = StorageMedium(
    device="nvme0n1",
    kind="NVMe",
    name="Samsung",
    manufactured=None,
    wear_percent=None,
    filesystem="ext4",
    journal=True,
    free_bytes=100 * GIB,
)
FIT = Abilities(
    testbed=None,
    own_engine=None,
    runtimes=(RUNC,),
    sources={"trace": None, "proc": None},
    tiers={"absent": None, "cached": None, "warm": None},
    busy=0.01,
    calibration="0 of 50 gates",
)


def make_board(**fields: Any) -> BoardFacts:
    """A board that nothing is wrong with."""
    storage = msgspec.structs.replace(DISK, **fields.pop("storage", {}))
    return BoardFacts(
        **{
            "host": make_host(memory_bytes=4 * GIB),
            "clusters": (STEADY,),
            "temperature_c": 45.0,
            "throttling": Throttling(throttled_now=False, throttled_since_boot=False),
            "storage": storage,
            "swap_bytes": 0,
            "zram_bytes": 0,
            "cgroup_controllers": ("cpu", "memory"),
            "has_psi": True,
            **fields,
        }
    )


def worst(board: BoardFacts | None = None, **abilities: Any) -> list[tuple[str, Level]]:
    """All findings that are not good."""
    found = findings(board or make_board(), msgspec.structs.replace(FIT, **abilities))
    return [(finding.name, finding.level) for finding in found if finding.level is not Level.GOOD]


def named(name: str, board: BoardFacts | None = None, **abilities: Any) -> Finding:
    """The finding of that name."""
    found = findings(board or make_board(), msgspec.structs.replace(FIT, **abilities))
    (only,) = (finding for finding in found if finding.name == name)
    return only


def test_a_fit_machine_has_nothing_but_good_findings() -> None:
    assert worst() == []


def test_what_cannot_be_measured_comes_first_and_what_is_good_last() -> None:
    board = make_board(has_psi=False, temperature_c=85.0)
    levels = [finding.level for finding in findings(board, msgspec.structs.replace(FIT, runtimes=()))]
    assert levels == sorted(levels, key=[Level.BLOCKS, Level.SPOILS, Level.NOTE, Level.GOOD].index)
    assert len(set(levels)) == 4


def test_without_a_testbed_or_an_engine_nothing_can_be_measured() -> None:
    assert worst(testbed="it needs root") == [("testbed", Level.BLOCKS)]


def test_without_a_testbed_ones_own_engine_can_be_measured() -> None:
    found = named("testbed", testbed="it needs root", own_engine="Docker at unix:///x")
    assert (found.level, "unix:///x" in found.what) == (Level.NOTE, True)


def test_without_a_runtime_nothing_can_be_measured() -> None:
    assert worst(runtimes=()) == [("runtimes", Level.BLOCKS)]


def test_runtimes_are_named_with_their_versions() -> None:
    unknown = msgspec.structs.replace(RUNC, name="crun", version=None)
    assert named("runtimes", runtimes=(RUNC, unknown)).what == "runc (runc version 1.1.5), crun (version unknown)"


@pytest.mark.parametrize(
    ("sources", "best"),
    [({"trace": "no root", "proc": None}, "proc"), ({"trace": "no root", "proc": "no root"}, "the engine")],
)
def test_a_weaker_source_is_named_with_the_reason(sources: dict[str, str | None], best: str) -> None:
    found = named("source", sources=sources)
    assert found.level is Level.NOTE
    assert found.what.startswith(f"phases come from {best},")
    assert "trace: no root" in found.what


def test_a_tier_that_cannot_be_proved_is_noted_with_the_reason() -> None:
    assert named("tier cached", tiers={"absent": None, "cached": "not ours to see", "warm": None}).what == (
        "not ours to see"
    )


@pytest.mark.parametrize(("busy", "level"), [(0.19, Level.GOOD), (0.20, Level.SPOILS)])
def test_a_busy_machine_spoils_from_the_quiet_gates_limit_on(busy: float, level: Level) -> None:
    assert named("quiet", busy=busy).level is level


def test_a_machine_that_was_not_calibrated_is_told_how() -> None:
    assert named("gate", calibration=None).remedy == "coldstart calibrate"


def test_a_machine_without_frequencies_is_noted() -> None:
    assert worst(make_board(clusters=())) == [("frequency", Level.NOTE)]


def test_a_governor_that_follows_the_load_spoils() -> None:
    lazy = msgspec.structs.replace(STEADY, governor="ondemand")
    found = named("governor", make_board(clusters=(lazy, STEADY)))
    assert (found.level, found.what.startswith("ondemand: ")) == (Level.SPOILS, True)


def test_a_governor_nobody_tells_is_not_held_against_the_board() -> None:
    assert worst(make_board(clusters=(msgspec.structs.replace(STEADY, governor=None),))) == []


def test_core_clusters_of_different_speed_are_noted_with_the_fastest() -> None:
    little = msgspec.structs.replace(STEADY, max_khz=1_400_000)
    big = msgspec.structs.replace(STEADY, cpus=(4, 5, 7), max_khz=2_200_000)
    found = named("core clusters", make_board(clusters=(little, big)))
    assert found.what == "of different speed: CPUs 0-3 up to 1.40 GHz; CPUs 4-5,7 up to 2.20 GHz"
    assert found.remedy == "Keep containers on one cluster: --cpuset-cpus 4-5,7."


@pytest.mark.parametrize(
    ("throttling", "expected"),
    [
        (Throttling(), [("throttling", Level.NOTE)]),
        (Throttling(throttled_since_boot=False), []),
        (Throttling(throttled_now=False, throttled_since_boot=True), [("throttling", Level.NOTE)]),
        (Throttling(throttled_now=True, cooling=("cpufreq-cpu0",)), [("throttling", Level.SPOILS)]),
        (Throttling(undervoltage_now=True, throttled_now=False), [("undervoltage", Level.SPOILS)]),
        (Throttling(undervoltage_since_boot=True, throttled_now=False), [("undervoltage", Level.SPOILS)]),
    ],
)
def test_what_slows_the_cpus_down(throttling: Throttling, expected: list[tuple[str, Level]]) -> None:
    assert worst(make_board(throttling=throttling)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"temperature_c": 80.0}, [("temperature", Level.SPOILS)]),
        ({"temperature_c": 79.9}, []),
        ({"temperature_c": None}, []),
        ({"host": make_host(memory_bytes=4 * GIB, power_mode="mode 2")}, [("power mode", Level.NOTE)]),
        ({"host": make_host(memory_bytes=400 * 1024**2)}, [("memory", Level.SPOILS)]),
        ({"host": make_host(memory_bytes=450 * 1024**2)}, []),
        ({"zram_bytes": 1, "swap_bytes": 1}, [("zram", Level.NOTE)]),
        ({"swap_bytes": 1}, [("swap", Level.NOTE)]),
        ({"storage": {"journal": False}}, [("journal", Level.NOTE)]),
        ({"storage": {"journal": None}}, []),
        ({"storage": {"filesystem": "overlay", "journal": None}}, [("overlays", Level.NOTE)]),
        ({"storage": {"wear_percent": 90}}, [("wear", Level.SPOILS)]),
        ({"storage": {"wear_percent": 80}}, []),
        ({"storage": {"free_bytes": 3_999_999_999}}, [("free space", Level.SPOILS)]),
        ({"storage": {"free_bytes": 4_000_000_000}}, []),
        ({"has_psi": False}, [("pressure", Level.NOTE)]),
        ({"cgroup_controllers": ("cpu",)}, [("memory limits", Level.NOTE)]),
    ],
)
def test_a_boards_other_weaknesses(fields: dict[str, Any], expected: list[tuple[str, Level]]) -> None:
    assert worst(make_board(**fields)) == expected


def test_whatever_spoils_or_blocks_has_a_remedy() -> None:
    board = make_board(
        clusters=(msgspec.structs.replace(STEADY, governor="powersave"),),
        throttling=Throttling(undervoltage_now=True, throttled_now=True),
        temperature_c=90.0,
        host=make_host(memory_bytes=1),
        storage={"wear_percent": 110, "free_bytes": 1},
    )
    spoilt = msgspec.structs.replace(FIT, testbed="no root", runtimes=(), busy=0.9)
    bad = [finding for finding in findings(board, spoilt) if finding.level in {Level.SPOILS, Level.BLOCKS}]
    assert len(bad) == 10
    assert all(finding.remedy for finding in bad)
