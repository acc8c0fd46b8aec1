"""What strangers nest too deeply is refused like anything else that cannot be read."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from coldstart.analyse.targets import read_targets
from coldstart.decoding import decode_toml, read_named
from coldstart.engines.http import Response
from coldstart.engines.wire import container_state, message_of, wall_ns
from coldstart.errors import ColdstartError, EngineError, InputFileError
from coldstart.images.catalogue import load_workload
from coldstart.report.calibration import calibration_path, load_calibration
from coldstart.store.imported import read_times
from coldstart.store.reader import open_run
from coldstart.testbed.blobs import AccessLog
from coldstart.testbed.config import Layout, load_testbed
from coldstart.testbed.marker import MARKER, read_claim

DEEP = b"[" * 100_000


def _calibration(folder: Path) -> object:
    path = calibration_path(folder, "here")
    path.parent.mkdir()
    path.write_bytes(b'{"schema_version":' + DEEP)
    return load_calibration(folder, "here")


def _times(folder: Path) -> object:
    (folder / "x.json").write_bytes(b'{"results":[{"x":' + DEEP)
    return read_times(folder / "x.json")


def _workload(folder: Path) -> object:
    (folder / "workload.toml").write_bytes(b"x = " + DEEP)
    return load_workload(folder / "workload.toml")


def _targets(folder: Path) -> object:
    (folder / "x.toml").write_bytes(b"x = " + DEEP)
    return read_targets(folder / "x.toml")


def _run(folder: Path) -> object:
    (folder / "run.json").write_bytes(b'{"x":' + DEEP)
    return open_run(folder)


def _marker(folder: Path) -> object:
    (folder / MARKER).write_bytes(b'{"x":' + DEEP)
    return read_claim(folder)


def _state(folder: Path) -> object:
    layout = Layout(folder)
    layout.state.write_bytes(b'{"x":' + DEEP)
    return load_testbed(layout)


def _access_log(folder: Path) -> object:
    (folder / "log").write_bytes(b'{"msg":"response completed","x":' + DEEP + b"\n")
    return AccessLog(folder / "log").since(0)


def _answer(_: Path) -> object:
    return Response(200, {}, DEEP, 0, 0).json()


READERS = (_calibration, _times, _workload, _targets, _run, _marker, _state, _access_log, _answer)


@pytest.mark.parametrize("read", READERS)
def test_what_is_nested_too_deeply_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(ColdstartError):
        read(tmp_path)


def test_an_error_message_that_is_nested_too_deeply_is_shown_as_it_is() -> None:
    assert message_of(b'{"x":' + DEEP).startswith('{"x":[[[')


@pytest.mark.parametrize("text", ["2026-13-01T00:00:00Z", "0000-01-01T00:00:00Z"])
def test_an_instant_of_no_calendar_is_none(text: str) -> None:
    assert wall_ns(text) is None


@pytest.mark.parametrize("answer", [{}, {"State": None}, {"State": {"Running": True}}, {"State": []}])
def test_an_answer_that_describes_no_container_is_the_engines_error(answer: dict[str, object]) -> None:
    with pytest.raises(EngineError, match="does not describe a container"):
        container_state(answer)


# --- TOML, and files that a user names ---


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        (".".join(["a"] * 3000) + " = 1", "nested too deeply"),
        ("[" + ".".join(["a"] * 51) + "]\nb = 1", "nested too deeply"),
        ("a = " + "9" * 5000, "a value is out of range"),
        (f"a = [{{b = [{2**63}]}}]", "b: a number is out of range"),
        (f"a = {-(2**63)}", "a: a number is out of range"),
        ("a = \0", "Invalid value"),
        ("a = 2026-02-30", "Invalid date"),
    ],
)
def test_whatever_is_wrong_with_toml_is_one_kind_of_error(text: str, what: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError, match=what):
        decode_toml(text)


def test_toml_within_its_range_is_a_table() -> None:
    deep = ".".join(["a"] * 50)
    assert decode_toml(f"b = [{2**63 - 1}, true, 1.5]\n{deep} = 1")["b"] == [2**63 - 1, True, 1.5]


def test_a_named_file_is_read_through_a_link_and_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    assert read_named(tmp_path / "link", 5) == b"12345"
    with pytest.raises(InputFileError, match="has more than 4 bytes"):
        read_named(tmp_path / "link", 4)


def test_a_folder_a_pipe_and_a_device_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name, what in (("", "it is a folder"), ("pipe", "it is not a file"), ("device", "it is not a file")):
        with pytest.raises(InputFileError, match=what):
            read_named(tmp_path / name)


def test_what_the_shell_pipes_in_is_read_to_its_end() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"a = 1")
    os.close(writing)
    assert read_named(Path(f"/dev/fd/{reading}")) == b"a = 1"
    os.close(reading)


def test_a_file_that_is_not_there_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_named(tmp_path / "nothing")
