"""What the machine went through, from counters as kernels write them (proc(5), Documentation/accounting/psi.rst)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from coldstart.model.sample import Conditions
from coldstart.testbed.conditions import Meters, Sensors, conditions, read_meters, read_sensors
from tests.unit.testbed.machine import Machine

PRESSURE = "some avg10=0.22 avg60=0.17 avg300=1.11 total={some}\nfull avg10=0.22 avg60=0.16 avg300=1.08 total=5\n"
DISK = "   11        2     3000       44       55        6     7000       88        0      999      1010\n"
NO_SENSORS = Sensors(temperature_c=None, frequency_mhz=None)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with every meter, on a disk called ``sda``."""
    machine = Machine(tmp_path)
    for resource, some in (("cpu", 101), ("io", 102), ("memory", 103)):
        machine.write(f"proc/pressure/{resource}", PRESSURE.format(some=some))
    machine.write("sys/class/block/sda/stat", DISK)
    machine.write("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "7\n")
    machine.write("proc/loadavg", "0.42 0.33 0.11 1/234 5678\n")
    return machine


def meters(**fields: Any) -> Meters:
    """A reading of nothing, but for what is given."""
    return Meters(**{**dict.fromkeys(Meters.__struct_fields__), **fields})


def test_every_meter_is_read(machine: Machine) -> None:
    """Sectors are of 512 bytes, whatever the disk's own are."""
    assert read_meters("sda", machine.roots) == Meters(
        cpu_psi_us=101,
        io_psi_us=102,
        memory_psi_us=103,
        disk_read_bytes=3000 * 512,
        disk_write_bytes=7000 * 512,
        load_1m=0.42,
        throttle_count=7,
    )


def test_a_machine_without_meters_has_none(tmp_path: Path) -> None:
    assert read_meters("sda", Machine(tmp_path).roots) == meters()


def test_without_a_disk_there_is_no_traffic(machine: Machine) -> None:
    found = read_meters(None, machine.roots)
    assert (found.disk_read_bytes, found.disk_write_bytes) == (None, None)


@pytest.mark.parametrize("text", ["", "1 2 3 4\n", "a b c d e f g\n"])
def test_a_disk_whose_counters_cannot_be_read_has_none(machine: Machine, text: str) -> None:
    machine.write("sys/class/block/sda/stat", text)
    found = read_meters("sda", machine.roots)
    assert (found.disk_read_bytes, found.disk_write_bytes) == (None, None)


@pytest.mark.parametrize("text", ["", "\n", "some\n", "some avg10=0.00\n", "some avg10\n", "full avg10=0.00 total=7\n"])
def test_pressure_without_a_total_of_some_stall_is_unknown(machine: Machine, text: str) -> None:
    machine.write("proc/pressure/cpu", text)
    assert read_meters("sda", machine.roots).cpu_psi_us is None


@pytest.mark.parametrize("text", ["", "high 0.1\n"])
def test_a_load_that_cannot_be_read_is_unknown(machine: Machine, text: str) -> None:
    machine.write("proc/loadavg", text)
    assert read_meters("sda", machine.roots).load_1m is None


def test_counters_become_what_happened_between_and_load_and_sensors_are_the_last() -> None:
    counters = ("cpu_psi_us", "io_psi_us", "memory_psi_us", "disk_read_bytes", "disk_write_bytes")
    before = meters(**{name: n for n, name in enumerate(counters, start=1)}, load_1m=9.0, throttle_count=3)
    after = meters(**{name: 11 * n for n, name in enumerate(counters, start=1)}, load_1m=0.5, throttle_count=3)
    assert conditions(before, after, lambda: Sensors(51.5, 1500.0)) == Conditions(
        cpu_psi_us=10,
        io_psi_us=20,
        memory_psi_us=30,
        disk_read_bytes=40,
        disk_write_bytes=50,
        load_1m=0.5,
        temperature_c=51.5,
        frequency_mhz=1500.0,
        throttled=False,
    )


@pytest.mark.parametrize(
    ("counts", "now", "throttled"),
    [
        ((None, None), None, None),
        ((None, None), True, True),
        ((None, None), False, False),
        ((3, 3), None, False),
        ((3, 3), True, True),
        ((3, 4), False, True),
    ],
)
def test_a_start_was_throttled_if_it_was_counted_or_is_so_now(
    counts: tuple[int | None, int | None], now: bool | None, throttled: bool | None
) -> None:
    before, after = (meters(throttle_count=count) for count in counts)
    found = conditions(before, after, lambda: Sensors(None, None, throttled=now, undervoltage=now))
    assert (found.throttled, found.undervoltage) == (throttled, now)


@pytest.mark.parametrize(("before", "after"), [(None, 7), (7, None), (None, None)])
def test_a_counter_that_was_not_read_twice_has_no_difference(before: int | None, after: int | None) -> None:
    found = conditions(meters(io_psi_us=before), meters(io_psi_us=after), lambda: NO_SENSORS)
    assert found.io_psi_us is None


def test_a_counter_that_stood_still_differs_by_nothing() -> None:
    assert conditions(meters(cpu_psi_us=0), meters(cpu_psi_us=0), lambda: NO_SENSORS).cpu_psi_us == 0


def test_the_boards_own_sensors_are_asked_unless_others_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    sense(monkeypatch, temperatures=lambda: {"soc": [SimpleNamespace(current=44.0)]})
    assert conditions(meters(), meters()).temperature_c == 44.0


def sense(
    monkeypatch: pytest.MonkeyPatch,
    temperatures: Callable[[], object] = dict,
    frequency: Callable[[], object] = lambda: None,
) -> None:
    """Let psutil find these sensors, and not those of the machine that tests."""
    monkeypatch.setattr(psutil, "sensors_temperatures", temperatures)
    monkeypatch.setattr(psutil, "cpu_freq", frequency)


def refusal(error: Exception) -> Callable[[], object]:
    """A sensor that cannot be read."""

    def refuse() -> object:
        raise error

    return refuse


def test_a_board_without_sensors_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    sense(monkeypatch)
    assert read_sensors() == NO_SENSORS


def test_the_hottest_sensor_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    soc, disk = [SimpleNamespace(current=41.0), SimpleNamespace(current=62.5)], [SimpleNamespace(current=30.0)]
    sense(monkeypatch, temperatures=lambda: {"soc": soc, "nvme": disk})
    assert read_sensors().temperature_c == 62.5


def test_the_cpus_mean_frequency_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    sense(monkeypatch, frequency=lambda: SimpleNamespace(current=1800.0, min=600.0, max=2400.0))
    assert read_sensors().frequency_mhz == 1800.0


@pytest.mark.parametrize("error", [AttributeError(), OSError(5, "I/O error"), ValueError()])
def test_heat_that_cannot_be_read_does_not_hide_the_frequency(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    sense(monkeypatch, temperatures=refusal(error), frequency=lambda: SimpleNamespace(current=1800.0))
    assert read_sensors() == Sensors(temperature_c=None, frequency_mhz=1800.0)


@pytest.mark.parametrize("error", [AttributeError(), NotImplementedError(), OSError(5, "I/O error"), ValueError()])
def test_a_frequency_that_cannot_be_read_does_not_hide_the_heat(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    heat = {"soc": [SimpleNamespace(current=41.0)]}
    sense(monkeypatch, temperatures=lambda: heat, frequency=refusal(error))
    assert read_sensors() == Sensors(temperature_c=41.0, frequency_mhz=None)


def test_a_sensor_that_refuses_is_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Psutil warns of each; a trial has many."""

    def grumble() -> dict[str, list[Any]]:
        warnings.warn("ignoring thermal_zone0", RuntimeWarning, stacklevel=2)
        return {"soc": [SimpleNamespace(current=41.0)]}

    sense(monkeypatch, temperatures=grumble)
    assert read_sensors().temperature_c == 41.0
