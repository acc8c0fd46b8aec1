"""``coldstart calibrate``: pairs are banked over calls, and what they tell is kept for gates. On the fake engine."""

from __future__ import annotations

import itertools
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from coldstart.cli import calibrate as module
from coldstart.engines.fake import FakeEngine
from coldstart.errors import EngineUnreachableError
from coldstart.model.cell import CellPair, Network, Side, Trial
from coldstart.model.run import Comparison
from coldstart.model.sample import SentinelReading
from coldstart.store.reader import StoredRun, newest_run, open_run
from coldstart.store.writer import RunWriter
from coldstart.testbed import surroundings
from coldstart.testbed.quiet import QuietWait
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_run import Done, a_signal_after_a_sample
from tests.unit.factories import make_cell, make_experiment, make_host, make_manifest, make_sample

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

    @property
    def newest(self) -> StoredRun:
        """The run that was begun last."""
        return open_run(newest_run(self.results))


@pytest.fixture
def calibrate(
    coldstart: Run, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Calibrate:
    """The command on a quiet machine."""
    quiet = QuietWait(quiet=True, waited_ns=0, busy_fraction=0.0)
    monkeypatch.setattr(surroundings, "wait_until_quiet", lambda **_: quiet)
    monkeypatch.setattr(surroundings, "read_sentinel", lambda _folder: SentinelReading(cpu_ns=1))
    return Calibrate(coldstart, capfd, tmp_path / "results")


def test_pairs_are_added_to_those_of_earlier_calls(calibrate: Calibrate) -> None:
    assert calibrate.found("--pairs", "3", *FAKE)["cells"][0]["pairs"] == 3
    found = calibrate.found("--pairs", "2", *FAKE)
    assert (found["cells"][0]["pairs"], len(found["runs"])) == (5, 2)
    assert calibrate.found("--pairs", "0") == found


def test_runs_are_banked_in_the_order_of_their_time_cell_by_cell(calibrate: Calibrate) -> None:
    for name in ("20200102T000000Z-calibrate-0000", "20200101T000000Z-calibrate-ffff"):
        cell = make_cell()
        comparison = Comparison(candidate=make_experiment(), pairs=(CellPair(baseline=cell, candidate=cell),))
        with RunWriter.create(calibrate.results, make_manifest(run_id=name, comparison=comparison)) as writer:
            for place, side in enumerate(Side):
                trial = Trial(block=0, position=place, cell=cell, side=side)
                writer.append(make_sample(trial, run_id=name))
    found = calibrate.found("--pairs", "0")
    assert found["runs"] == ["20200101T000000Z-calibrate-ffff", "20200102T000000Z-calibrate-0000"]
    assert [cell["pairs"] for cell in found["cells"]] == [2]


def test_pairs_are_told_by_their_cells_and_counted_as_they_are_measured(calibrate: Calibrate) -> None:
    lines = calibrate("--pairs", "2", *FAKE).err.splitlines()
    assert f"run {calibrate.newest.manifest.run_id}: 2 pairs of fake/runc/hello/alpine/warm/host" in lines
    assert [line.partition("]")[0] for line in lines if "] block " in line] == ["[1/4", "[2/4", "[3/4", "[4/4"]


def test_what_is_said_is_what_is_measured(calibrate: Calibrate) -> None:
    calibrate.found("--pairs", "1", *FAKE, "--seed", "0", "--timeout", "1m", "-e", "A=1", "--runtime", "crun")
    manifest = calibrate.newest.manifest
    experiment = manifest.experiment
    assert (manifest.seed, manifest.argv[:2]) == (0, ("coldstart", "calibrate"))
    assert (experiment.runs, experiment.timeout_ns, experiment.network) == (1, 60_000_000_000, (Network.HOST,))
    assert (experiment.options.env, experiment.runtime) == (("A=1",), ("crun",))


def test_an_image_of_ones_own_can_be_calibrated_on(calibrate: Calibrate) -> None:
    found = calibrate.found("--pairs", "1", "--image", "app:pr", "--ready", "http:8080/", *FAKE)
    assert [cell["cell"] for cell in found["cells"]] == ["fake/runc/app/pr/warm/host"]


def test_where_bases_come_from_is_for_what_is_built_here(calibrate: Calibrate) -> None:
    done = calibrate("--image", "app:main", "--ready", "log:ready", "--pairs", "1", "--bases", "packages")
    assert (done.code, "--bases is for catalogue images and folders" in done.err) == (2, True)


def test_a_tier_that_is_named_has_to_be_provable(calibrate: Calibrate) -> None:
    done = calibrate("--pairs", "1", "--tier", "cached", *FAKE)
    assert (done.code, len(done.messages), calibrate.results.exists()) == (4, 1, False)


def test_an_interrupted_call_keeps_its_pairs_and_ends_with_130(calibrate: Calibrate) -> None:
    calibrate.found("--pairs", "2", *FAKE)
    with a_signal_after_a_sample(signal.SIGINT):
        done = calibrate("--pairs", "50", *FAKE, "--json")
    (cell,) = json.loads(done.out)["cells"]
    assert (done.code, cell["pairs"], cell["attempts"]) == (130, 2, 5)
    assert len(calibrate.newest.samples) == 1


def test_a_call_without_the_time_for_a_pair_adds_none(calibrate: Calibrate) -> None:
    before = calibrate.found("--pairs", "2", *FAKE)
    assert calibrate.found("--pairs", "1", "--budget", "1ns", *FAKE) == before


def test_pairs_of_a_machine_that_is_never_quiet_end_with_4_and_the_reason(
    calibrate: Calibrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with 0, as if they were enough: a script that calibrates would take them for a finished bank."""
    calibrate.found("--pairs", "2", *FAKE)
    noisy = QuietWait(quiet=False, waited_ns=0, busy_fraction=0.9)
    monkeypatch.setattr(surroundings, "wait_until_quiet", lambda **_: noisy)
    done = calibrate("--pairs", "50", *FAKE)
    assert (done.code, len(calibrate.newest.samples)) == (4, 6)
    assert "stopped: none of the first 6 starts found the machine fit" in done.err
    assert "nothing was measured, for this machine was disturbed all the time" in done.messages[0]


def test_pairs_some_of_which_were_disturbed_end_with_4_and_are_shown(
    calibrate: Calibrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = itertools.cycle([False, True])
    waits = lambda **_: QuietWait(quiet=next(quiet), waited_ns=0, busy_fraction=0.5)  # noqa: E731  a fake
    monkeypatch.setattr(surroundings, "wait_until_quiet", waits)
    done = calibrate("--pairs", "2", *FAKE)
    assert (done.code, "too few pairs" in done.out) == (4, True)
    assert "contaminated: more than a tenth of the starts is too much" in done.messages[0]


def test_pairs_whose_engine_was_lost_end_with_4(calibrate: Calibrate, monkeypatch: pytest.MonkeyPatch) -> None:
    calibrate.found("--pairs", "2", *FAKE)

    def gone(_engine: FakeEngine, _container_id: str) -> None:
        raise EngineUnreachableError("gone before it started.")

    monkeypatch.setattr(FakeEngine, "start", gone)
    done = calibrate("--pairs", "9", *FAKE)
    assert done.code == 4
    assert done.messages == [
        f"coldstart: the engine was lost: gone before it started. The pairs so far are kept in {calibrate.newest.path}."
    ]


def test_a_start_is_compared_with_itself_and_nothing_is_judged(calibrate: Calibrate) -> None:
    calibrate.found("--pairs", "2", *FAKE)
    manifest = calibrate.newest.manifest
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


def test_another_rule_is_calibrated_on_the_same_bank_and_kept_apart(calibrate: Calibrate) -> None:
    plain = calibrate.found("--pairs", "1", *FAKE)
    strict = calibrate.found("--pairs", "0", "--max-slowdown", "1%", "--alpha", "0.2")
    assert (strict["rule"]["max_slowdown"], strict["rule"]["alpha"]) == (0.01, 0.2)
    assert strict["runs"] == plain["runs"]
    names = {path.name for path in (calibrate.results / "calibration").iterdir()}
    assert names == {f"{plain['host_class']}.json", f"{plain['host_class']}-0.01-0.2.json"}


@pytest.mark.parametrize(
    ("option", "value"), [("--max-slowdown", "warm=5%"), ("--max-slowdown", "x"), ("--alpha", "1")]
)
def test_a_rule_that_is_none_is_refused_before_anything_is_measured(
    calibrate: Calibrate, option: str, value: str
) -> None:
    done = calibrate("--pairs", "1", *FAKE, option, value)
    assert (done.code, len(done.messages), calibrate.results.exists()) == (2, 1, False)


def test_an_option_of_measuring_is_refused_where_nothing_is_measured(calibrate: Calibrate) -> None:
    calibrate.found("--pairs", "1", *FAKE)
    done = calibrate("--pairs", "0", "--runtime", "crun")
    assert (done.code, "--runtime: with --pairs 0 nothing is measured; leave it out." in done.err) == (2, True)


def test_the_tables_say_how_much_is_known(calibrate: Calibrate) -> None:
    out = calibrate("--pairs", "1", *FAKE).out
    assert "0 of 0 gates of a start against itself called a regression" in out
    assert "too few pairs" in out


def test_without_the_packages_of_reports_nothing_is_calibrated(
    calibrate: Calibrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "can_report", lambda: False)
    done = calibrate("--pairs", "1", *FAKE)
    assert (done.code, calibrate.results.exists()) == (2, False)
    assert done.messages == [
        "coldstart: a calibration needs packages that are not installed: pip install 'coldstart[report]'"
    ]


def test_what_cannot_be_kept_ends_with_4_and_costs_no_pair(calibrate: Calibrate) -> None:
    calibrate.results.mkdir()
    (calibrate.results / "calibration").write_text("")
    done = calibrate("--pairs", "1", *FAKE)
    assert (done.code, len(done.messages), len(calibrate.newest.samples)) == (4, 1, 2)
    assert done.messages[0].startswith(f"coldstart: {calibrate.results}/calibration/")
    assert done.messages[0].endswith(" Choose another place with --results.")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [("run.json", "{", "run.json: is damaged"), ("samples.jsonl", "x\n{}\n", "samples.jsonl:1: is damaged")],
)
def test_a_damaged_run_of_the_bank_is_named(calibrate: Calibrate, name: str, text: str, message: str) -> None:
    calibrate.found("--pairs", "1", *FAKE)
    (calibrate.newest.path / name).write_text(text)
    done = calibrate("--pairs", "0")
    assert (done.code, done.out, len(done.messages)) == (2, "", 1)
    assert message in done.messages[0]


def test_a_calibrations_run_cannot_be_gone_on_with(
    calibrate: Calibrate, coldstart: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    calibrate.found("--pairs", "1", *FAKE)
    assert coldstart("run", "--resume", str(calibrate.newest.path)) == 2
    assert capfd.readouterr().err.count("coldstart: ") == 1


def test_nothing_banked_is_said_with_the_remedy(calibrate: Calibrate) -> None:
    done = calibrate("--pairs", "0")
    assert (done.code, done.messages) == (
        4,
        [f"coldstart: no pairs are banked under {calibrate.results}: measure some with coldstart calibrate."],
    )


def test_a_run_without_a_sample_is_none_of_the_bank(calibrate: Calibrate) -> None:
    RunWriter.create(calibrate.results, make_manifest(run_id="20991231T000000Z-calibrate-0000")).close()
    assert calibrate("--pairs", "0").code == 4


def test_the_newest_run_says_which_kind_of_machine_is_looked_at(calibrate: Calibrate) -> None:
    calibrate.found("--pairs", "1", *FAKE)
    new = make_manifest(run_id="20991231T000000Z-calibrate-0000", host=make_host(board="Another Board"))
    with RunWriter.create(calibrate.results, new) as writer:
        writer.append(make_sample(run_id=new.run_id))
    found = calibrate.found("--pairs", "0")
    assert (found["runs"], found["host_class"].startswith("aarch64-another-board-2cpu-")) == ([new.run_id], True)


def test_runs_of_another_kind_of_machine_are_left_out(calibrate: Calibrate) -> None:
    old = make_manifest(run_id="20200101T000000Z-calibrate-0000")
    with RunWriter.create(calibrate.results, old) as writer:
        writer.append(make_sample(run_id=old.run_id))
    assert len(calibrate.found("--pairs", "1", *FAKE)["runs"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pairs", "-1"), "-1"),
        (("--pairs", "100001"), "100001"),
        (("--pairs", "many"), "many"),
        (("--budget", "5", *FAKE), "is not a duration"),
        (("--timeout", "5", *FAKE), "is not a duration"),
        (("--tier", "luke", *FAKE), "unknown tier 'luke'"),
        (("--image", "x:1", *FAKE), "needs --ready"),
        (("--runtime", "rnc", *FAKE), "unknown runtime 'rnc'"),
    ],
)
def test_what_makes_no_sense_ends_with_2(calibrate: Calibrate, arguments: tuple[str, ...], message: str) -> None:
    done = calibrate(*arguments)
    assert (done.code, message in done.err, calibrate.results.exists()) == (2, True, False)
