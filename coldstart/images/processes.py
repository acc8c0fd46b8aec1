"""Run the host's tools: their output on failure becomes one message, and an interrupt lets them clean up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from coldstart.errors import ImageBuildError

_TAIL_LINES = 12
_GRACE_S = 30

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


def run(argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run ``argv`` to its end and return its standard output; ``env`` is added to ours.

    The child inherits the calling thread's network namespace.

    Raises:
        ToolFailedError: it is not installed, or ended with an error; the message has its last lines.
    """
    output = _finish(_spawn(argv, subprocess.PIPE, cwd, env), argv)
    return output.decode(errors="replace")


def run_to_file(argv: Sequence[str], path: Path) -> None:
    """Run ``argv`` to its end, its standard output going to ``path``.

    Raises:
        ToolFailedError: as for `run`.
    """
    with path.open("wb") as stream:
        _finish(_spawn(argv, stream, None, None), argv)


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


def _finish(process: subprocess.Popen[bytes], argv: Sequence[str]) -> bytes:
    try:
        output, messages = process.communicate()
    except BaseException:
        _end(process)
        raise
    if process.returncode != 0:
        told = (messages.strip() or (output or b"").strip()).decode(errors="replace")
        tail = "\n".join(f"  {line}" for line in told.splitlines()[-_TAIL_LINES:])
        raise ToolFailedError(f"{_command(argv)} failed (exit code {process.returncode}):\n{tail}", told)
    return output or b""


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
