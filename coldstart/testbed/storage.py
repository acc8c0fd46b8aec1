"""Where the engine's data live: a folder, on a journaled loop file where the folder's filesystem has no journal."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from coldstart.errors import TestbedError
from coldstart.model.board import WITHOUT_OVERLAYS
from coldstart.testbed import block
from coldstart.testbed.config import Layout, Medium
from coldstart.testbed.processes import TOOL, tag
from coldstart.testbed.shell import run

_MEMORY_BYTES = 512 * 1024**2  # at most, and only what is written; small boards have no more to lend
_LOOP_FILE_BYTES = 12 * 1024**3  # sparse: it takes what the images take


class Storage(msgspec.Struct, frozen=True, kw_only=True):
    """The data-root, in words, and the loop device and its mount if there is one."""

    data_root: Path
    description: str
    loop_device: str | None = None
    loop_mount: Path | None = None


def prepare(layout: Layout, data_root: Path | None, medium: Medium = Medium.DISK) -> Storage:
    """Make the data-root ready: the folder asked for as it is, else our own with a journal under it.

    Repeated removal and pull on ext4 without a journal slows down from one to the next, and a filesystem that cannot be
    the upper one of an overlay leaves Docker its vfs driver, which copies every layer whole. There a loop file takes
    the folder's place if this machine can mount one; ``description`` says which it became.
    """
    folder = data_root or layout.data
    folder.mkdir(mode=0o711, exist_ok=True)
    if medium is Medium.MEMORY:
        options = f"size={_MEMORY_BYTES},mode=711"
        run("mount", "-t", "tmpfs", "-o", options, "tmpfs", folder, tag=tag(layout, TOOL))
        return Storage(data_root=folder, description="tmpfs")
    filesystem = block.filesystem_of(folder)
    words = f"directory on {filesystem or 'an unknown filesystem'}"
    bears_overlays = filesystem is None or filesystem.kind not in WITHOUT_OVERLAYS
    if not bears_overlays:
        words += ", on which Docker falls back to its vfs driver and copies every layer whole"
    if data_root is not None or filesystem is None or (bears_overlays and filesystem.journal is not False):
        return Storage(data_root=folder, description=words)
    try:
        return _on_loop_file(layout)
    except TestbedError as error:
        release_loops(layout)
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
    device, cache = _attach(layout)
    run("mount", device, layout.data, tag=tag(layout, TOOL))
    run("losetup", "--detach", device)  # once mounted this means: when it is unmounted
    shutil.rmtree(layout.data / "lost+found", ignore_errors=True)
    return Storage(
        data_root=layout.data,
        description=f"journaled ext4 loop file{cache}",
        loop_device=device,
        loop_mount=layout.data,
    )


def _attach(layout: Layout) -> tuple[str, str]:
    """Attach the loop file past the host's page cache: there, pages evicted from a layer would still be in memory."""
    attach = ("losetup", "--find", "--show")
    try:
        return run(*attach, "--direct-io=on", layout.loop_file, tag=tag(layout, TOOL)).strip(), ""
    except TestbedError:
        release_loops(layout)
        device = run(*attach, layout.loop_file, tag=tag(layout, TOOL)).strip()
        return device, ", without direct I/O: its pages stay in the host's page cache when a layer's are evicted"
