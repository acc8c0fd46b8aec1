"""``coldstart run --from RUN`` on the fake engine: what is measured again, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from coldstart.cli._repeat import without_missing
from coldstart.model.run import Comparison
from coldstart.store.reader import StoredRun, open_run
from coldstart.store.writer import RunWriter
from coldstart.testbed import surroundings
from coldstart.testbed.quiet import QuietWait
from tests.unit.cli.conftest import Run
from tests.unit.factories import make_experiment, make_manifest

FAKE = ("--engine", "fake")
SMALL = ("tiers", *FAKE, "--runtime", "runc,crun", "--tier", "warm", "-n", "6", "-w", "0", "--seed", "7")
AD_HOC = ("--image", "app:alpine", "--ready", "http:8080/", *FAKE, "--tier", "warm", "-n", "1", "-w", "0")


class Bench:
    """A folder of results; ``first`` is the run in it that is repeated."""

    def __init__(self, coldstart: Run, capfd: pytest.CaptureFixture[str], results: Path) -> None:
        self._coldstart, self._capfd, self._results = coldstart, capfd, results
        self.first = Path()

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, data and messages."""
        code = self._coldstart("run", *arguments, "--results", str(self._results))
        return (code, *self._capfd.readouterr())

    def begin(self, *arguments: str) -> None:
        """The run to repeat."""
        assert self.run(*arguments)[0] == 0
        (self.first,) = self._results.iterdir()

    def repeated(self) -> StoredRun:
        """The other run."""
        (path,) = (folder for folder in self._results.iterdir() if folder != self.first)
        return open_run(path)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is always quiet: nothing here depends on what else runs on it."""
    quiet = QuietWait(quiet=True, waited_ns=0, busy_fraction=0.0)
    monkeypatch.setattr(surroundings, "wait_until_quiet", lambda **_: quiet)


@pytest.fixture
def bench(coldstart: Run, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Bench:
    """No run yet."""
    return Bench(coldstart, capfd, tmp_path / "results")


def test_a_repeated_run_measures_the_same_experiment_under_another_seed(bench: Bench) -> None:
    bench.begin(*SMALL)
    assert bench.run("--from", str(bench.first))[0] == 0
    first, again = open_run(bench.first).manifest, bench.repeated().manifest
    assert again.experiment == first.experiment
    assert again.seed != first.seed


def test_a_seed_that_is_named_is_used(bench: Bench) -> None:
    bench.begin(*SMALL)
    bench.run("--from", bench.first.name, "--seed", "8")
    assert bench.repeated().manifest.seed == 8


def test_factors_narrow_what_is_repeated(bench: Bench) -> None:
    bench.begin(*SMALL)
    bench.run("--from", bench.first.name, "--runtime", "crun", "-n", "2")
    experiment = bench.repeated().manifest.experiment
    assert (experiment.runtime, experiment.runs) == (("crun",), 2)


def test_a_repeated_run_prints_what_agrees(bench: Bench) -> None:
    bench.begin(*SMALL)
    assert f"repeats {bench.first.name}" in " ".join(bench.run("--from", bench.first.name)[1].split())


def test_a_repeated_run_tells_its_agreement_as_json(bench: Bench) -> None:
    bench.begin(*SMALL)
    record = json.loads(bench.run("--from", bench.first.name, "--runtime", "crun", "--json")[1])
    found = record["repetition"]
    assert (found["then_run_id"], found["now_run_id"]) == (bench.first.name, record["run_id"])
    reasons = {line["cell"]["runtime"]: line["reason"] for line in found["cells"]}
    assert (reasons, found["not_started"]) == ({"crun": None}, 1)


def test_a_run_of_one_image_is_repeated_with_that_image(bench: Bench) -> None:
    bench.begin(*AD_HOC)
    assert bench.run("--from", bench.first.name)[0] == 0
    again = bench.repeated().manifest
    assert (again.experiment.image, again.images) == ("app:alpine", open_run(bench.first).manifest.images)


@pytest.mark.parametrize(
    "arguments", [("tiers",), ("--image", "app:alpine"), ("--resume", "another"), ("--platform", "linux/arm64")]
)
def test_something_else_to_measure_beside_it_ends_with_2(bench: Bench, arguments: tuple[str, ...]) -> None:
    bench.begin(*SMALL)
    code, out, err = bench.run("--from", bench.first.name, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_a_run_of_one_image_has_no_other_variants(bench: Bench) -> None:
    bench.begin(*AD_HOC)
    code, _, err = bench.run("--from", bench.first.name, "--variant", "scratch")
    assert (code, "leave out --workload and --variant" in err) == (2, True)


def test_a_run_that_is_not_there_ends_with_2(bench: Bench) -> None:
    code, _, err = bench.run("--from", "nothing")
    assert (code, "no run 'nothing'" in err) == (2, True)


def test_a_gate_is_not_repeated(bench: Bench, tmp_path: Path) -> None:
    manifest = make_manifest(comparison=Comparison(candidate=make_experiment(), pairs=()))
    RunWriter.create(tmp_path / "sent", manifest).close()
    code, _, err = bench.run("--from", str(tmp_path / "sent" / manifest.run_id))
    assert (code, "Repeat the gate" in err) == (2, True)


def test_a_runtime_that_is_not_here_is_left_out_and_told() -> None:
    told: list[str] = []
    experiment = msgspec.structs.replace(make_experiment(), runtime=("runc", "youki"))
    assert without_missing(experiment, {"runc"}, told.append).runtime == ("runc",)
    assert told == ["left out: runtime youki, which this engine does not have"]


def test_an_experiment_of_missing_runtimes_alone_is_left_for_the_plan_to_refuse() -> None:
    experiment = msgspec.structs.replace(make_experiment(), runtime=("youki",))
    assert without_missing(experiment, {"runc"}, pytest.fail) is experiment
