"""``coldstart doctor``: the verdicts and remedies as a list or as JSON, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from coldstart.model.board import Abilities
from coldstart.runner import doctor
from coldstart.testbed import board
from tests.unit.analyse.test_fitness import FIT, make_board
from tests.unit.cli.conftest import Run


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch) -> list[Abilities]:
    """A fit machine; the test may put other abilities at the end of the list."""
    told = [FIT]
    monkeypatch.setattr(board, "board_facts", lambda _data_root: make_board())
    monkeypatch.setattr(
        doctor, "abilities", lambda calibration: msgspec.structs.replace(told[-1], calibration=calibration)
    )
    return told


@pytest.mark.usefixtures("fit")
def test_a_fit_machine_ends_with_0_and_is_described(coldstart: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert coldstart("doctor") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Synthetic Board 1: unknown CPU, 2 CPUs, aarch64")
    assert any(line.startswith("ok      testbed") for line in lines)


@pytest.mark.usefixtures("fit")
def test_a_remedy_stands_below_its_finding(coldstart: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    coldstart("doctor", "--results", str(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.startswith("note    gate"))
    assert lines[at + 1].strip() == "→ coldstart calibrate"


def test_where_nothing_can_be_measured_it_ends_with_4(
    coldstart: Run, capsys: pytest.CaptureFixture[str], fit: list[Abilities]
) -> None:
    fit.append(msgspec.structs.replace(FIT, runtimes=()))
    assert coldstart("doctor") == 4
    assert "CANNOT  runtimes" in capsys.readouterr().out


@pytest.mark.usefixtures("fit")
def test_json_has_everything(coldstart: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert coldstart("doctor", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"board", "abilities", "findings"}
    assert told["board"]["host"]["board"] == "Synthetic Board 1"
    assert {"name", "level", "what", "remedy"} == set(told["findings"][0])
