"""Details of an unexpected error: where they go, and what they never hold."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from coldstart.cli._unexpected import details, folders, path_of, unexpected, write_details


def caught(text: str) -> ValueError:
    """An error with a traceback."""
    with pytest.raises(ValueError, match=re.escape(text)) as raised:
        fail(text)
    return raised.value


def fail(text: str) -> NoReturn:
    """The defect."""
    raise ValueError(text)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.mark.parametrize(
    "words",
    [
        ("-e", "TOKEN=hunter22"),
        ("-eTOKEN=hunter22",),
        ("--env", "TOKEN=hunter22"),
        ("--env=TOKEN=hunter22",),
        ("-e", "TOKEN"),
        ("-de", "TOKEN=hunter22"),
        ("-deTOKEN=hunter22",),
        ("-dite", "TOKEN"),
        ("-iteTOKEN",),
        ("-ume", "-e", "TOKEN=hunter22"),
        ("--", "app", "--token=hunter22"),
        ("--image", "http://me:hunter22@registry/app"),
    ],
)
def test_what_may_be_secret_is_not_in_the_details(words: tuple[str, ...]) -> None:
    text = details(caught("nothing"), ("run", *words), {"TOKEN": "hunter22"})
    assert "hunter22" not in text
    assert "arguments ['run', " in text


def test_a_secret_in_the_errors_own_message_is_hidden_too() -> None:
    text = details(caught("bad env A=hunter22"), ("run", "-e", "A=hunter22"), {})
    assert "ValueError: bad env A=***" in text


@pytest.mark.parametrize("attached", [True, False])
def test_values_of_an_env_file_are_hidden(tmp_path: Path, attached: bool) -> None:
    file = tmp_path / "env"
    file.write_text("A=hunter22\n# note\n")
    words = [f"--env-file={file}"] if attached else ["--env-file", str(file)]
    text = details(caught("hunter22"), ["run", *words, "--runtime", "crun"], {})
    assert "hunter22" not in text
    assert "'--runtime', 'crun'" in text


def test_a_value_that_stands_everywhere_hides_nothing_else() -> None:
    text = details(caught("1 of 11"), ("run", "-e", "DEBUG=1"), {})
    assert "1 of 11" in text
    assert "DEBUG=***" in text


def test_the_line_has_no_control_characters_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["coldstart", "run"])
    line = unexpected(caught("\x1b[31mred" + "x" * 1000 + "\nsecond line"))
    assert line.isprintable()
    assert "second" not in line
    assert len(line) < 600


def in_these(*places: Path) -> Iterator[Path]:
    """Folders to try."""
    return iter(places)


def test_details_are_their_owners_alone_and_each_file_is_new(tmp_path: Path) -> None:
    first, second = (write_details("text", in_these(tmp_path / "a" / "b")) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first != second
    assert (first.read_text(), first.stat().st_mode & 0o777) == ("text", 0o600)


def test_a_folder_that_is_a_link_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    path = write_details("text", in_these(tmp_path / "link", tmp_path / "good"))
    assert path is not None
    assert path.parent == tmp_path / "good"
    assert list((tmp_path / "victim").iterdir()) == []


@needs_root
def test_a_folder_below_a_link_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    os.lchown(tmp_path / "link", 65534, 65534)
    path = write_details("text", in_these(tmp_path / "link" / "coldstart", tmp_path / "good"))
    assert path is not None
    assert path.parent == tmp_path / "good"


@needs_root
@pytest.mark.parametrize("below", ["coldstart", "state/coldstart"])
def test_nothing_is_made_in_somebody_elses_folder(tmp_path: Path, below: str) -> None:
    """As where sudo -E leaves the caller's XDG_STATE_HOME: they could not use a folder of root's."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    path = write_details("text", in_these(theirs / below, tmp_path / "good"))
    assert path is not None
    assert path.parent == tmp_path / "good"
    assert list(theirs.iterdir()) == []


@needs_root
def test_somebody_elses_folder_is_passed_over(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    path = write_details("text", in_these(theirs, tmp_path / "good"))
    assert path is not None
    assert path.parent == tmp_path / "good"
    assert list(theirs.iterdir()) == []


def test_where_no_folder_takes_them_the_temporary_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = write_details("text", in_these(Path("/proc/nowhere")))
    assert path is not None
    assert (path.parent, path.read_text()) == (tmp_path, "text")


def test_where_nothing_takes_them_the_line_has_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["coldstart", "run"])
    monkeypatch.setattr("tempfile.tempdir", "/proc/nowhere")
    monkeypatch.setattr("coldstart.cli._unexpected.folders", lambda *_: iter(()))
    line = unexpected(caught("boom"))
    assert "ValueError: boom at test_unexpected.py:" in line
    assert "no folder would take the details" in line


def test_the_folder_is_the_users_for_state_and_roots_is_its_accounts() -> None:
    assert next(folders({"XDG_STATE_HOME": "/s"}, 0)) == Path("/s/coldstart")
    assert list(folders({"HOME": "/home/ada"}, 0)) == [Path("/root/.local/state/coldstart")]


def refused(write: Callable[[], object]) -> OSError:
    """How the system refuses to write to a full device."""
    with pytest.raises(OSError, match="No space left") as raised:
        write()
    assert raised.value.filename is None
    return raised.value


def into_an_open_file() -> None:
    """As most of the package writes."""
    with Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")


def by_the_number_of_a_file() -> None:
    """As the store does, whose functions have the path."""
    path = Path("/dev/full")
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, b"x")
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    "write", [lambda: Path("/dev/full").write_bytes(b"x"), into_an_open_file, by_the_number_of_a_file]
)
def test_an_error_that_names_no_file_is_given_the_one_that_was_written(write: Callable[[], object]) -> None:
    assert path_of(refused(write)) == "/dev/full"


def test_an_error_that_names_its_file_keeps_it() -> None:
    assert path_of(OSError(28, "No space left on device", "/x")) == "/x"


def test_an_error_without_any_file_has_none() -> None:
    with pytest.raises(OSError, match="boom") as raised:
        fail_without_a_file()
    assert path_of(raised.value) is None


def fail_without_a_file() -> NoReturn:
    """As a socket does."""
    raise OSError("boom")
