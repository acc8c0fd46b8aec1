"""A board's CPUs, power, heat, storage and cgroups, from kernel files that follow public documentation."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from coldstart.model.board import BoardFacts, Cluster, Throttling
from coldstart.testbed import throttling as throttling_module
from coldstart.testbed.board import board_facts, clusters, controllers, storage_medium
from coldstart.testbed.throttling import ask_vcgencmd, throttle_count, throttling
from tests.unit.testbed.machine import Machine, desktop, jetson, raspberry_pi

DATA = Path("/any/where")
CARD = "sys/devices/platform/emmc2bus/fe340000.mmc/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0"


def silent() -> str | None:
    """No firmware to ask."""
    return None


def facts_of(machine: Machine) -> BoardFacts:
    """What is told of a machine without firmware."""
    return board_facts(DATA, machine.roots, machine.etc, machine.folder / "var", silent)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine that tells nothing."""
    return Machine(tmp_path)


def test_core_clusters_are_told_apart_by_what_sets_their_frequency(tmp_path: Path) -> None:
    assert clusters(jetson(tmp_path).roots) == (
        Cluster(cpus=(0, 1, 2, 3), governor="schedutil", min_khz=115200, max_khz=1420800),
        Cluster(cpus=(4, 5), governor="performance", min_khz=115200, max_khz=1907200),
    )


def test_clusters_are_in_the_order_of_their_cpus_whatever_they_are_called(machine: Machine) -> None:
    for number in (10, 2, 0):
        machine.add_policy(number, f"{number} {number + 1}", "performance", 1, 2)
    assert [cluster.cpus for cluster in clusters(machine.roots)] == [(0, 1), (2, 3), (10, 11)]


def test_a_policy_without_its_cpus_and_figures_is_told_as_far_as_it_goes(machine: Machine) -> None:
    machine.write("sys/devices/system/cpu/cpufreq/policy0/affected_cpus", "1 0")
    assert clusters(machine.roots) == (Cluster(cpus=(0, 1), governor=None, min_khz=None, max_khz=None),)


def test_a_machine_that_tells_nothing_has_no_facts_but_no_errors_either(machine: Machine) -> None:
    facts = facts_of(machine)
    assert (facts.clusters, facts.host.power_mode, facts.swap_bytes, facts.zram_bytes) == ((), None, 0, 0)
    assert (facts.cgroup_controllers, facts.has_psi, facts.throttling) == ((), False, Throttling())
    assert (facts.storage.device, facts.storage.kind, facts.storage.wear_percent) == (None, None, None)


@pytest.mark.parametrize(
    ("told", "now", "since"),
    [
        ("throttled=0x0\n", (False, False), (False, False)),
        ("throttled=0x50005\n", (True, True), (True, True)),
        ("throttled=0x10000\n", (False, False), (True, False)),
        ("throttled=0x8\n", (False, True), (False, False)),
        ("throttled=0x20000\n", (False, False), (False, True)),
    ],
)
def test_a_pis_firmware_tells_undervoltage_and_throttling(
    machine: Machine, told: str, now: tuple[bool, bool], since: tuple[bool, bool]
) -> None:
    found = throttling(machine.roots, lambda: told)
    assert (found.undervoltage_now, found.throttled_now) == now
    assert (found.undervoltage_since_boot, found.throttled_since_boot) == since


def test_the_kernels_file_of_the_same_bits_comes_before_the_command(machine: Machine) -> None:
    machine.write("sys/devices/platform/soc/soc:firmware/get_throttled", "50000\n")
    found = throttling(machine.roots, lambda: "throttled=0x0")
    assert (found.undervoltage_since_boot, found.throttled_since_boot) == (True, True)


def test_what_the_firmware_says_in_other_words_is_unknown(machine: Machine) -> None:
    assert throttling(machine.roots, lambda: "error: VCHI initialization failed") == Throttling()


@pytest.mark.parametrize(("counts", "since"), [(("0", "0"), False), (("0", "7"), True)])
def test_intels_counters_tell_throttling_since_boot(machine: Machine, counts: tuple[str, ...], since: bool) -> None:
    for cpu, count in enumerate(counts):
        machine.write(f"sys/devices/system/cpu/cpu{cpu}/thermal_throttle/core_throttle_count", count)
    found = throttling(machine.roots, silent)
    assert (found.throttled_now, found.throttled_since_boot) == (None, since)


def test_a_cooling_device_of_the_cpus_that_is_at_work_is_throttling(machine: Machine) -> None:
    for number, (kind, state) in enumerate((("cpufreq-cpu0", "2"), ("pwm-fan", "3"), ("cpufreq-cpu4", "0"))):
        machine.write(f"sys/class/thermal/cooling_device{number}/type", kind)
        machine.write(f"sys/class/thermal/cooling_device{number}/cur_state", state)
    found = throttling(machine.roots, silent)
    assert (found.cooling, found.throttled_now) == (("cpufreq-cpu0",), True)


def test_a_pis_card_is_known_by_its_name_and_date(tmp_path: Path) -> None:
    pi = raspberry_pi(tmp_path)
    pi.write(f"{CARD}/device/type", "SD\n")
    pi.write(f"{CARD}/device/date", "11/2020\n")
    found = storage_medium(DATA, pi.roots)
    assert (found.device, found.kind, found.name, found.manufactured) == ("mmcblk0", "SD", "SC32G", "11/2020")
    assert (found.filesystem, found.journal, found.wear_percent) == ("ext4", True, None)


def test_an_emmc_tells_how_much_of_its_life_is_used(tmp_path: Path) -> None:
    found = storage_medium(DATA, jetson(tmp_path).roots)
    assert (found.kind, found.wear_percent, found.manufactured) == ("eMMC", 90, "03/2021")


def test_an_nvme_is_found_under_a_logical_volume(tmp_path: Path) -> None:
    found = storage_medium(DATA, desktop(tmp_path).roots)
    assert (found.device, found.kind, found.name) == ("nvme0n1", "NVMe", "Samsung SSD 970 EVO Plus 1TB")


@pytest.mark.parametrize(("model", "kind"), [(None, "virtual"), ("WDC WD10", "disk")])
def test_a_disk_with_a_model_is_one_and_one_without_is_virtual(machine: Machine, model: str | None, kind: str) -> None:
    machine.mount("254:0", "/", "xfs", "/dev/vda")
    machine.add_disk("virtio0/block/vda", "254:0")
    if model is not None:
        machine.write("sys/devices/virtio0/block/vda/device/model", model)
    assert storage_medium(DATA, machine.roots).kind == kind


def test_free_space_is_that_of_the_nearest_folder_there_is(machine: Machine, tmp_path: Path) -> None:
    free = storage_medium(tmp_path / "not" / "yet", machine.roots).free_bytes
    assert free is not None
    assert free > 0


def test_controllers_of_v1_are_those_that_are_enabled(tmp_path: Path) -> None:
    assert controllers(jetson(tmp_path).roots) == ("cpu",)


def test_controllers_of_v2_are_those_at_its_root(machine: Machine, tmp_path: Path) -> None:
    point = tmp_path / "unified"
    point.mkdir()
    (point / "cgroup.controllers").write_text("memory cpu\n")
    machine.mount("0:26", point, "cgroup2", "cgroup2")
    machine.write("proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\npids\t0\t1\t1\n")
    assert controllers(machine.roots) == ("cpu", "memory")


def test_a_jetsons_power_mode_and_compressed_memory_are_told(tmp_path: Path) -> None:
    facts = facts_of(jetson(tmp_path))
    assert (facts.host.power_mode, facts.host.governor, facts.zram_bytes) == (
        "mode 2",
        "performance + schedutil",
        1005879296,
    )


def test_swap_is_the_sum_of_all_areas(machine: Machine) -> None:
    machine.write("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/a file 100 0 -2\n/b partition 24 0 -3\n")
    assert facts_of(machine).swap_bytes == 124 * 1024


def test_pressure_is_told_where_the_kernel_has_its_files(machine: Machine) -> None:
    machine.write("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n")
    assert facts_of(machine).has_psi


@pytest.mark.parametrize(("code", "expected"), [(0, "throttled=0x0\n"), (1, None)])
def test_vcgencmd_is_asked_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, expected: str | None
) -> None:
    command = tmp_path / "vcgencmd"
    command.write_text(f"#!/bin/sh\necho throttled=0x0\nexit {code}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert ask_vcgencmd() == expected


def test_firmware_that_does_not_answer_is_not_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = tmp_path / "vcgencmd"
    command.write_text("#!/bin/sh\nexec sleep 60\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(throttling_module, "_ASK_LIMIT_S", 0.1)
    assert ask_vcgencmd() is None


def test_without_vcgencmd_nobody_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", None)
    assert ask_vcgencmd() is None


def test_throttling_is_counted_over_all_cores_where_it_is_counted_at_all(machine: Machine) -> None:
    assert throttle_count(machine.roots) is None
    for cpu, count in enumerate(("3", "4")):
        machine.write(f"sys/devices/system/cpu/cpu{cpu}/thermal_throttle/core_throttle_count", count)
    assert throttle_count(machine.roots) == 7
