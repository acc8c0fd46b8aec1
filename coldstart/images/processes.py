"""Run the host's tools: their output on failure becomes one message, and an interrupt lets them clean up.

No tool is waited for without end: one that neither reads, writes nor computes for a while is ended. How long it takes
in all does not matter, since a large image over a slow link takes its time.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

from coldstart.errors import ImageBuildError, StorageError
from coldstart.images.workspace import full_disk

SILENCE_S = 300.0
"""How long a tool may do nothing at all: packages' scripts wait for slow cards, and apt for mirrors."""

_TAIL_LINES = 12
_GRACE_S = 30
_LOOK_S = 1.0
_COMPUTING_S = 1.0  # of CPU time; a Go program that waits takes some milliseconds in a minute, too
_FULL = re.compile(r"no space left on device|disk quota exceeded|file too large", re.IGNORECASE)
_LOGGED = re.compile(r'msg="(.*)"$')

# Where a tool comes from, in Debian's, Ubuntu's and Raspberry Pi OS's names.
_PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "debugfs": "e2fsprogs",
    "skopeo": "skopeo",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
}


class ToolFailedError(ImageBuildError):
    """A tool ended with an error; ``output`` is what it wrote, for callers that can tell why."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


class ToolSilentError(ToolFailedError):
    """A tool was ended because it did nothing for too long."""


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    silence_s: float = SILENCE_S,
) -> str:
    """Run ``argv`` to its end and return its standard output; ``env`` is added to ours.

    The child inherits the calling thread's network namespace. It is ended when it, and all it started, did nothing for
    ``silence_s``.

    Raises:
        ToolFailedError: it is not installed, or ended with an error; the message has its last lines.
        ToolSilentError: it did nothing for too long.
        StorageError: the disk it writes to is full.
    """
    output = _finish(_spawn(argv, subprocess.PIPE, cwd, env), argv, silence_s, cwd)
    return output.decode(errors="replace")


def run_to_file(argv: Sequence[str], path: Path) -> None:
    """Run ``argv`` to its end, its standard output going to ``path``.

    Raises:
        ToolFailedError: as for `run`.
    """
    with path.open("wb") as stream:
        _finish(_spawn(argv, stream, None, None), argv, SILENCE_S, path.parent)


def reason(said: str) -> str:
    """The last thing skopeo or an engine said, without a logger's frame around it."""
    lines = said.strip().splitlines()
    last = lines[-1] if lines else "no reason given"
    framed = _LOGGED.search(last)
    return framed.group(1).replace('\\"', '"') if framed else last


def _spawn(
    argv: Sequence[str], stdout: int | IO[bytes], cwd: Path | None, env: Mapping[str, str] | None
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, **(env or {}), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError as error:
        tool = Path(argv[0]).name
        raise ToolFailedError(f"{tool} is not installed: apt-get install {_PACKAGES.get(tool, tool)}.", "") from error


def _finish(process: subprocess.Popen[bytes], argv: Sequence[str], silence_s: float, folder: Path | None) -> bytes:
    try:
        output, messages = _communicate(process, argv, silence_s)
    except BaseException:
        _end(process)
        raise
    if process.returncode != 0:
        told = (messages.strip() or (output or b"").strip()).decode(errors="replace")
        if _FULL.search(told):
            raise StorageError(full_disk(folder or Path.cwd(), reason(told)))
        tail = "\n".join(f"  {line}" for line in told.splitlines()[-_TAIL_LINES:])
        raise ToolFailedError(f"{_command(argv)} failed (exit code {process.returncode}):\n{tail}", told)
    return output or b""


def _communicate(process: subprocess.Popen[bytes], argv: Sequence[str], silence_s: float) -> tuple[bytes | None, bytes]:
    """What it wrote, to its end.

    Raises:
        ToolSilentError: it did nothing for ``silence_s``.
    """
    before, moved_s = _work(process.pid), time.monotonic()
    while True:
        try:
            return process.communicate(timeout=min(_LOOK_S, silence_s))
        except subprocess.TimeoutExpired:
            now = _work(process.pid)
            is_hidden = now[0][0] == 0  # another user's process: nothing can be said of it
            if is_hidden or now[0] != before[0] or now[1] >= before[1] + _COMPUTING_S:
                before, moved_s = now, time.monotonic()
            elif time.monotonic() - moved_s >= silence_s:
                why = f"{_command(argv)} did nothing for {silence_s:.0f} s and was ended: what it talks to is silent."
                raise ToolSilentError(why, why) from None


def _work(pid: int) -> tuple[tuple[int, int, int], float]:
    """What a process and all it started have moved so far: processes, bytes read, bytes written; and CPU seconds."""
    count = read_bytes = written_bytes = 0
    cpu_s = 0.0
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return (0, 0, 0), 0.0
    for member in family:
        try:
            moved, used = member.io_counters(), member.cpu_times()
        except (psutil.Error, OSError):  # it ended meanwhile, or is another user's
            continue
        count += 1
        read_bytes += moved.read_chars
        written_bytes += moved.write_chars
        cpu_s += used.user + used.system
    return (count, read_bytes, written_bytes), cpu_s


def _command(argv: Sequence[str]) -> str:
    """The tool as messages name it: not the helper that isolates it."""
    names = [Path(word).name for word in argv]
    return next((name for name in names if name in _PACKAGES), names[0])


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM first: mmdebstrap removes its folder and mounts when told to end, and nobody does if it is killed."""
    process.terminate()
    try:
        process.communicate(timeout=_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
