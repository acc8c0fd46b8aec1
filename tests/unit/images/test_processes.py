"""Tools that run, fail, are missing or are interrupted."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from coldstart.images import processes
from coldstart.images.processes import ToolFailedError


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
