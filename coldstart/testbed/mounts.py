"""The mount table, read; and what is mounted below a folder, undone."""

from __future__ import annotations

import re
import time
from pathlib import Path

import msgspec

from coldstart.errors import TestbedError
from coldstart.testbed import shell
from coldstart.units import NS_PER_S

_OCTAL = re.compile(r"\\([0-7]{3})")
_UNMOUNT_TIMEOUT_NS = 10 * NS_PER_S
_RETRY_S = 0.02


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """A line of mountinfo (proc_pid_mountinfo(5)); ``device`` is ``major:minor``."""

    device: str
    point: Path
    kind: str
    source: str


def parse(mountinfo: str) -> tuple[Mount, ...]:
    """All mounts, in order; a later one covers an earlier one of the same point."""
    mounts = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(" "), after.split(" ")
        if len(left) < 5 or len(right) < 2:
            continue
        mounts.append(Mount(device=left[2], point=Path(_plain(left[4])), kind=right[0], source=_plain(right[1])))
    return tuple(mounts)


def read(proc: Path = Path("/proc")) -> tuple[Mount, ...]:
    """The mounts of our own mount namespace."""
    return parse((proc / "self" / "mountinfo").read_text(errors="surrogateescape"))


def below(folder: Path, proc: Path = Path("/proc")) -> tuple[Mount, ...]:
    """Mounts at or below ``folder``, the last mounted first: the order to undo them in."""
    return tuple(mount for mount in reversed(read(proc)) if mount.point.is_relative_to(folder))


def unmount_below(folder: Path) -> int:
    """Unmount everything at or below ``folder``; how many there were.

    Raises:
        TestbedError: something is in use and stays so, or is not given up at all.
    """
    count, deadline_ns = 0, time.monotonic_ns() + _UNMOUNT_TIMEOUT_NS
    while mounted := below(folder):
        try:
            shell.run("umount", mounted[0].point)
        except TestbedError as error:
            if time.monotonic_ns() > deadline_ns:
                why = str(error).rstrip(".")
                raise TestbedError(f"{why}. Find who uses it: fuser -vm {mounted[0].point}") from error
            time.sleep(_RETRY_S)  # the kernel gives up a killed engine's files a moment after its processes
        else:
            count += 1
    return count


def _plain(field: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), field)
