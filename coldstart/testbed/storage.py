"""Where the engine's data live: a folder, on a journaled loop file where the folder's filesystem has no journal."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from coldstart.errors import TestbedError
from coldstart.testbed import block
from coldstart.testbed.config import Layout
from coldstart.testbed.processes import TOOL, tag
from coldstart.testbed.shell import run

_LOOP_FILE_BYTES = 12 * 1024**3  # sparse: it takes what the images take


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """The data-root, in words, and the loop device and its mount if there is one."""

    data_root: Path
    description: str
    loop_device: str | None = None
    loop_mount: Path | None = None


def prepare(layout: Layout, data_root: Path | None) -> Storage:
    """Make the data-root ready: the folder asked for as it is, else our own with a journal under it.

    Repeated removal and pull on ext4 without a journal slows down from one to the next, so there a loop file takes
    its place if this machine can mount one; ``description`` says which it became.
    """
    folder = data_root or layout.data
    folder.mkdir(mode=0o711, exist_ok=True)
    filesystem = block.filesystem_of(folder)
    words = f"directory on {filesystem or 'an unknown filesystem'}"
    if data_root is not None or filesystem is None or filesystem.journal is not False:
        return Storage(data_root=folder, description=words)
    try:
        return _on_loop_file(layout)
    except TestbedError as error:
        layout.loop_file.unlink(missing_ok=True)
        return Storage(data_root=folder, description=f"{words}; no loop file, because {error}")


def release_loops(layout: Layout, sys: Path = Path("/sys")) -> int:
    """Detach loop devices on our file that a killed ``up`` left unmounted; how many there were."""
    left = 0
    for backing in (sys / "block").glob("loop*/loop/backing_file"):
        try:
            file = backing.read_text().strip().removesuffix(" (deleted)")
        except OSError:
            continue  # detached meanwhile
        if Path(file) == layout.loop_file:
            run("losetup", "--detach", f"/dev/{backing.parent.parent.name}")
            left += 1
    return left


def _on_loop_file(layout: Layout) -> Storage:
    with layout.loop_file.open("wb") as file:
        file.truncate(_LOOP_FILE_BYTES)
    run("mkfs.ext4", "-q", "-F", "-m", "0", layout.loop_file, tag=tag(layout, TOOL))
    run(
        "mount", "-o", "loop", layout.loop_file, layout.data, tag=tag(layout, TOOL)
    )  # autoclear: unmounting frees the device
    shutil.rmtree(layout.data / "lost+found", ignore_errors=True)
    mounted = block.filesystem_of(layout.data)
    return Storage(
        data_root=layout.data,
        description="journaled ext4 loop file",
        loop_device=mounted.device if mounted else None,
        loop_mount=layout.data,
    )
