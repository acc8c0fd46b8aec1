"""``coldstart calibrate``: pairs are banked over calls, and what they tell is kept for gates. On the fake engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coldstart.cli import calibrate as module
from coldstart.model.sample import SentinelReading
from coldstart.store.reader import newest_run, open_run
from coldstart.store.writer import RunWriter
from coldstart.testbed import surroundings
from coldstart.testbed.quiet import QuietWait
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_run import Done
from tests.unit.factories import make_manifest, make_sample

FAKE = ("--engine", "fake", "--network", "host")


class Calibrate:
    """The command, and its folder."""

    def __init__(self, coldstart: Run, capfd: pytest.CaptureFixture[str], results: Path) -> None:
        self._coldstart = coldstart
        self._capfd = capfd
        self.results = results

    def __call__(self, *arguments: str) -> Done:
        code = self._coldstart("calibrate", *arguments, "--results", str(self.results))
        return Done(code, *self._capfd.readouterr())

    def found(self, *arguments: str) -> dict[str, Any]:
        done = self(*arguments, "--json")
        assert done.code == 0, done.err
        told: dict[str, Any] = json.loads(done.out)
        return told


@pytest.fixture
def calibrate(
    coldstart: Run, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Calibrate:
    """The command on a quiet machine."""
    quiet = QuietWait(quiet=True, waited_ns=0, busy_fraction=0.0)
    monkeypatch.setattr(surroundings, "wait_until_quiet", lambda: quiet)
    monkeypatch.setattr(surroundings, "read_sentinel", lambda _folder: SentinelReading(cpu_ns=1))
    return Calibrate(coldstart, capfd, tmp_path / "results")


def test_pairs_are_added_to_those_of_earlier_calls(calibrate: Calibrate) -> None:
    assert calibrate.found("--pairs", "3", *FAKE)["cells"][0]["pairs"] == 3
    found = calibrate.found("--pairs", "2", *FAKE)
    assert (found["cells"][0]["pairs"], len(found["runs"])) == (5, 2)
    assert calibrate.found("--pairs", "0") == found


def test_a_start_is_compared_with_itself_and_nothing_is_judged(calibrate: Calibrate) -> None:
    calibrate.found("--pairs", "2", *FAKE)
    manifest = open_run(newest_run(calibrate.results)).manifest
    assert manifest.experiment.name == module.NAME
    assert manifest.comparison is not None
    assert manifest.comparison.rule is None
    assert all(pair.baseline == pair.candidate for pair in manifest.comparison.pairs)


def test_both_networks_are_calibrated_unless_said_otherwise(calibrate: Calibrate) -> None:
    found = calibrate.found("--pairs", "1", "--engine", "fake")
    assert [cell["cell"].rpartition("/")[2] for cell in found["cells"]] == ["host", "bridge"]


def test_what_was_found_is_kept_for_this_kind_of_machine(calibrate: Calibrate) -> None:
    found = calibrate.found("--pairs", "1", *FAKE)
    (path,) = (calibrate.results / "calibration").iterdir()
    assert path.stem == found["host_class"]
    assert json.loads(path.read_text()) == found


def test_the_tables_say_how_much_is_known(calibrate: Calibrate) -> None:
    out = calibrate("--pairs", "1", *FAKE).out
    assert "0 of 0 gates of a start against itself called a regression" in out
    assert "too few pairs" in out


def test_nothing_banked_is_said_with_the_remedy(calibrate: Calibrate) -> None:
    done = calibrate("--pairs", "0")
    assert (done.code, done.messages) == (
        4,
        [f"coldstart: no pairs are banked under {calibrate.results}: measure some with coldstart calibrate."],
    )


def test_runs_of_another_kind_of_machine_are_left_out(calibrate: Calibrate) -> None:
    old = make_manifest(run_id="20200101T000000Z-calibrate-0000")
    with RunWriter.create(calibrate.results, old) as writer:
        writer.append(make_sample(run_id=old.run_id))
    assert len(calibrate.found("--pairs", "1", *FAKE)["runs"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pairs", "-1"), "-1"),
        (("--image", "x:1", *FAKE), "needs --ready"),
        (("--runtime", "rnc", *FAKE), "unknown runtime 'rnc'"),
    ],
)
def test_what_makes_no_sense_ends_with_2(calibrate: Calibrate, arguments: tuple[str, ...], message: str) -> None:
    done = calibrate(*arguments)
    assert (done.code, message in done.err) == (2, True)
