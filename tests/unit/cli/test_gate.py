"""``coldstart gate``: what can be compared, what is refused, how it ends, and what it writes. On the fake engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from coldstart.cli import gate as module
from coldstart.model.cell import CellPair, Side, Tier, Trial
from coldstart.model.rule import Rule
from coldstart.model.run import Comparison
from coldstart.model.sample import Outcome
from coldstart.runner import gating
from coldstart.store.reader import newest_run, open_run
from coldstart.store.writer import RunWriter
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_run import Done
from tests.unit.factories import MS, make_cell, make_experiment, make_image, make_manifest, make_sample

READY = ("--ready", "http:8080/", "--engine", "fake")
IMAGES = ("--baseline", "app:main", "--candidate", "app:pr", *READY)
CELL = make_cell(tier=Tier.WARM)
PAIR = CellPair(baseline=CELL, candidate=make_cell(tier=Tier.WARM, variant="scratch"))


class Gate:
    """The command, in a folder of its own."""

    def __init__(self, coldstart: Run, capfd: pytest.CaptureFixture[str], folder: Path) -> None:
        self._coldstart = coldstart
        self._capfd = capfd
        self.results = folder / "results"

    def __call__(self, *arguments: str) -> Done:
        code = self._coldstart("gate", *arguments, "--results", str(self.results))
        return Done(code, *self._capfd.readouterr())

    def stored(self, candidate_ms: float, n: int = 10, failed: int = 0, **fields: Any) -> str:
        """A gate's run: the candidate takes so long, the baseline 100 ms."""
        comparison = Comparison(candidate=make_experiment(), pairs=(PAIR,), rule=Rule())
        images = (make_image(), make_image(variant="scratch"))
        manifest = make_manifest(**{"run_id": "stored", "comparison": comparison, "images": images, **fields})
        with RunWriter.create(self.results, manifest) as writer:
            for block in range(n):
                for place, side in enumerate(Side):
                    length = (100 if side is Side.BASELINE else candidate_ms) + block / 1000
                    has_failed = side is Side.CANDIDATE and block < failed
                    sample = make_sample(
                        Trial(block=block, position=place, cell=PAIR.of(side), side=side),
                        outcome=Outcome.EXITED if has_failed else Outcome.OK,
                        run_id="stored",
                        create_ns=1,
                        readiness_ns=1,
                        gap_ns=0,
                        init_ns=round(length * MS),
                    )
                    writer.append(sample)
        return "stored"


@pytest.fixture
def gate(coldstart: Run, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return Gate(coldstart, capfd, tmp_path)


def test_two_images_are_measured_side_by_side_and_stored(gate: Gate) -> None:
    done = gate(*IMAGES, "--tier", "warm", "--budget", "1ms", "--seed", "7")
    assert done.code in {3, 4}, done.err
    manifest = open_run(newest_run(gate.results)).manifest
    assert manifest.comparison is not None
    (pair,) = manifest.comparison.pairs
    assert (pair.baseline.variant, pair.candidate.variant) == ("main", "pr")
    assert (manifest.seed, manifest.comparison.rule) == (7, Rule())


def test_absent_and_warm_are_what_is_gated_unless_said_otherwise(gate: Gate) -> None:
    gate(*IMAGES, "--budget", "1ms")
    comparison = open_run(newest_run(gate.results)).manifest.comparison
    assert comparison is not None
    assert [pair.baseline.tier for pair in comparison.pairs] == [Tier.ABSENT, Tier.WARM]


def test_two_runtimes_of_one_image_are_compared(gate: Gate) -> None:
    runtimes = ("--baseline-runtime", "runc", "--candidate-runtime", "crun")
    for image in (("--image", "app:pr"), ("--workload", "hello", "--variant", "alpine")):
        done = gate(*image, *runtimes, *READY, "--tier", "warm", "--budget", "1ms")
        assert done.code in {3, 4}, done.err
        comparison = open_run(newest_run(gate.results)).manifest.comparison
        assert comparison is not None
        assert [(p.baseline.runtime, p.candidate.runtime) for p in comparison.pairs] == [("runc", "crun")]


def test_two_experiment_files_are_compared_with_their_own_options(gate: Gate, tmp_path: Path) -> None:
    text = (
        'name = "x"\nruns = 5\n[factors]\nengine = ["fake"]\nruntime = ["runc"]\nworkload = ["hello"]\n'
        'variant = ["alpine"]\ntier = ["warm"]\n'
    )
    (tmp_path / "a.toml").write_text(text)
    (tmp_path / "b.toml").write_text(f'{text}[options]\nenv = ["A=1"]\n')
    gate(str(tmp_path / "a.toml"), str(tmp_path / "b.toml"), "--budget", "1ms")
    manifest = open_run(newest_run(gate.results)).manifest
    assert manifest.comparison is not None
    assert (manifest.experiment.options.env, manifest.comparison.candidate.options.env) == ((), ("A=1",))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name what to compare"),
        (("--baseline", "a:1", *READY), "name what to compare"),
        (("--baseline-runtime", "runc", "--image", "a:1", *READY), "name what to compare"),
        ((*IMAGES, "--baseline-runtime", "a", "--candidate-runtime", "b"), "name what to compare"),
        (("a.toml", "b.toml", "c.toml"), "name what to compare"),
        (("a.toml", "b.toml", *IMAGES), "name what to compare"),
        ((*IMAGES, "--image", "x:1"), "--image is for two runtimes"),
        (
            ("--image", "a:1", "--runtime", "runc", "--baseline-runtime", "a", "--candidate-runtime", "b", *READY),
            "--baseline-runtime and --candidate-runtime say which",
        ),
        (("--baseline-runtime", "runc", "--candidate-runtime", "crun", *READY), "two runtimes need an image"),
        (("--baseline", "a:1", "--candidate", "a:2", "--engine", "fake"), "needs --ready"),
        ((*IMAGES, "--max-slowdown", "5"), "write a percentage"),
        ((*IMAGES, "--max-slowdown", "x%"), "write a percentage"),
        ((*IMAGES, "--max-slowdown", "-1%"), "write a percentage"),
        ((*IMAGES, "--max-slowdown", "nan%"), "write a percentage"),
        ((*IMAGES, "--alpha", "0"), "a share of false alarms"),
        ((*IMAGES, "--alpha", "0.5"), "a share of false alarms"),
        ((*IMAGES, "--max-layers", "x"), "--max-layers 'x'"),
        ((*IMAGES, "--max-pull-bytes", "5%"), "--max-pull-bytes '5%'"),
        ((*IMAGES, "--junit", "/no/such/place.xml"), "there is no folder /no/such"),
        ((*IMAGES, "--summary", "/no/such/place.md"), "there is no folder /no/such"),
        ((*IMAGES, "--targets", "x.toml"), "--targets judges a stored run"),
        (("no-such-run",), "no run 'no-such-run'"),
        ((*IMAGES, "--tier", "luke"), "unknown tier 'luke'"),
        ((*IMAGES, "--budget", "5"), "is not a duration"),
    ],
)
def test_what_makes_no_sense_ends_with_2_and_measures_nothing(
    gate: Gate, arguments: tuple[str, ...], message: str
) -> None:
    done = gate(*arguments)
    assert (done.code, len(done.messages)) == (2, 1), done.err
    assert message in done.messages[0]
    assert not gate.results.exists()


def test_what_is_tolerated_is_said_for_all_for_cells_and_for_phases() -> None:
    rule = module._rule(("7%", "absent=10%", "*/crun/*=12.5%", "pull=20%"), 0.02)
    assert rule == Rule(max_slowdown=0.07, alpha=0.02, cells={"absent": 0.10, "*/crun/*": 0.125}, metrics={"pull": 0.2})
    assert module._rule((), 0.01) == Rule()


@pytest.mark.parametrize(
    ("candidate_ms", "n", "code", "word"),
    [(100, 10, 0, "not slower"), (130, 10, 1, "regression"), (100, 5, 3, "inconclusive")],
)
def test_a_stored_gate_is_judged_once_more(gate: Gate, candidate_ms: float, n: int, code: int, word: str) -> None:
    done = gate(gate.stored(candidate_ms, n))
    assert (done.code, done.err) == (code, "")
    assert word in done.out


@pytest.mark.parametrize(("mapped", "code"), [("pass", 0), ("fail", 1)])
def test_inconclusive_is_mapped_as_it_is_wanted(gate: Gate, mapped: str, code: int) -> None:
    assert gate(gate.stored(100, 5), "--on-inconclusive", mapped).code == code


def test_a_regression_is_never_mapped(gate: Gate) -> None:
    assert gate(gate.stored(130), "--on-inconclusive", "pass").code == 1


def test_failures_of_the_candidate_are_a_regression(gate: Gate) -> None:
    done = gate(gate.stored(100, 10, failed=2))
    assert (done.code, "the candidate failed in 2 blocks" in done.out) == (1, True)


def test_nothing_measured_is_never_a_pass(gate: Gate) -> None:
    done = gate(gate.stored(100, 0))
    assert (done.code, done.messages) == (
        4,
        [f"coldstart: nothing was measured: {gate.results}/stored has no sample, so nothing can be said."],
    )


def test_a_hard_limit_of_a_stored_gate_is_a_regression(gate: Gate) -> None:
    done = gate(gate.stored(100), "--max-layers", "1")
    assert (done.code, "2 layers, limit 1" in done.out) == (1, True)


def test_the_verdict_can_be_had_as_json(gate: Gate) -> None:
    done = gate(gate.stored(130), "--json")
    told = json.loads(done.out)
    assert (told["outcome"], told["decisions"][0]["call"], told["run_id"]) == ("regression", "regression", "stored")


def test_markdown_is_appended_where_the_job_wants_it(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    gate(gate.stored(130))
    text = summary.read_text()
    assert text.startswith("before\n## Cold-start gate: regression\n")
    assert "| docker/runc/hello/alpine→scratch/warm/bridge | 10 |" in text


def test_a_named_summary_comes_before_the_jobs(gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "jobs.md"))
    gate(gate.stored(130), "--summary", str(tmp_path / "mine.md"))
    assert (tmp_path / "mine.md").exists()
    assert not (tmp_path / "jobs.md").exists()


def test_a_junit_file_has_the_questions_and_the_verdict(gate: Gate, tmp_path: Path) -> None:
    gate(gate.stored(130), "--junit", str(tmp_path / "gate.xml"))
    suite = ET.parse(tmp_path / "gate.xml").getroot()  # noqa: S314  our own file
    assert (suite.get("tests"), suite.get("failures")) == ("2", "2")


def test_a_run_without_two_contenders_is_refused_with_what_would_do(gate: Gate) -> None:
    done = gate(gate.stored(100, comparison=None))
    assert done.code == 2
    assert "--targets FILE" in done.messages[0]


def test_a_newer_run_is_refused(gate: Gate) -> None:
    done = gate(gate.stored(100, schema_version=99))
    assert (done.code, "schema version 99" in done.messages[0]) == (2, True)


def test_a_gates_run_cannot_be_gone_on_with(gate: Gate, coldstart: Run, capfd: pytest.CaptureFixture[str]) -> None:
    gate.stored(100)
    assert coldstart("run", "--resume", "stored", "--results", str(gate.results)) == 2
    assert "Repeat the gate" in capfd.readouterr().err


BUDGET = """
title = "board"
[[target]]
id = "ready"
claim = "ready in time"
metric = "e2e_ns"
statistic = "median"
limit = "{limit}"
applies_to = {{ variant = "{variant}" }}
"""


@pytest.mark.parametrize(
    ("limit", "variant", "code"),
    [("500ms", "alpine", 0), ("50ms", "alpine", 1), ("100004500ns", "alpine", 3), ("500ms", "distroless", 4)],
)
def test_a_run_is_judged_by_budgets(gate: Gate, tmp_path: Path, limit: str, variant: str, code: int) -> None:
    (tmp_path / "budgets.toml").write_text(BUDGET.format(limit=limit, variant=variant))
    done = gate(gate.stored(100), "--targets", str(tmp_path / "budgets.toml"))
    assert done.code == code, done.out
    told = gate("stored", "--targets", str(tmp_path / "budgets.toml"), "--json")
    assert json.loads(told.out)["exit_code"] == code


def test_an_undecided_budget_is_mapped_too(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "budgets.toml").write_text(BUDGET.format(limit="100004500ns", variant="alpine"))
    arguments = (gate.stored(100), "--targets", str(tmp_path / "budgets.toml"))
    assert gate(*arguments, "--on-inconclusive", "fail").code == 1


@pytest.mark.parametrize(("targets", "message"), [("no-such", "unknown targets file"), ("./no.toml", "cannot be read")])
def test_budgets_nobody_has_are_refused(gate: Gate, targets: str, message: str) -> None:
    done = gate(gate.stored(100), "--targets", targets)
    assert (done.code, message in done.messages[0]) == (2, True)


@pytest.mark.parametrize("after", [0, 3])
def test_an_interrupted_gate_keeps_what_it_has_and_ends_with_130(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    def run_gate(_contest: Any, writer: RunWriter, _rule: Rule, **_said: Any) -> None:
        manifest = writer.stored.manifest
        assert manifest.comparison is not None
        (pair,) = manifest.comparison.pairs
        for block in range(after):
            trial = Trial(block=block, position=0, cell=pair.baseline, side=Side.BASELINE)
            writer.append(make_sample(trial, run_id=manifest.run_id))
        raise KeyboardInterrupt

    monkeypatch.setattr(gating, "run_gate", run_gate)
    done = gate(*IMAGES, "--tier", "warm")
    assert done.code == 130
    assert f"Judge it with: coldstart gate {newest_run(gate.results)}" in done.err
    assert len(open_run(newest_run(gate.results)).samples) == after
