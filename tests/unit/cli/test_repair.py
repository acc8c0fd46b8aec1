"""``coldstart repair``, and what every other command then says of the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.store.writer import RunWriter
from tests.unit.cli.conftest import Run
from tests.unit.factories import RUN_ID, make_manifest, make_sample, make_trial


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A run of seven good samples, with a damaged line in between."""
    with RunWriter.create(tmp_path / "results", make_manifest()) as writer:
        for block in range(7):
            writer.append(make_sample(make_trial(block=block)))
    path = tmp_path / "results" / RUN_ID
    lines = (path / "samples.jsonl").read_bytes().splitlines(keepends=True)
    (path / "samples.jsonl").write_bytes(b"".join([*lines[:3], b"{}\n", *lines[3:]]))
    return path


def test_the_error_names_the_command_that_repairs(
    coldstart: Run, damaged: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert coldstart("export", str(damaged)) == 2
    err = capfd.readouterr().err
    assert "samples.jsonl:4: is no sample" in err
    command = err.strip().rpartition("coldstart repair ")[2]
    assert coldstart("repair", command) == 0
    assert coldstart("export", str(damaged)) == 0


def test_what_was_done_is_said_and_a_second_time_finds_nothing(
    coldstart: Run, damaged: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert coldstart("repair", RUN_ID, "--results", str(damaged.parent)) == 0
    out, err = capfd.readouterr()
    assert out == f"set 1 line aside in {damaged / 'samples.set-aside.jsonl'}; 7 samples can be read\n"
    assert err.startswith(f"{damaged / 'samples.jsonl'}:4: is no sample: ")
    assert coldstart("repair", str(damaged)) == 0
    assert capfd.readouterr().out == "nothing to repair: 7 samples can be read\n"


@pytest.mark.parametrize("command", ["export", "report", "compare"])
def test_every_later_command_says_how_many_lines_were_set_aside(
    coldstart: Run, damaged: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    coldstart("repair", str(damaged))
    capfd.readouterr()
    runs = [str(damaged)] * (2 if command == "compare" else 1)
    coldstart(command, *runs, *(["-o", str(tmp_path / "report")] if command == "report" else []))
    assert "1 line that could not be read, set aside in samples.set-aside.jsonl" in capfd.readouterr().err


def test_the_report_counts_them_too(coldstart: Run, damaged: Path, tmp_path: Path) -> None:
    coldstart("repair", str(damaged))
    assert coldstart("report", str(damaged), "-o", str(tmp_path / "report")) == 0
    assert "1 line that could not be read, set aside" in (tmp_path / "report" / "report.md").read_text()


def test_a_run_that_does_not_exist_ends_with_2(coldstart: Run, tmp_path: Path) -> None:
    assert coldstart("repair", str(tmp_path / "nothing")) == 2
