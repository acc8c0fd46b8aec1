"""``coldstart export``: data to stdout or a file, messages to stderr, exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.store.writer import RunWriter
from tests.unit.cli.conftest import Run
from tests.unit.factories import RUN_ID, make_manifest, make_sample, make_trial


@pytest.fixture
def results(tmp_path: Path) -> Path:
    with RunWriter.create(tmp_path / "results", make_manifest()) as writer:
        for block in range(2):
            writer.append(make_sample(make_trial(block=block)))
    return tmp_path / "results"


def test_a_run_is_written_to_stdout(coldstart: Run, results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = coldstart("export", RUN_ID, "--results", str(results), "--format", "csv")
    out, err = capfd.readouterr()
    assert (code, out.count("\n"), out.startswith("run_id,block,position,outcome"), err) == (0, 3, True, "")


def test_csv_is_what_is_written_unless_asked(coldstart: Run, results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    coldstart("export", str(results / RUN_ID))
    assert capfd.readouterr().out.startswith("run_id,block")


def test_a_run_is_written_to_a_file(coldstart: Run, results: Path, tmp_path: Path) -> None:
    code = coldstart("export", str(results / RUN_ID), "--format", "jsonl", "-o", str(tmp_path / "x.jsonl"))
    assert (code, (tmp_path / "x.jsonl").read_text().count("\n")) == (0, 2)


def test_a_repaired_run_is_told_on_stderr(coldstart: Run, results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (results / RUN_ID / "samples.jsonl").open("ab") as file:
        file.write(b"torn")
    assert coldstart("export", str(results / RUN_ID)) == 0
    assert "samples.jsonl:3: the last line was torn by a crash" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing", "--format", "csv"), "no run 'nothing'"),
        ((RUN_ID, "--format", "cvs"), "unknown format 'cvs'; did you mean 'csv'?"),
    ],
)
def test_what_does_not_exist_ends_with_2_and_one_message(
    coldstart: Run, results: Path, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    code = coldstart("export", *arguments, "--results", str(results))
    out, err = capfd.readouterr()
    assert (code, out, err.count("\n"), message in err) == (2, "", 1, True)


def test_a_corrupt_run_ends_with_2(coldstart: Run, results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (results / RUN_ID / "run.json").write_text("{")
    assert coldstart("export", str(results / RUN_ID)) == 2
    assert "run.json: is damaged" in capfd.readouterr().err


def test_a_file_that_cannot_be_written_ends_with_4(
    coldstart: Run, results: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert coldstart("export", str(results / RUN_ID), "-o", str(tmp_path / "missing" / "x.csv")) == 4
    assert "cannot be written: No such file or directory. Choose another file." in capfd.readouterr().err


def test_a_failed_export_leaves_the_file_that_was_there(coldstart: Run, results: Path, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("before")
    (results / RUN_ID / "run.json").write_text("{")
    coldstart("export", str(results / RUN_ID), "-o", str(tmp_path / "x.csv"))
    assert (tmp_path / "x.csv").read_text() == "before"
