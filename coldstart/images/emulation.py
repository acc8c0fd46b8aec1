"""Whether programs of another platform run here: by the CPU itself, or by an emulator that the kernel calls for them.

Building an image runs programs of its platform. Linux hands those it cannot run to whatever is registered with
``binfmt_misc`` (https://docs.kernel.org/admin-guide/binfmt-misc.html): on Debian qemu's user mode, by a package.
Nothing is registered by us.
"""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

from coldstart.images import platforms
from coldstart.images.workspace import work_folder


class _Program(NamedTuple):
    """The shortest program of a platform: machine code of ``exit(0)``, and ELF's number of the machine."""

    machine: int
    code: bytes
    is_64_bit: bool
    flags: int = 0


_PROGRAMS = {
    # xor edi, edi; mov eax, 60; syscall
    "linux/amd64": _Program(62, bytes.fromhex("31ff b83c000000 0f05"), is_64_bit=True),
    # mov x0, 0; mov x8, 93; svc 0
    "linux/arm64": _Program(183, bytes.fromhex("000080d2 a80b80d2 010000d4"), is_64_bit=True),
    # mov r0, 0; mov r7, 1; svc 0; the flags are those of EABI version 5
    "linux/arm/v7": _Program(40, bytes.fromhex("0000a0e3 0170a0e3 000000ef"), is_64_bit=False, flags=0x05000000),
}

REMEDY = "apt-get install qemu-user-static binfmt-support && update-binfmts --enable"
"""What makes Debian and Ubuntu run other platforms' programs; the second command where no service was started."""

_TIMEOUT_S = 30
_REGISTERED = Path("/proc/sys/fs/binfmt_misc")


class _Machine(NamedTuple):
    """How an executable of an architecture says whose it is: ELF's number, class and byte order."""

    number: int
    is_64_bit: bool = True
    is_little: bool = True


# Docker's names, and ELF's numbers: https://www.sco.com/developers/gabi/latest/ch4.eheader.html and linux/elf-em.h.
_MACHINES = {
    "386": _Machine(3, is_64_bit=False),
    "amd64": _Machine(62),
    "arm": _Machine(40, is_64_bit=False),
    "arm64": _Machine(183),
    "loong64": _Machine(258),
    "mips64le": _Machine(8),
    "ppc64le": _Machine(21),
    "riscv64": _Machine(243),
    "s390x": _Machine(22, is_little=False),
}


def emulator_of(platform: str, registered: Path = _REGISTERED) -> str | None:
    """What the kernel calls for programs of ``platform`` instead of running them; ``None`` if it calls nothing.

    The entries' files say what a program has to begin with (``magic``, below ``mask``, from ``offset`` on), as the
    kernel's documentation has it. A disabled entry is not called.
    """
    architecture = platform.split("/")[1] if "/" in platform else platform
    if architecture not in _MACHINES or _switched_off(registered / "status"):
        return None
    header = _header(_MACHINES[architecture])
    try:
        files = sorted(file for file in registered.iterdir() if file.name not in {"register", "status"})
        entries = [file.read_text(errors="replace") for file in files]
    except OSError:
        return None
    for entry in entries:
        facts = dict(line.partition(" ")[::2] for line in entry.splitlines())
        if "enabled" in facts and _begins_with(header, facts):
            return facts.get("interpreter") or "an emulator"
    return None


def emulator_for(image: str, engine: str | None) -> str | None:
    """What would run an image's programs on an engine that says it is ``engine``; ``None`` where the CPU does.

    Of a 64-bit engine and a 32-bit image only the kernel knows: where it calls an emulator for those, it is that.
    """
    native = engine and platforms.of_facts(engine)
    if native is None or image == native:
        return None
    if image.split("/")[:2] == native.split("/")[:2]:  # another variant: the same CPU
        return None
    called = emulator_of(image)
    return called if platforms.runs_natively(image, native) else called or "an emulator"


def _switched_off(status: Path) -> bool:
    try:
        return status.read_text().strip() != "enabled"
    except OSError:
        return False


def _header(machine: _Machine) -> bytes:
    """The first 64 bytes of an executable of that machine, as far as they are the same in all of them."""
    identity = struct.pack("<4sBBB9x", b"\x7fELF", 2 if machine.is_64_bit else 1, 1 if machine.is_little else 2, 1)
    return (identity + struct.pack("<HHI" if machine.is_little else ">HHI", 2, machine.number, 1)).ljust(64, b"\0")


def _begins_with(header: bytes, facts: dict[str, str]) -> bool:
    try:
        magic = bytes.fromhex(facts["magic"].strip())
        mask = bytes.fromhex(facts["mask"].strip()) if "mask" in facts else b"\xff" * len(magic)
        offset = int(facts.get("offset", "0"))
    except (KeyError, ValueError):  # one that goes by the file name's end
        return False
    part = header[offset : offset + len(magic)]
    if len(part) != len(magic) or len(mask) != len(magic):
        return False
    return all((ours ^ wanted) & of_them == 0 for ours, wanted, of_them in zip(part, magic, mask, strict=True))


def runs_here(platform: str, cache: Path) -> bool:
    """Whether a program of ``platform`` (one that kits are saved for) runs here, in a root folder that holds only it.

    That is how it will be run: an emulator that is looked for in the container is none. It is tried where images are
    made, in a folder of ``cache`` that is gone afterwards.

    Raises:
        StorageError: the cache cannot be written.
    """
    if platforms.python_machine(platform) == os.uname().machine:
        return True
    with work_folder(cache) as root:
        program = root / "program"
        program.write_bytes(executable(platform))
        program.chmod(0o755)
        unprivileged = () if os.geteuid() == 0 else ("unshare", "--map-root-user")
        try:
            done = subprocess.run(
                [*unprivileged, "chroot", str(root), "/program"], capture_output=True, check=False, timeout=_TIMEOUT_S
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0


def executable(platform: str) -> bytes:
    """An ELF file that ends with exit code 0: one header, one segment, no library."""
    machine, code, is_64_bit, flags = _PROGRAMS[platform]
    word, header, entry = ("Q", 64, 56) if is_64_bit else ("I", 52, 32)
    base, start = 0x10000, header + entry
    size = start + len(code)
    identity = struct.pack("<4sBBB9x", b"\x7fELF", 2 if is_64_bit else 1, 1, 1)
    file = struct.pack(
        f"<HHI{word}{word}{word}IHHHHHH", 2, machine, 1, base + start, header, 0, flags, header, entry, 1, 0, 0, 0
    )
    read_and_execute = 5
    segment = (
        struct.pack("<IIQQQQQQ", 1, read_and_execute, 0, base, base, size, size, 0x10000)
        if is_64_bit
        else struct.pack("<IIIIIIII", 1, 0, base, base, size, size, read_and_execute, 0x10000)
    )
    return identity + file + segment + code
