"""The command line as a whole: commands found and mistyped, ends that no command chose, what a start must not cost."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click
import pytest

from coldstart import __version__, cli
from coldstart.errors import EngineUnreachableError, UsageError
from tests.unit.cli.conftest import Run

COMMANDS = cli.root.list_commands(click.Context(cli.root))

Ends = Callable[[BaseException], None]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    """Make every command end with an exception."""

    def replace(error: BaseException) -> None:
        @click.command()
        def command() -> NoReturn:
            raise error

        monkeypatch.setattr(cli.LazyGroup, "get_command", lambda _group, _context, _name: command)

    return replace


def test_the_help_lists_every_command(coldstart: Run, capsys: pytest.CaptureFixture[str]) -> None:
    code = coldstart("-h")
    listed = [line.split()[0] for line in capsys.readouterr().out.partition("Commands:\n")[2].splitlines()]
    assert (code, listed) == (0, COMMANDS)


def test_the_commands_are_those_the_manual_is_about() -> None:
    assert {"export", "images", "report", "run", "testbed"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_of_its_own(coldstart: Run, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert coldstart(name, "--help") == 0
    assert capsys.readouterr().out.startswith(f"Usage: coldstart {name} ")


def test_nothing_said_is_answered_with_the_help(coldstart: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert coldstart() == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize(("typed", "meant"), [("rnu", "run"), ("reprot", "report"), ("image", "images")])
def test_a_mistyped_command_is_answered_with_the_nearest(
    coldstart: Run, capsys: pytest.CaptureFixture[str], typed: str, meant: str
) -> None:
    code = coldstart(typed, "--help")
    err = capsys.readouterr().err
    assert (code, err.count("\n")) == (2, 1)
    assert f"unknown command {typed!r}; did you mean {meant!r}?" in err


@pytest.mark.parametrize("name", ["_options", "__init__", ""])
def test_a_module_that_is_no_command_cannot_be_called(coldstart: Run, name: str) -> None:
    assert coldstart(name) == 2


def test_an_unknown_option_ends_with_2(coldstart: Run) -> None:
    assert coldstart("--verison") == 2


# --- ends ---


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("what is that?"), 2, "coldstart: what is that?\n"),
        (click.FileError("/x", "is a folder"), 4, "Error: Could not open file '/x': is a folder\n"),
        (SystemExit(), 0, ""),
        (MemoryError(), 4, "coldstart: there is not enough memory. Free some, and repeat.\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x"),
            4,
            "coldstart: /x: No space left on device. Make room there, or choose another place.\n",
        ),
        (EngineUnreachableError("gone"), 4, "coldstart: gone\n"),
        (
            PermissionError(13, "Permission denied", "/x"),
            4,
            "coldstart: /x: Permission denied. Run as root (sudo), or choose another place.\n",
        ),
    ],
)
def test_an_error_is_one_message_and_its_code(
    coldstart: Run, ends: Ends, capsys: pytest.CaptureFixture[str], error: Exception, code: int, message: str
) -> None:
    ends(error)
    assert (coldstart("run"), capsys.readouterr()) == (code, ("", message))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("boom"),
        RecursionError("too deep"),
        AssertionError(),
        SystemExit(1),
        SystemExit("bye"),
        OSError("odd"),
    ],
)
def test_what_nobody_expected_is_one_line_that_names_its_details_and_never_the_code_of_a_regression(
    coldstart: Run, ends: Ends, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    ends(error)
    assert coldstart("gate") == 4
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"coldstart: unexpected error ({type(error).__name__}")
    details = Path(err.split()[-1]).read_text()
    assert "Traceback (most recent call last)" in details
    assert f"coldstart {__version__}\n" in details
    assert "arguments ['gate']\n" in details


def test_only_a_verdict_ends_with_1(coldstart: Run, ends: Ends) -> None:
    ends(click.exceptions.Exit(1))
    assert coldstart("gate") == 1


def test_a_command_that_returns_something_ends_with_0(coldstart: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    command = click.Command("returning", callback=lambda: "a value")
    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda _group, _context, _name: command)
    assert coldstart("run") == 0


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (RuntimeError(), 4)])
def test_an_error_while_an_error_is_reported_has_its_code_too(
    coldstart: Run, ends: Ends, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    ends(ValueError("boom"))

    def fail(_error: BaseException) -> NoReturn:
        raise error

    monkeypatch.setattr(cli, "unexpected", fail)
    assert coldstart("run") == code


def test_an_installation_without_its_packages_is_no_regression_either(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise ImportError('No module named click')")
    done = subprocess.run(
        [sys.executable, "-m", "coldstart", "--version"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        4,
        "coldstart: its installation is incomplete: No module named click. Install it again.\n",
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.exceptions.Abort()])
def test_an_interrupted_command_ends_with_130(coldstart: Run, ends: Ends, error: BaseException) -> None:
    ends(error)
    assert coldstart("run") == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_is_interrupted(
    coldstart: Run, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    @click.command()
    def waiting() -> None:
        signal.raise_signal(number)
        pytest.fail("the signal did not end it")

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda _group, _context, _name: waiting)
    assert coldstart("run") == 130


SIGNALLED_WHILE_ENDING = """
import atexit, os, signal, sys
from coldstart import cli

class Last:
    def __del__(self, kill=os.kill, pid=os.getpid(), numbers=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)):
        for number in numbers:
            kill(pid, number)

sys.last = Last()  # goes when the interpreter takes down its modules
sys.argv = ["coldstart", "--no-such-option"]
cli.main()
"""


def test_a_signal_while_the_interpreter_ends_does_not_change_the_exit_code() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED_WHILE_ENDING], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2, done.stderr


SIGNALLED_AT_THE_END_OF_MAIN = """
import os, signal, sys
from coldstart import cli

def exit(code, real=sys.exit):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), number)
    real(code)

sys.exit = exit
sys.argv = ["coldstart", "--no-such-option"]
cli.main()
"""


def test_a_signal_between_the_command_and_the_interpreters_end_does_not_change_the_exit_code() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED_AT_THE_END_OF_MAIN], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2, done.stderr


def test_a_signal_while_the_program_is_still_being_loaded_ends_it_with_130_and_no_traceback() -> None:
    script = "import sys; sys.modules['coldstart.cli'] = None; import builtins, coldstart.__main__ as m\n"
    script += "real = builtins.__import__\n"
    script += "def cut(name, *rest):\n"
    script += "    if name == 'coldstart.cli': raise KeyboardInterrupt\n"
    script += "    return real(name, *rest)\n"
    script += "builtins.__import__ = cut; m.main()\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (130, "")


def test_under_nohup_a_hangup_stays_ignored(coldstart: Run) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    coldstart("--version")
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


# --- what a start must not cost ---

PRINT_HEAVY = """
import sys
from coldstart.cli import main
sys.argv = ["coldstart", *sys.argv[1:]]
try:
    main()
finally:
    heavy = {"rich", "docker", "pandas", "scipy", "numpy", "matplotlib", "msgspec", "psutil"}
    print(*sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


def imported_by(*arguments: str) -> set[str]:
    """Heavy packages that a fresh process has imported when the command ends."""
    done = subprocess.run(
        [sys.executable, "-c", PRINT_HEAVY, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stderr.split())


def test_the_version_imports_nothing_heavy() -> None:
    assert imported_by("--version") == set()


@pytest.mark.parametrize("package", ["rich", "docker", "pandas", "scipy", "matplotlib"])
def test_the_help_of_measuring_does_not_import(package: str) -> None:
    assert package not in imported_by("run", "--help")


def test_the_version_is_the_packages(coldstart: Run, capsys: pytest.CaptureFixture[str]) -> None:
    coldstart("--version")
    assert capsys.readouterr().out == f"coldstart, version {__version__}\n"


# --- readers that leave ---

SPEAK = """
import click
from coldstart import cli

@click.command()
def speaking():
    for _ in range(3):
        click.echo("x" * 100_000)
        click.echo("message", err=True)
    with open({end!r}, "w"):
        pass
    raise cli.ColdstartError("at the end")

cli.LazyGroup.get_command = lambda *_: speaking
cli.main()
"""


def speaking(end: Path, stdout: Any, stderr: Any) -> subprocess.Popen[bytes]:
    """A command that says more than a pipe holds, leaves a file when it has, and fails."""
    return subprocess.Popen([sys.executable, "-c", SPEAK.format(end=str(end)), "run"], stdout=stdout, stderr=stderr)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_leaves_changes_neither_what_is_done_nor_the_exit_code(stream: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: writer}
    assert speaking(tmp_path / "end", **streams).wait() == 4
    os.close(writer)
    assert (tmp_path / "end").exists()


def test_a_terminal_that_goes_away_changes_nothing_either(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    process = speaking(tmp_path / "end", theirs, theirs)
    os.close(theirs)
    os.read(ours, 1)
    os.close(ours)
    assert process.wait() == 4
    assert (tmp_path / "end").exists()


def test_nothing_is_said_of_a_reader_that_left(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = speaking(tmp_path / "end", writer, subprocess.PIPE)
    os.close(writer)
    assert process.communicate()[1].decode().splitlines() == [*["message"] * 3, "coldstart: at the end"]


def started(*arguments: str, code: int | None = None, **streams: Any) -> tuple[int, str]:
    """The exit code and standard error of a fresh command, or of one that says much and ends with ``code``."""
    argv = ["-m", "coldstart", *arguments] if code is None else ["-c", ENDING.format(code=code), "run"]
    done = subprocess.run([sys.executable, *argv], stderr=subprocess.PIPE, text=True, check=False, **streams)
    return done.returncode, done.stderr


ENDING = """
import click
from coldstart import cli

@click.command()
def ending():
    click.echo("x" * 100_000)
    raise click.exceptions.Exit({code})

cli.LazyGroup.get_command = lambda *_: ending
cli.main()
"""


def test_output_that_a_full_disk_refuses_is_an_error_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        code, err = started("--version", stdout=full)
    assert (code, err.count("\n")) == (4, 1)
    assert err.startswith("coldstart: standard output cannot be written: No space left on device.")


@pytest.mark.parametrize(("code", "ended"), [(0, 4), (3, 4), (1, 1), (2, 2), (130, 130)])
def test_a_full_disk_hides_no_verdict_and_no_mistake(code: int, ended: int) -> None:
    with Path("/dev/full").open("w") as full:
        assert started(code=code, stdout=full)[0] == ended


def test_messages_that_a_full_disk_refuses_change_nothing(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        assert speaking(tmp_path / "end", subprocess.DEVNULL, full).wait() == 4
    assert (tmp_path / "end").exists()


def test_a_closed_standard_output_is_an_error_and_takes_no_other_file_in_its_place() -> None:
    code, err = started("--version", preexec_fn=lambda: os.close(1))
    assert (code, err.count("\n")) == (4, 1)
    assert "standard output cannot be written: Bad file descriptor" in err


def test_a_closed_standard_error_changes_nothing() -> None:
    command = [sys.executable, "-m", "coldstart", "rnu"]
    assert subprocess.run(command, preexec_fn=lambda: os.close(2), check=False).returncode == 2
