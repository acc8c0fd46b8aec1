"""Tools that are run to their end, and daemons that outlive us."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from coldstart.errors import TestbedError
from coldstart.testbed import shell
from coldstart.testbed.shell import TAG, run, spawn, tail
from coldstart.units import NS_PER_S
from tests.unit.testbed.records import add_program


def test_a_tools_output_is_returned() -> None:
    assert run("sh", "-c", "echo said; echo aside >&2") == "said\n"


def test_a_tools_words_may_be_paths() -> None:
    assert run("echo", Path("/x")) == "/x\n"


def test_a_tool_is_marked() -> None:
    assert run("sh", "-c", f"echo ${TAG}", tag="0123abcd:tool") == "0123abcd:tool\n"


def test_a_tool_without_a_mark_has_not_that_of_whoever_started_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TAG, "theirs:engine")
    assert run("sh", "-c", f"echo ${TAG}") == "\n"


def test_a_tool_speaks_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert run("sh", "-c", "echo $LC_ALL") == "C\n"


def test_a_tool_has_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy")
    assert run("sh", "-c", "echo $HTTP_PROXY") == "http://proxy\n"


def test_a_tool_is_found_in_sbin_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert run("sh", "-c", "echo $PATH") == "/nowhere:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"


def test_a_tool_that_fails_is_an_error_with_what_it_said() -> None:
    with pytest.raises(TestbedError, match=r"^sh -c .*: no such thing$"):
        run("sh", "-c", "echo no such thing >&2; exit 3")


def test_a_tool_that_fails_silently_is_an_error_with_its_exit_code() -> None:
    with pytest.raises(TestbedError, match=r"^sh -c exit 3: exit code 3$"):
        run("sh", "-c", "exit 3")


def test_a_tool_that_is_missing_is_an_error_with_the_remedy() -> None:
    with pytest.raises(TestbedError, match=r"^coldstart-no-such-tool is not installed\. Run scripts/setup\."):
        run("coldstart-no-such-tool", "x")


def test_a_tool_that_does_not_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "_TIMEOUT_S", 0.005)
    with pytest.raises(TestbedError, match=r"^sleep 600 did not end within"):
        run("sleep", "600")


def test_a_tool_that_cannot_even_be_killed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel does not end a process that waits for a disk."""
    started: list[subprocess.Popen[str]] = []

    class Unkillable(subprocess.Popen[str]):
        def kill(self) -> None:
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Unkillable)
    monkeypatch.setattr(shell, "_TIMEOUT_S", 0.05)
    monkeypatch.setattr(shell, "_KILLED_S", 0.05)
    begin_ns = time.monotonic_ns()
    try:
        with pytest.raises(TestbedError, match=r"^sleep 20 did not end within"):
            run("sleep", "20")
        assert time.monotonic_ns() - begin_ns < 10 * NS_PER_S
    finally:
        for process in started:
            process.send_signal(signal.SIGKILL)
            process.wait()


def test_a_daemon_that_cannot_be_started_in_time_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_program(tmp_path, "setsid", "#!/bin/sh\nexec sleep 20\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(shell, "_TIMEOUT_S", 0.2)
    with pytest.raises(TestbedError, match=r"^x could not be started: .* timed out"):
        spawn(["x"], tag="me:tool", path=os.environ["PATH"], home=tmp_path, log=tmp_path / "log")


def daemon_says(tmp_path: Path, script: str, argv: tuple[str | Path, ...] = ()) -> str:
    """What a daemon of ours wrote to its log until it ended."""
    reading, writing = os.pipe()
    words = argv or ("sh", "-c", script)
    path = os.environ["PATH"]
    spawn(words, tag="me:tool", path=path, home=tmp_path, log=tmp_path / "log", pass_fds=[writing])
    os.close(writing)
    os.read(reading, 1)  # its end: only the daemon had the other side
    os.close(reading)
    return (tmp_path / "log").read_text()


def test_a_daemon_has_a_path_a_home_and_a_mark(tmp_path: Path) -> None:
    said = daemon_says(tmp_path, f'echo "$PATH $HOME ${TAG}"')
    assert said == f"{os.environ['PATH']} {tmp_path} me:tool\n"


def test_a_daemon_leaves_nothing_among_the_machines_temporary_files(tmp_path: Path) -> None:
    """Its containerd writes its stacks there when it hangs and is ended."""
    assert daemon_says(tmp_path, 'echo "$TMPDIR"') == f"{tmp_path}\n"


def test_a_daemon_has_nothing_else_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy")
    assert daemon_says(tmp_path, "echo $HTTP_PROXY") == "\n"


def test_what_a_daemon_says_on_either_stream_is_appended_to_its_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n")
    assert daemon_says(tmp_path, "echo said; echo aside >&2") == "before\nsaid\naside\n"


def test_a_daemon_hears_nothing(tmp_path: Path) -> None:
    assert daemon_says(tmp_path, "cat; echo end") == "end\n"


def test_a_daemon_is_in_a_session_of_its_own(tmp_path: Path) -> None:
    """Ctrl-C at our terminal is not for it."""
    session = int(daemon_says(tmp_path, "read -r _ _ _ _ _ session _ < /proc/self/stat; echo $session"))
    assert session not in {0, os.getsid(0)}


def test_a_daemon_is_waited_for_by_nobody(tmp_path: Path) -> None:
    parent = int(daemon_says(tmp_path, "sleep 0.005; read -r _ _ _ parent _ < /proc/$$/stat; echo $parent"))
    assert parent != os.getpid()


def test_that_a_daemon_fails_shows_in_its_log(tmp_path: Path) -> None:
    assert "coldstart-no-such-daemon" in daemon_says(tmp_path, "", ("coldstart-no-such-daemon",))


def test_a_daemon_that_cannot_be_forked_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match="dockerd could not be started"):
        spawn(["dockerd"], tag="", path="/nowhere", home=tmp_path, log=tmp_path / "log")


def test_a_fork_that_fails_is_an_error_that_names_the_daemon(tmp_path: Path) -> None:
    add_program(tmp_path, "setsid", "#!/bin/sh\nexit 1\n")
    with pytest.raises(TestbedError, match="dockerd could not be started"):
        spawn(["dockerd"], tag="", path=str(tmp_path), home=tmp_path, log=tmp_path / "log")


def test_the_last_lines_of_a_log_are_shown_one_below_the_other(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("1\n2\n3\n4\n")
    assert tail(tmp_path / "log", 2) == "\n  3\n  4"


def test_eight_lines_are_enough(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("".join(f"{line}\n" for line in range(10)))
    assert tail(tmp_path / "log").split() == list("23456789")


def test_a_long_line_is_cut_at_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a" * 10_000 + "end")
    assert tail(tmp_path / "log") == "\n  " + "a" * 8189 + "end"


def test_a_log_that_is_no_text_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\xffb\n")
    assert tail(tmp_path / "log") == "\n  a\ufffdb"


def test_an_absent_log_is_said_to_be(tmp_path: Path) -> None:
    assert tail(tmp_path / "log") == "(no log)"
