"""Times of somebody else's: hyperfine's JSON, CSV files, and everything that is wrong with one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from coldstart.errors import InputFileError
from coldstart.export import csv as exported
from coldstart.model.sample import Outcome
from coldstart.model.timeline import phases_of
from coldstart.store.imported import Times, is_importable, read_times
from coldstart.store.reader import open_run
from coldstart.store.writer import RunWriter
from tests.unit.factories import make_manifest, make_sample, make_trial


def written(folder: Path, text: str, name: str = "times.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def hyperfine(folder: Path, *results: object) -> Path:
    return written(folder, json.dumps({"results": results}), "times.json")


def test_hyperfines_times_are_in_seconds_and_named_by_their_command(tmp_path: Path) -> None:
    path = hyperfine(
        tmp_path,
        {"command": "docker run a", "mean": 1, "times": [0.5, 0.25], "exit_codes": [0, 0]},
        {"command": "docker run b", "times": [2.0]},
    )
    assert read_times(path) == {
        "docker run a": Times(values_ns=(5e8, 2.5e8)),
        "docker run b": Times(values_ns=(2e9,)),
    }


def test_a_command_that_failed_is_a_failure_and_no_time(tmp_path: Path) -> None:
    path = hyperfine(tmp_path, {"command": "a", "times": [0.5, 0.25, 0.1], "exit_codes": [0, 1, None]})
    assert read_times(path) == {"a": Times(values_ns=(5e8,), failed=2)}


def test_a_csv_is_named_by_its_column_its_cells_or_its_file(tmp_path: Path) -> None:
    assert read_times(written(tmp_path, "name,seconds\nx,0.5\ny,1\nx,2\n")) == {
        "x": Times(values_ns=(5e8, 2e9)),
        "y": Times(values_ns=(1e9,)),
    }
    cells = "runtime,variant,tier,e2e_ns\nrunc,alpine,warm,5\ncrun,alpine,warm,7\n"
    assert list(read_times(written(tmp_path, cells))) == ["runc/alpine/warm", "crun/alpine/warm"]
    assert read_times(written(tmp_path, "e2e_ns\n5\n", "main.csv")) == {"main": Times(values_ns=(5.0,))}


def test_of_a_csv_with_outcomes_only_ok_is_a_time(tmp_path: Path) -> None:
    lines = ("ok,5,False", "never_ready,,False", "exited,,False", "not_quiet,,False", "engine_lost,,False", "ok,9,True")
    path = written(tmp_path, "\n".join(("outcome,e2e_ns,warmup", *lines)))
    assert read_times(path) == {"times": Times(values_ns=(5.0,), failed=2)}


def test_what_coldstart_exported_can_be_imported(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path, make_manifest()) as writer:
        for block, outcome in enumerate((Outcome.OK, Outcome.NEVER_READY, Outcome.NOT_COLD, Outcome.OK)):
            reason = "" if outcome is Outcome.OK else 'a "reason"\nof two lines'
            writer.append(make_sample(make_trial(block=block), outcome=outcome, reason=reason))
    run = open_run(writer.path)
    with (tmp_path / "run.csv").open("wb") as stream:
        exported.write(run, stream)
    ((name, found),) = read_times(tmp_path / "run.csv").items()
    phases = phases_of(run.samples[0])
    assert phases is not None
    assert (name, found) == (run.samples[0].trial.cell.key, Times(values_ns=(float(phases.e2e_ns),) * 2, failed=1))


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    (tmp_path / "times.csv").write_bytes(b"\xef\xbb\xbfe2e_ns\r\n5\r\n")
    assert read_times(tmp_path / "times.csv") == {"times": Times(values_ns=(5.0,))}


@pytest.mark.parametrize("time", ["nan", "0", "-1", "inf", "fast", ""])
def test_a_time_that_is_none_is_named_by_its_line_and_column(tmp_path: Path, time: str) -> None:
    path = written(tmp_path, f"name,seconds\nx,1\nx,{time}\n")
    with pytest.raises(InputFileError, match=r"times.csv, line 3, column seconds: .* time"):
        read_times(path)


@pytest.mark.parametrize("time", [0, -0.5])
def test_a_time_of_hyperfines_that_is_none_is_named_by_its_place(tmp_path: Path, time: float) -> None:
    path = hyperfine(tmp_path, {"command": "a", "times": [1]}, {"command": "b", "times": [1, time]})
    with pytest.raises(InputFileError, match=r"results\[1\].times\[1\]: .* is not a time between 1 ns and 116 days"):
        read_times(path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "not an export of hyperfine's"),
        ("a.json", '{"results": [{"command": "a", "times": [NaN]}]}', "not an export of hyperfine's"),
        ("a.json", '{"benchmarks": []}', "hyperfine --export-json"),
        ("a.json", '{"results": []}', "holds no start"),
        ("a.json", '{"results": [{"command": "a", "times": [1], "exit_codes": [0, 0]}]}', "1 times and 2 exit codes"),
        ("a.csv", "", "line 1: has no column e2e_ns or seconds"),
        ("a.csv", "name,time\nx,1\n", "line 1: has no column e2e_ns or seconds"),
        ("a.csv", "name,seconds\n", "holds no start"),
        ("a.csv", "name,seconds\nx\n", "line 2: has not the 2 values"),
        ("a.csv", "name,seconds\nx,1,2\n", "line 2: has not the 2 values"),
        ("a.csv", "outcome,seconds\nfine,1\n", "line 2, column outcome: 'fine' is none of ok, "),
        ("missing.csv", None, "cannot be read"),
    ],
)
def test_what_is_no_file_of_times_is_an_error_that_says_where(
    tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputFileError, match=message):
        read_times(path)


def test_what_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputFileError, match="is not UTF-8 text"):
        read_times(tmp_path / "a.csv")


def test_a_file_of_times_is_known_by_its_name_and_a_folder_is_none(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    assert [is_importable(name) for name in ("a.csv", "b.json", "c.toml", str(tmp_path / "run.json"))] == [
        True,
        True,
        False,
        False,
    ]


# --- files that nobody meant to be read ---


def stored_as(tmp_path: Path, name: str, content: str | bytes) -> Path:
    """A file of that content."""
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("seconds,name\n0.1,a\n0.1," + "x" * 200_000 + "\n", ", line 3: is not a line of CSV: field larger than"),
        ("seconds," + "x" * 200_000 + "\n0.1,a\n", ", line 1: is not a line of CSV: field larger than"),
        ('seconds,name\n0.1,a\n0.1,"' + "x\n" * 100_000, ", line 3: is not a line of CSV: field larger than"),
        ("seconds,seconds\n1,2\n", ", line 1: names column 'seconds' twice."),
        (b"seconds,name\n0.1,caf\xe9\n", ", line 2: is not UTF-8 text."),
        ("seconds\n1\n".encode("utf-16"), ", line 1: is not UTF-8 text."),
        ("seconds\n1_0\n", ", line 2, column seconds: '1_0' is not a time."),
        ("seconds\n\u0663\n", ", line 2, column seconds: '\u0663' is not a time."),
        ("seconds\n0.1\0\n", r", line 2, column seconds: '0.1\x00' is not a time."),
        ("seconds\n" + "x" * 100_000 + "\n", f", line 2, column seconds: {'x' * 40!r} is not a time."),
        ("seconds\n1e300\n", ", line 2, column seconds: 1e+300 is not a time between"),
        ("seconds\n1e-320\n", ", line 2, column seconds: 1e-320 is not a time between"),
        ("seconds\n10000001\n", ", line 2, column seconds: 10000001.0 is not a time between"),
        ("e2e_ns\n0.9\n", ", line 2, column e2e_ns: 0.9 is not a time between"),
        ("e2e_ns\n" + "9" * 5000 + "\n", ", line 2, column e2e_ns: inf is not a time between"),
    ],
)
def test_what_cannot_be_a_csv_of_times_is_named_by_its_line(tmp_path: Path, content: str | bytes, where: str) -> None:
    path = stored_as(tmp_path, "t.csv", content)
    with pytest.raises(InputFileError) as caught:
        read_times(path)
    assert str(caught.value).startswith(f"{path}{where}")


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (
            '{"results": [], "x": ' + '{"a":' * 50_000 + "1" + "}" * 50_001,
            ": is not an export of hyperfine's: maximum recursion depth",
        ),
        ('{"results": [{"command": "a", "times": [1, 1e300]}]}', ", results[0].times[1]: 1e+300 is not a time between"),
        ('{"results": [{"command": "a", "times": [' + "9" * 5000 + "]}]}", ": is not an export of hyperfine's: "),
        ('{"results": [{"command": "a", "times": [NaN]}]}', ": is not an export of hyperfine's: "),
    ],
)
def test_what_cannot_be_hyperfines_is_named_by_its_place(tmp_path: Path, content: str, where: str) -> None:
    path = stored_as(tmp_path, "t.json", content)
    with pytest.raises(InputFileError) as caught:
        read_times(path)
    assert str(caught.value).startswith(f"{path}{where}")


@pytest.mark.parametrize(("seconds", "time_ns"), [("1e-9", 1), ("10000000", 10**16), (" +.5 ", 5 * 10**8)])
def test_the_shortest_and_the_longest_time_are_taken(tmp_path: Path, seconds: str, time_ns: float) -> None:
    (times,) = read_times(stored_as(tmp_path, "t.csv", f"seconds\n{seconds}\n")).values()
    assert times.values_ns == (time_ns,)


@pytest.mark.parametrize("name", ["t.csv", "t.json"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputFileError, match="it is not a file"):
        read_times(tmp_path / name)
