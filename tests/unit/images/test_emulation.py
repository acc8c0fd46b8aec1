"""Whether another platform's programs run here is found by running one."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from coldstart.images import platforms
from coldstart.images.emulation import emulator_for, emulator_of, executable, runs_here
from coldstart.kit.releases import PLATFORMS

# ELF's e_machine and class (https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html)
MACHINES = {"linux/amd64": (62, 2), "linux/arm64": (183, 2), "linux/arm/v7": (40, 1)}
OWN = platforms.normalize("linux", {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}[os.uname().machine])


def test_there_is_a_program_for_every_platform_that_kits_are_saved_for() -> None:
    assert set(MACHINES) == set(PLATFORMS)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_program_says_whose_it_is_and_fits_its_one_segment(platform: str) -> None:
    file = executable(platform)
    machine, elf_class = MACHINES[platform]
    assert (file[:4], file[4], struct.unpack_from("<H", file, 18)) == (b"\x7fELF", elf_class, (machine,))
    word, at = ("<Q", 32) if elf_class == 2 else ("<I", 28)
    (segment,) = struct.unpack_from(word, file, at)
    (length,) = struct.unpack_from(word, file, segment + (32 if elf_class == 2 else 16))
    assert length == len(file)


def test_this_machines_own_program_ends_with_0(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(executable(OWN))
    program.chmod(0o755)
    assert subprocess.run([program], check=False).returncode == 0


def test_this_machines_own_programs_run_here_and_none_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("started"))
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="aarch64"))
    assert runs_here("linux/arm64", tmp_path)


@pytest.fixture
def _on_x86(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="x86_64"))


@pytest.mark.usefixtures("_on_x86")
@pytest.mark.parametrize(("code", "found"), [(0, True), (126, False)])
def test_it_is_run_where_it_finds_nothing_but_itself(
    code: int, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    seen: list[list[str]] = []

    def run(argv: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        ran.append(argv)
        root = Path(argv[argv.index("chroot") + 1])
        seen.append([path.name for path in root.iterdir()])
        assert (root / "program").read_bytes() == executable("linux/arm64")
        return subprocess.CompletedProcess(argv, code)

    monkeypatch.setattr(subprocess, "run", run)
    assert runs_here("linux/arm64", tmp_path / "cache") is found
    assert (ran[0][-1], seen) == ("/program", [["program"]])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("_on_x86")
@pytest.mark.parametrize(("user", "first"), [(0, "chroot"), (1000, "unshare")])
def test_without_root_a_user_namespace_changes_the_root(
    user: int, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []

    def run(argv: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        ran.append(argv)
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(subprocess, "run", run)
    runs_here("linux/arm64", tmp_path)
    assert ran[0][0] == first


@pytest.mark.usefixtures("_on_x86")
@pytest.mark.parametrize("error", [FileNotFoundError("unshare"), subprocess.TimeoutExpired("chroot", 30)])
def test_where_it_cannot_be_tried_it_does_not_run(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", run)
    assert not runs_here("linux/arm64", tmp_path)


QEMU_ARM64 = """enabled
interpreter /usr/bin/qemu-aarch64-static
flags: F
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""


@pytest.fixture
def registered(tmp_path: Path) -> Path:
    """What is registered with the kernel: qemu for arm64, and a kind of file that goes by its name."""
    (tmp_path / "status").write_text("enabled\n")
    (tmp_path / "register").touch()
    (tmp_path / "qemu-aarch64").write_text(QEMU_ARM64)
    (tmp_path / "jar").write_text("enabled\ninterpreter /usr/bin/java\nflags:\nextension .jar\n")
    return tmp_path


@pytest.mark.parametrize(
    ("platform", "emulator"),
    [
        ("linux/arm64", "/usr/bin/qemu-aarch64-static"),
        ("linux/arm/v7", None),
        ("linux/s390x", None),
        ("wasi/wasm", None),
        ("odd", None),
    ],
)
def test_an_emulator_is_known_by_what_the_kernel_calls_it_for(
    registered: Path, platform: str, emulator: str | None
) -> None:
    assert emulator_of(platform, registered) == emulator


def test_an_entry_that_is_disabled_is_not_called(registered: Path) -> None:
    (registered / "qemu-aarch64").write_text(QEMU_ARM64.replace("enabled", "disabled"))
    assert emulator_of("linux/arm64", registered) is None


def test_all_of_them_can_be_switched_off(registered: Path) -> None:
    (registered / "status").write_text("disabled\n")
    assert emulator_of("linux/arm64", registered) is None


def test_a_machine_without_binfmt_misc_calls_nothing(tmp_path: Path) -> None:
    assert emulator_of("linux/arm64", tmp_path / "none") is None


@pytest.mark.parametrize(
    ("image", "engine"),
    [("linux/amd64", "linux/amd64"), ("linux/amd64/v3", "linux/amd64"), ("linux/arm/v6", "linux/arm"), ("x/y", None)],
)
def test_a_cpus_own_images_are_not_emulated(image: str, engine: str | None) -> None:
    assert emulator_for(image, engine) is None


def test_an_image_that_the_cpu_cannot_run_is_emulated_by_whoever_does() -> None:
    assert emulator_for("linux/s390x", "linux/amd64") is not None
