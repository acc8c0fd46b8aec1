"""A machine's fingerprint, from kernel files that follow public documentation (`tests.unit.testbed.machine`)."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import pytest

from coldstart.model.host import HostFacts
from coldstart.testbed.host import host_facts
from tests.unit.testbed.machine import Machine, desktop, raspberry_pi

DATA = Path("/any/where")


def facts_of(machine: Machine, data_root: Path = DATA) -> HostFacts:
    """What is told of a machine."""
    return host_facts(data_root, machine.roots, machine.etc)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine that tells nothing."""
    return Machine(tmp_path)


def test_a_board_is_described(tmp_path: Path) -> None:
    facts = facts_of(raspberry_pi(tmp_path))
    assert (facts.board, facts.cpu_model, facts.memory_bytes, facts.os_name, facts.cgroup) == (
        "Raspberry Pi 4 Model B Rev 1.4",
        "Cortex-A72",
        3885396 * 1024,
        "Debian GNU/Linux 12 (bookworm)",
        "v2",
    )


def test_a_boards_storage_is_described(tmp_path: Path) -> None:
    facts = facts_of(raspberry_pi(tmp_path))
    assert (facts.storage_device, facts.filesystem, facts.filesystem_journal) == ("SC32G", "ext4", True)


def test_a_desktop_is_described(tmp_path: Path) -> None:
    facts = facts_of(desktop(tmp_path))
    assert (facts.board, facts.cpu_model, facts.memory_bytes, facts.os_name, facts.cgroup) == (
        "Dell Inc. OptiPlex 7050",
        "Intel(R) Core(TM) i5-7500 CPU @ 3.40GHz",
        16303412 * 1024,
        "Fedora Linux 41 (Server Edition)",
        "hybrid",
    )


def test_a_desktops_storage_is_described(tmp_path: Path) -> None:
    facts = facts_of(desktop(tmp_path))
    assert (facts.storage_device, facts.filesystem, facts.filesystem_journal) == (
        "Samsung SSD 970 EVO Plus 1TB",
        "xfs",
        True,
    )


def test_the_running_kernel_and_python_are_named(machine: Machine) -> None:
    facts = facts_of(machine)
    assert (facts.machine, facts.kernel, facts.python) == (
        os.uname().machine,
        os.uname().release,
        platform.python_version(),
    )


def test_cpus_and_pages_are_those_of_the_running_machine(machine: Machine) -> None:
    facts = facts_of(machine)
    assert (facts.cpus, facts.page_bytes) == (os.cpu_count(), os.sysconf("SC_PAGE_SIZE"))


def test_what_a_machine_does_not_tell_is_unknown(machine: Machine) -> None:
    facts = facts_of(machine)
    assert (facts.board, facts.cpu_model, facts.os_name, facts.storage_device, facts.filesystem) == (None,) * 5


def test_without_a_mount_table_the_journal_is_unknown(machine: Machine) -> None:
    assert facts_of(machine).filesystem_journal is None


def test_without_a_mount_table_there_are_no_cgroups(machine: Machine) -> None:
    assert facts_of(machine).cgroup == "none"


def test_a_machine_without_cgroups_has_none(machine: Machine) -> None:
    machine.mount("179:2", "/", "ext4", "/dev/root")
    assert facts_of(machine).cgroup == "none"


def test_memory_that_is_not_told_is_asked_of_the_c_library(machine: Machine) -> None:
    assert facts_of(machine).memory_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_disk_without_a_model_goes_by_its_kernel_name(machine: Machine) -> None:
    machine.mount("254:1", "/", "ext4", "/dev/vda1")
    machine.add_disk("virtio0/block/vda/vda1", "254:1")
    assert facts_of(machine).storage_device == "vda1"


def test_an_id_is_a_salted_hash_of_the_machines(tmp_path: Path) -> None:
    """It tells nobody the machine id, which machine-id(5) calls confidential."""
    secret = b"coldstart host\0b08dfa6083e7567a1921a715000001fb"
    assert facts_of(raspberry_pi(tmp_path)).host_id == hashlib.sha256(secret).hexdigest()[:16]


def test_without_a_machine_id_the_hosts_name_stands_for_it(machine: Machine) -> None:
    secret = b"coldstart host\0" + os.uname().nodename.encode()
    assert facts_of(machine).host_id == hashlib.sha256(secret).hexdigest()[:16]


def test_a_device_tree_is_found_in_sys_too(machine: Machine) -> None:
    machine.write("sys/firmware/devicetree/base/model", "NVIDIA Jetson Nano Developer Kit\0")
    assert facts_of(machine).board == "NVIDIA Jetson Nano Developer Kit"


def test_a_device_tree_goes_before_what_firmware_says(tmp_path: Path) -> None:
    pi = raspberry_pi(tmp_path)
    pi.write("sys/class/dmi/id/product_name", "EDK II\n")
    assert facts_of(pi).board == "Raspberry Pi 4 Model B Rev 1.4"


@pytest.mark.parametrize(
    "placeholder",
    [
        "To Be Filled By O.E.M.",
        "System Product Name",
        "System manufacturer",
        "system name",
        "Default string",
        "Not Specified",
        "O.E.M.",
        "",
    ],
)
def test_what_a_maker_forgot_to_fill_in_is_no_name(machine: Machine, placeholder: str) -> None:
    machine.write("sys/class/dmi/id/sys_vendor", f"{placeholder}\n")
    machine.write("sys/class/dmi/id/product_name", "NUC7i5\n")
    assert facts_of(machine).board == "NUC7i5"


def test_a_machine_of_placeholders_has_no_name(machine: Machine) -> None:
    machine.write("sys/class/dmi/id/sys_vendor", "To be filled by O.E.M.\n")
    assert facts_of(machine).board is None


def cores(*parts: tuple[str, str]) -> str:
    """The lines of ARM cores of these implementers and parts."""
    return "\n".join(f"processor\t: 0\nCPU implementer\t: {maker}\nCPU part\t: {part}\n" for maker, part in parts)


@pytest.mark.parametrize(
    ("text", "model"),
    [
        (cores(("0x41", "0xd03"), ("0x41", "0xd03")), "Cortex-A53"),
        (cores(("0x41", "0xD0B")), "Cortex-A76"),
        (cores(("0x41", "0xd03"), ("0x41", "0xd09"), ("0x41", "0xd03")), "Cortex-A53 + Cortex-A73"),
        (cores(("0x61", "0x022")), "ARM implementer 0x61 part 0x022"),
        ("CPU part\t: 0xd03\n", None),
        ("model name\t: ARMv7 Processor rev 3 (v7l)\n" + cores(("0x41", "0xd08")), "Cortex-A72"),
        ("processor\t: 0\nuarch\t\t: sifive,u74-mc\nmmu\t\t: sv39\n", "sifive,u74-mc"),
        ("cpu model\t\t: MIPS 74Kc V4.12\n", "MIPS 74Kc V4.12"),
        ("cpu\t\t: POWER9, altivec supported\n", "POWER9, altivec supported"),
        ("model name\t: A  1\n\nmodel name\t: B 2\n\nmodel name\t: A 1\n", "A 1 + B 2"),
        ("model name\t: \n", None),
        ("cpu\t: second\nmodel name\t: first\n", "first"),
        ("processor\t: 0\n", None),
    ],
)
def test_a_cpu_is_named_as_its_kernel_tells(machine: Machine, text: str, model: str | None) -> None:
    machine.write("proc/cpuinfo", text)
    assert facts_of(machine).cpu_model == model


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('PRETTY_NAME="Debian GNU/Linux 12"', "Debian GNU/Linux 12"),
        ("PRETTY_NAME='Alpine Linux v3.20'", "Alpine Linux v3.20"),
        ("PRETTY_NAME=Arch", "Arch"),
        ('PRETTY_NAME=""', None),
        ('NOT_PRETTY_NAME="x"', None),
    ],
)
def test_a_system_is_named_as_it_says(machine: Machine, line: str, name: str | None) -> None:
    machine.write("etc/os-release", f"ID=x\n{line}\nVERSION=1\n")
    assert facts_of(machine).os_name == name
