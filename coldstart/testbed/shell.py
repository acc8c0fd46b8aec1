"""Running the machine's tools: briefly and checked, or as a daemon of ours."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from coldstart.errors import TestbedError
from coldstart.testbed.executables import search_path

TAG = "COLDSTART_TESTBED"  # in the environment of everything we start: how a killed run's processes are found
_TIMEOUT_S = 120
_KILLED_S = 2  # for a killed process to go, unless it hangs in the kernel, as umount may


def run(*argv: str | Path, tag: str = "") -> str:
    """Run a tool to its end; its standard output. ``tag`` marks it as a testbed's, should we be killed before it ends.

    Raises:
        TestbedError: it failed, with what it said.
    """
    words = [str(word) for word in argv]
    environment = {**os.environ, "PATH": search_path(), "LC_ALL": "C", TAG: tag}
    try:
        done = _ended(words, environment)
    except FileNotFoundError as error:
        raise TestbedError(f"{words[0]} is not installed. Run scripts/setup.") from error
    except PermissionError as error:
        raise TestbedError(f"{words[0]} may not be run: permission denied.") from error
    except subprocess.TimeoutExpired as error:
        raise TestbedError(f"{' '.join(words)} did not end within {_TIMEOUT_S} s.") from error
    if done.returncode != 0:
        raise TestbedError(f"{' '.join(words)}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


def _ended(words: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run`, which waits without a limit for what it has killed: the kernel may never let go of that."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        try:
            output, errors = process.communicate(timeout=_TIMEOUT_S)
        except BaseException:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_KILLED_S)
            raise
    return subprocess.CompletedProcess(words, process.returncode, output, errors)


def spawn(
    argv: Sequence[str | Path], *, tag: str, path: str, home: Path, log: Path, pass_fds: Sequence[int] = ()
) -> None:
    """Start a daemon that outlives us, in a session and at the root, with nothing of our environment but PATH.

    ``home`` is its home, and where it keeps temporary files. ``tag`` is its value of `TAG`; its output is appended to
    ``log``.

    Raises:
        TestbedError: it could not even be forked. That it then fails shows in its log.
    """
    # containerd writes its stacks to the folder of temporary files when a daemon that hangs is ended
    environment: Mapping[str, str] = {"PATH": path, "HOME": str(home), "TMPDIR": str(home), TAG: tag}
    words = ["setsid", "--fork", *(str(word) for word in argv)]
    with log.open("ab") as output:
        try:
            subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                check=True,
                pass_fds=pass_fds,
                timeout=_TIMEOUT_S,
                cwd="/",  # the caller's folder may be on a stick that is to be unmounted
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise TestbedError(f"{words[2]} could not be started: {error}") from error


def tail(log: Path, lines: int = 8) -> str:
    """The last lines of a log, for an error message."""
    try:
        content = log.read_text(errors="replace")[-8192:]
    except OSError:
        return "(no log)"
    return "\n  ".join(["", *content.splitlines()[-lines:]])
