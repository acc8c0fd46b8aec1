"""Tools that run, fail, are missing or are interrupted."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from coldstart.errors import StorageError
from coldstart.images import processes
from coldstart.images.processes import ToolFailedError, ToolSilentError


def test_a_tools_output_is_returned() -> None:
    assert processes.run([sys.executable, "-c", "print('ok')"]) == "ok\n"


def test_output_can_go_to_a_file(tmp_path: Path) -> None:
    processes.run_to_file([sys.executable, "-c", "print('ok')"], tmp_path / "out")
    assert (tmp_path / "out").read_text() == "ok\n"


def test_a_failure_tells_the_last_lines_and_not_the_first() -> None:
    script = "import sys\nfor i in range(50): print('line', i, file=sys.stderr)\nsys.exit(3)"
    with pytest.raises(ToolFailedError, match=r"exit code 3") as caught:
        processes.run([sys.executable, "-c", script])
    assert "line 49" in str(caught.value)
    assert "line 30\n" not in str(caught.value)


def test_a_failure_without_a_word_on_stderr_tells_its_output() -> None:
    with pytest.raises(ToolFailedError, match="said here"):
        processes.run([sys.executable, "-c", "print('said here'); raise SystemExit(1)"])


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ToolFailedError, match="qemu-img is not installed: apt-get install qemu-utils"):
        processes.run(["qemu-img", "--version"])


def test_an_interrupted_tool_may_clean_up_before_it_ends(tmp_path: Path) -> None:
    script = (
        "import signal, sys, pathlib, time, os\n"
        f"def end(*_): pathlib.Path({str(tmp_path / 'cleaned')!r}).touch(); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "time.sleep(60)\n"
    )

    def interrupt_when_ready() -> None:
        while not (tmp_path / "ready").exists():
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt_when_ready, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        processes.run([sys.executable, "-c", script])
    assert (tmp_path / "cleaned").exists()


def test_a_tool_that_does_nothing_is_ended_and_named() -> None:
    began = time.monotonic()
    with pytest.raises(ToolSilentError, match="did nothing for 0 s and was ended"):
        processes.run([sys.executable, "-c", "import time; time.sleep(60)"], silence_s=0.4)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "work", ["open('/dev/null', 'wb', 0).write(b'x' * 99)", "[None for _ in range(40000)]", "subprocess.run(['true'])"]
)
def test_a_tool_that_does_something_is_waited_for(work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_COMPUTING_S", 0.02)
    script = (
        "import subprocess, time\nend = time.monotonic() + 4.5\n"
        f"while time.monotonic() < end:\n    {work}\n    time.sleep(0.002)\nprint('done')"
    )
    assert processes.run([sys.executable, "-c", script], silence_s=2) == "done\n"


@pytest.mark.parametrize("said", ["write /x: no space left on device", "Disk quota exceeded"])
def test_a_full_disk_is_told_as_one_whichever_tool_met_it(tmp_path: Path, said: str) -> None:
    script = f"import sys; sys.exit({said!r})"
    with pytest.raises(StorageError, match=f"{tmp_path}: {said}"):
        processes.run([sys.executable, "-c", script], cwd=tmp_path)


def test_a_tool_that_cannot_be_looked_at_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's process does not tell what it does."""
    monkeypatch.setattr(processes, "_work", lambda _pid: ((0, 0, 0), 0.0))
    assert processes.run([sys.executable, "-c", "import time; time.sleep(1); print('done')"], silence_s=0.2) == "done\n"
