"""``coldstart gate``: what can be compared, what is refused, how it ends, and what it writes. On the fake engine."""

from __future__ import annotations

import itertools
import json
import signal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from coldstart.cli import _contenders
from coldstart.cli import gate as module
from coldstart.engines.base import Timed
from coldstart.engines.fake import FakeEngine
from coldstart.errors import EngineUnreachableError
from coldstart.measure import session
from coldstart.model.cell import CellPair, Network, Side, Tier, Trial
from coldstart.model.rule import Rule
from coldstart.model.run import Comparison, RunManifest
from coldstart.model.sample import Outcome, SentinelReading
from coldstart.runner import gating
from coldstart.store.reader import StoredRun, newest_run, open_run
from coldstart.store.writer import RunWriter
from coldstart.testbed import surroundings
from coldstart.testbed.quiet import QuietWait
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_run import Done, a_signal_after_a_sample
from tests.unit.factories import MS, make_cell, make_experiment, make_image, make_manifest, make_sample
from tests.unit.report.test_calibration import write_calibration

READY = ("--ready", "http:8080/", "--engine", "fake")
IMAGES = ("--baseline", "app:main", "--candidate", "app:pr", *READY)
RUNTIMES = ("--baseline-runtime", "runc", "--candidate-runtime", "crun")
ONE_LOOK = ("--tier", "warm", "--max-slowdown", "1000%")
"""Ten pairs are enough to be sure of this, however noisy the machine is."""
ONE_BLOCK = ("--tier", "warm", "--max-layers", "0")
"""No image has so few, so the verdict is out after a block."""
CELL = make_cell(tier=Tier.WARM)
PAIR = CellPair(baseline=CELL, candidate=make_cell(tier=Tier.WARM, variant="scratch"))

EXPERIMENT = """
name = "x"
runs = 5
[factors]
engine = ["fake"]
runtime = ["runc"]
workload = ["hello"]
variant = ["alpine"]
tier = ["warm"]
"""


class Gate:
    """The command, in a folder of its own."""

    def __init__(self, coldstart: Run, capfd: pytest.CaptureFixture[str], folder: Path) -> None:
        self._coldstart = coldstart
        self._capfd = capfd
        self.results = folder / "results"

    def __call__(self, *arguments: str) -> Done:
        """``coldstart gate`` with these arguments; what follows ``--`` stays at the end."""
        cut = arguments.index("--") if "--" in arguments else len(arguments)
        code = self._coldstart("gate", *arguments[:cut], "--results", str(self.results), *arguments[cut:])
        return Done(code, *self._capfd.readouterr())

    def measured(self, *arguments: str) -> StoredRun:
        """What is stored of a gate that is over after a block."""
        done = self(*ONE_BLOCK, *arguments)
        assert done.code == 1, done.err
        return self.newest

    @property
    def newest(self) -> StoredRun:
        """The run that was begun last."""
        return open_run(newest_run(self.results))

    def stored(self, candidate_ms: float, n: int = 10, failed: int = 0, **fields: Any) -> str:
        """A gate's run: the candidate takes so long, the baseline 100 ms; in so many blocks the candidate fails."""
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

    def disturbed(self) -> str:
        """A gate's run whose every baseline start had to be repeated once."""
        comparison = Comparison(candidate=make_experiment(), pairs=(PAIR,), rule=Rule())
        images = (make_image(), make_image(variant="scratch"))
        manifest = make_manifest(run_id="disturbed", comparison=comparison, images=images)
        with RunWriter.create(self.results, manifest) as writer:
            for block in range(10):
                for side, attempt, outcome in (
                    (Side.BASELINE, 0, Outcome.NOT_QUIET),
                    (Side.BASELINE, 1, Outcome.OK),
                    (Side.CANDIDATE, 0, Outcome.OK),
                ):
                    trial = Trial(block=block, position=attempt, cell=PAIR.of(side), side=side, attempt=attempt)
                    writer.append(make_sample(trial, outcome=outcome, run_id="disturbed"))
        return "disturbed"


@pytest.fixture
def gate(coldstart: Run, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """The command on a quiet machine, and not in a CI's job."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    quiet = QuietWait(quiet=True, waited_ns=0, busy_fraction=0.0)
    monkeypatch.setattr(surroundings, "wait_until_quiet", lambda **_: quiet)
    monkeypatch.setattr(surroundings, "read_sentinel", lambda _folder: SentinelReading(cpu_ns=1))
    return Gate(coldstart, capfd, tmp_path)


def compared(manifest: RunManifest, factor: str) -> list[tuple[str, str]]:
    """The factor's levels on both sides, pair by pair."""
    assert manifest.comparison is not None
    pairs = manifest.comparison.pairs
    return [(str(getattr(pair.baseline, factor)), str(getattr(pair.candidate, factor))) for pair in pairs]


# --- what can be compared ---


def test_a_candidate_that_is_not_slower_ends_with_0_after_the_first_look(gate: Gate) -> None:
    done = gate(*IMAGES, *ONE_LOOK)
    assert (done.code, len(gate.newest.samples)) == (0, 20), done.err
    assert done.out.startswith("not slower than is tolerated — fake/runc/app/main→pr/warm/bridge: not slower by more")


def test_progress_names_the_run_its_pairs_and_looks_each_start_and_what_a_look_says(gate: Gate) -> None:
    lines = gate(*IMAGES, *ONE_LOOK).err.splitlines()
    pair = "fake/runc/app/main→pr/warm/bridge"
    assert f"run {gate.newest.manifest.run_id}: {pair}; looks after 10, 20, 40, 80, 160 pairs" in lines
    assert sum("/320] block " in line for line in lines) == 20
    assert lines[-1] == f"{pair}: ok, not slower by more than +1000.0%"


def test_two_images_are_measured_side_by_side_and_stored(gate: Gate) -> None:
    run = gate.measured(*IMAGES, "--seed", "7")
    assert compared(run.manifest, "variant") == [("main", "pr")]
    assert {sample.trial.side for sample in run.samples} == {Side.BASELINE, Side.CANDIDATE}
    assert (run.manifest.seed, run.manifest.argv[:2]) == (7, ("coldstart", "gate"))
    assert "-gate-" in run.path.name


def test_a_seed_of_0_is_one_too(gate: Gate) -> None:
    assert gate.measured(*IMAGES, "--seed", "0").manifest.seed == 0


def test_the_rule_that_was_asked_for_is_stored_with_the_run(gate: Gate) -> None:
    comparison = gate.measured(*IMAGES, "--max-slowdown", "7%", "--alpha", "0.05").manifest.comparison
    assert comparison is not None
    assert comparison.rule == Rule(max_slowdown=0.07, alpha=0.05)


@pytest.mark.parametrize(
    "contenders",
    [
        IMAGES,
        ("--image", "app:pr", *RUNTIMES, *READY),
        ("--workload", "hello", "--variant", "alpine", *RUNTIMES, "--engine", "fake"),
    ],
)
def test_absent_and_warm_are_what_is_gated_unless_said_otherwise(gate: Gate, contenders: tuple[str, ...]) -> None:
    gate(*contenders, "--max-layers", "0")
    assert compared(gate.newest.manifest, "tier") == [("absent", "absent"), ("warm", "warm")]


def test_a_tier_that_is_named_has_to_be_provable(gate: Gate) -> None:
    done = gate(*IMAGES, "--tier", "cached")
    assert (done.code, len(done.messages), gate.results.exists()) == (4, 1, False), done.err


@pytest.mark.parametrize("image", [("--image", "app:pr"), ("--workload", "hello", "--variant", "alpine")])
def test_two_runtimes_of_one_image_are_compared(gate: Gate, image: tuple[str, ...]) -> None:
    assert compared(gate.measured(*image, *RUNTIMES, *READY).manifest, "runtime") == [("runc", "crun")]


def test_two_experiment_files_are_compared_with_their_own_options(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(EXPERIMENT)
    (tmp_path / "b.toml").write_text(f'{EXPERIMENT}[options]\nenv = ["A=1"]\n')
    manifest = gate.measured(str(tmp_path / "a.toml"), str(tmp_path / "b.toml")).manifest
    assert manifest.comparison is not None
    assert (manifest.experiment.options.env, manifest.comparison.candidate.options.env) == ((), ("A=1",))


def test_what_is_said_replaces_both_experiments_own(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(EXPERIMENT)
    files = (str(tmp_path / "a.toml"), str(tmp_path / "a.toml"))
    manifest = gate.measured(*files, "--network", "host", "--timeout", "1m", "-e", "A=1").manifest
    assert manifest.comparison is not None
    for experiment in (manifest.experiment, manifest.comparison.candidate):
        assert (experiment.network, experiment.timeout_ns) == ((Network.HOST,), 60_000 * MS)
        assert experiment.options.env == ("A=1",)


def test_what_follows_two_dashes_is_run_in_both_containers(gate: Gate) -> None:
    manifest = gate.measured(*IMAGES, "--ready", "exit", "--", "sh", "-c", "exit 0").manifest
    assert manifest.comparison is not None
    for experiment in (manifest.experiment, manifest.comparison.candidate):
        assert experiment.options.command == ("sh", "-c", "exit 0")


def test_a_hard_limit_that_is_passed_ends_a_gate_after_a_block(gate: Gate) -> None:
    done = gate(*IMAGES, *ONE_BLOCK)
    assert (done.code, len(gate.newest.samples)) == (1, 2)
    assert "app/main → app/pr: 2 layers, limit 0" in done.out


def test_a_gate_without_the_time_for_a_start_is_no_pass(gate: Gate) -> None:
    done = gate(*IMAGES, "--budget", "1ns", "--on-inconclusive", "pass")
    assert (done.code, len(done.messages), gate.newest.samples) == (4, 1, ())
    assert "nothing was measured" in done.messages[0]


def test_a_gate_that_is_interrupted_shows_what_it_has_and_says_how_to_judge_it(gate: Gate) -> None:
    with a_signal_after_a_sample(signal.SIGINT):
        done = gate(*IMAGES, "--tier", "warm", "--on-inconclusive", "pass")
    assert (done.code, len(gate.newest.samples)) == (130, 1)
    assert done.err.splitlines()[-1].endswith(f"Judge it with: coldstart gate {gate.newest.path}")
    assert "fake/runc/app/main→pr/warm/bridge" in done.out


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


def test_an_engine_that_is_lost_is_never_a_pass(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_engine: FakeEngine, container_id: str) -> None:
        raise EngineUnreachableError(f"gone before {container_id} started.")

    monkeypatch.setattr(FakeEngine, "start", gone)
    done = gate(*IMAGES, "--tier", "warm")
    assert (done.code, len(gate.newest.samples)) == (4, session.LOST_IN_A_ROW), done.err


def test_a_gate_whose_engine_is_lost_on_its_way_is_no_pass_however_undecided_gates_end(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, starts = FakeEngine.start, itertools.count()

    def at_first(engine: FakeEngine, container_id: str) -> Timed[None]:
        if next(starts) >= 29:  # so many that the three that are lost are less than a tenth
            raise EngineUnreachableError("gone.")
        return start(engine, container_id)

    monkeypatch.setattr(FakeEngine, "start", at_first)
    done = gate(*IMAGES, "--tier", "absent", "--max-slowdown", "0%", "--on-inconclusive", "pass")
    assert done.code == 4, done.err
    assert f"the engine was lost: gone. The pairs so far are kept in {gate.newest.path}." in done.messages[-1]


# --- what is refused ---


NAME_WHAT = "name what to compare, one of: --baseline REF --candidate REF; --image REF --baseline-runtime NAME "


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), NAME_WHAT),
        (("--baseline", "a:1", *READY), NAME_WHAT),
        (("--candidate", "a:1", *READY), NAME_WHAT),
        (("--baseline-runtime", "runc", "--image", "a:1", *READY), NAME_WHAT),
        (("--candidate-runtime", "runc", "--image", "a:1", *READY), NAME_WHAT),
        (("--image", "a:1", *READY), NAME_WHAT),
        ((*IMAGES, *RUNTIMES), NAME_WHAT),
        (("a.toml", "b.toml", "c.toml"), NAME_WHAT),
        (("a.toml", "b.toml", *IMAGES), NAME_WHAT),
        (("a.toml", "b.toml", *RUNTIMES), NAME_WHAT),
        ((*IMAGES, "--image", "x:1"), "--image is for two runtimes"),
        (("--image", "a:1", "--runtime", "runc", *RUNTIMES, *READY), "--baseline-runtime and --candidate-runtime say"),
        ((*RUNTIMES, *READY), "two runtimes need an image: --image REF with --ready, or --workload and --variant."),
        ((*RUNTIMES, "--workload", "hello", *READY), "two runtimes need an image"),
        ((*RUNTIMES, "--variant", "alpine", *READY), "two runtimes need an image"),
        (("--image", "a:1", "--baseline-runtime", "runc", "--candidate-runtime", "crn", *READY), "did you mean 'crun'"),
        (("--baseline", "a:1", "--candidate", "a:2", "--engine", "fake"), "needs --ready"),
        ((*IMAGES, "--variant", "alpine"), "--image and --variant exclude each other"),
        (("/no/such/a.toml", "/no/such/b.toml"), "/no/such/a.toml"),
        (("tiers", "tierz", "--engine", "fake"), "did you mean 'tiers'"),
        ((*IMAGES, "--max-slowdown", "5"), "--max-slowdown '5': write a percentage from 0% to 1000%, such as 5%"),
        ((*IMAGES, "--max-slowdown", "x%"), "write a percentage"),
        ((*IMAGES, "--max-slowdown", "%"), "write a percentage"),
        ((*IMAGES, "--max-slowdown", ""), "write a percentage"),
        ((*IMAGES, "--max-slowdown", "-1%"), "write a percentage"),
        ((*IMAGES, "--max-slowdown", "1001%"), "write a percentage"),
        ((*IMAGES, "--max-slowdown", "nan%"), "write a percentage"),
        ((*IMAGES, "--max-slowdown", "inf%"), "write a percentage"),
        ((*IMAGES, "--max-slowdown", "absent="), "--max-slowdown 'absent='"),
        ((*IMAGES, "--max-slowdown", "absent=10"), "--max-slowdown 'absent=10'"),
        ((*IMAGES, "--alpha", "0"), "--alpha 0.0: a share of false alarms is more than 0 and at most 0.2"),
        ((*IMAGES, "--alpha", "-0.1"), "a share of false alarms"),
        ((*IMAGES, "--alpha", "0.201"), "a share of false alarms"),
        ((*IMAGES, "--alpha", "nan"), "a share of false alarms"),
        ((*IMAGES, "--max-layers", "x"), "--max-layers 'x'"),
        ((*IMAGES, "--max-files", "-1"), "--max-files '-1'"),
        ((*IMAGES, "--max-pull-bytes", "5%"), "--max-pull-bytes '5%'"),
        ((*IMAGES, "--max-unpacked-bytes", "+"), "--max-unpacked-bytes '+'"),
        ((*IMAGES, "--junit", "/no/such/place.xml"), "--junit /no/such/place.xml: there is no folder /no/such"),
        ((*IMAGES, "--summary", "/no/such/place.md"), "--summary /no/such/place.md: there is no folder /no/such"),
        (("a.toml", "b.toml", "--max-slowdown", "unknown"), "write a percentage"),
        ((*IMAGES, "--targets", "x.toml"), "--targets judges a stored run: coldstart gate RUN --targets FILE."),
        (("no-such-run",), "no run 'no-such-run'"),
        ((*IMAGES, "--tier", "luke"), "unknown tier 'luke'"),
        ((*IMAGES, "--budget", "5"), "is not a duration"),
        ((*IMAGES, "--timeout", "5"), "is not a duration"),
        ((*IMAGES, "--ready", "htp:8080/"), "did you mean 'http'"),
        ((*IMAGES, "--memory", "lots"), "--memory"),
    ],
)
def test_what_makes_no_sense_ends_with_2_and_measures_nothing(
    gate: Gate, arguments: tuple[str, ...], message: str
) -> None:
    done = gate(*arguments)
    assert (done.code, len(done.messages), done.out) == (2, 1, ""), done.err
    assert message in done.messages[0]
    assert "Traceback" not in done.err
    assert not gate.results.exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--alpha", "x"), ("--on-inconclusive", "maybe"), ("--seed", "-1"), ("--source", "ether"), ("--bases", "sky")],
)
def test_a_value_that_an_option_does_not_take_ends_with_2(gate: Gate, option: str, value: str) -> None:
    done = gate(*IMAGES, option, value)
    assert (done.code, option in done.err, gate.results.exists()) == (2, True, False)


@pytest.mark.parametrize("other", ['tier = ["absent"]', 'tier = ["warm"]\nnetwork = ["host"]'])
def test_experiments_whose_cells_do_not_go_together_are_refused(gate: Gate, tmp_path: Path, other: str) -> None:
    (tmp_path / "a.toml").write_text(EXPERIMENT)
    (tmp_path / "b.toml").write_text(EXPERIMENT.replace('tier = ["warm"]', other))
    done = gate(str(tmp_path / "a.toml"), str(tmp_path / "b.toml"))
    assert (done.code, len(done.messages), gate.results.exists()) == (2, 1, False), done.err
    assert "baseline and candidate have to have the same" in done.messages[0]


def test_without_the_packages_of_reports_there_is_no_gate(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "can_report", lambda: False)
    done = gate(*IMAGES)
    assert (done.code, gate.results.exists()) == (2, False)
    assert done.messages == ["coldstart: a gate needs packages that are not installed: pip install 'coldstart[report]'"]


@pytest.mark.parametrize(
    ("slowdown", "message"),
    [
        ("abesnt=3%", "did you mean 'absent'"),
        ("unpak=10%", "did you mean 'unpack'"),
        ("e2e=3%", "unknown level or phase 'e2e'"),
        ("*/crun/*=8%", "unknown cell '*/crun/*'"),
    ],
)
def test_a_tolerance_that_no_cell_has_is_refused_before_anything_is_measured(
    gate: Gate, slowdown: str, message: str
) -> None:
    done = gate(*IMAGES, "--max-slowdown", slowdown)
    assert (done.code, message in done.err, gate.results.exists()) == (2, True, False), done.err


@pytest.mark.parametrize("phase", ["pull", "unpack"])
def test_a_phase_that_no_tier_has_is_refused_before_anything_is_measured(gate: Gate, phase: str) -> None:
    done = gate(*IMAGES, "--tier", "warm", "--max-slowdown", f"{phase}=10%")
    assert (done.code, "only starts of tier absent pull" in done.err, gate.results.exists()) == (2, True, False)


def test_unpacking_is_gated_where_it_is_pulled(gate: Gate) -> None:
    done = gate(*IMAGES, "--tier", "absent", "--max-layers", "0", "--max-slowdown", "unpack=10%", "--json")
    names = [decision["name"] for decision in json.loads(done.out)["decisions"]]
    assert names == ["fake/runc/app/main→pr/absent/bridge", "fake/runc/app/main→pr/absent/bridge: unpack"], done.err


def test_where_bases_come_from_is_for_what_is_built_here(gate: Gate) -> None:
    done = gate(*IMAGES, "--bases", "packages")
    assert (done.code, "--bases is for catalogue images and folders" in done.err) == (2, True)


def test_a_platform_is_for_images_of_ones_own(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(EXPERIMENT)
    done = gate(str(tmp_path / "a.toml"), str(tmp_path / "a.toml"), "--platform", "linux/arm64")
    assert (done.code, "--platform goes with images of one's own" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ((), Rule()),
        (("0%",), Rule(max_slowdown=0.0)),
        (("1000%",), Rule(max_slowdown=10.0)),
        ((" 7.5 % ",), Rule(max_slowdown=0.075)),
        (("7%", "8%"), Rule(max_slowdown=0.08)),
        (("absent=10%",), Rule(cells={"absent": 0.1})),
        (("*/crun/*=12.5%", "7%"), Rule(max_slowdown=0.07, cells={"*/crun/*": 0.125})),
        (("a=b=10%",), Rule(cells={"a=b": 0.1})),
        (("pull=20%", "init=1%"), Rule(metrics={"pull": 0.2, "init": 0.01})),
        (("unpack=20%",), Rule(metrics={"unpack": 0.2})),
    ],
)
def test_what_is_tolerated_is_said_for_all_for_cells_and_for_phases(said: tuple[str, ...], rule: Rule) -> None:
    found = _contenders.rule_of(said, 0.01)
    assert (found.cells, found.metrics) == (rule.cells, rule.metrics)
    assert found.max_slowdown == pytest.approx(rule.max_slowdown)


@pytest.mark.parametrize("alpha", [1e-9, 0.2])
def test_any_share_of_false_alarms_up_to_a_fifth_can_be_accepted(alpha: float) -> None:
    assert _contenders.rule_of((), alpha).alpha == alpha


@pytest.mark.parametrize(
    ("said", "alpha", "rule"),
    [
        ((), None, Rule(max_slowdown=0.07, alpha=0.05, looks=(6, 12), cells={"warm": 0.3}, metrics={"init": 0.2})),
        (("1%",), None, Rule(max_slowdown=0.01, alpha=0.05, looks=(6, 12))),
        (("init=3%",), None, Rule(max_slowdown=0.07, alpha=0.05, looks=(6, 12), metrics={"init": 0.03})),
        ((), 0.1, Rule(max_slowdown=0.07, alpha=0.1, looks=(6, 12), cells={"warm": 0.3}, metrics={"init": 0.2})),
    ],
)
def test_what_is_not_said_of_a_stored_rule_stays_and_tolerances_go_together(
    said: tuple[str, ...], alpha: float | None, rule: Rule
) -> None:
    stored = Rule(max_slowdown=0.07, alpha=0.05, looks=(6, 12), cells={"warm": 0.3}, metrics={"init": 0.2})
    assert _contenders.rule_of(said, alpha, stored) == rule


# --- a stored gate ---


@pytest.mark.parametrize(
    ("options", "code"),
    [((), 0), (("--max-slowdown", "1%"), 1), (("--max-slowdown", "warm=1%"), 1), (("--alpha", "0.0001"), 3)],
)
def test_a_stored_gate_is_judged_by_what_is_asked_for(gate: Gate, options: tuple[str, ...], code: int) -> None:
    done = gate(gate.stored(103), *options)
    assert done.code == code, done.out
    says_so = "a rule that was asked for after the measurement" in " ".join(done.out.split())
    assert says_so is bool(options)


def test_a_verdict_has_the_rule_that_was_asked_for_and_the_one_that_is_stored(gate: Gate) -> None:
    verdict = json.loads(gate(gate.stored(103), "--max-slowdown", "1%", "--json").out)
    assert (verdict["rule"]["max_slowdown"], verdict["stored_rule"]["max_slowdown"]) == (0.01, 0.05)
    assert json.loads(gate("stored", "--json").out)["stored_rule"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--max-slowdown", "banana"), "write a percentage"),
        (("--max-slowdown", "abesnt=1%"), "unknown level or phase 'abesnt'"),
        (("--max-slowdown", "unpack=1%"), "only starts of tier absent pull"),
        (("--alpha", "7"), "a share of false alarms"),
        (("--tier", "warm"), "--tier: what is stored already is judged as it is; leave it out."),
        (("--runtime", "crun"), "--runtime: "),
        (("--image", "x"), "--image: "),
        (("--source", "engine"), "--source: "),
        (("--bases", "packages"), "--bases: "),
        (("--seed", "0"), "--seed: "),
        (("--budget", "1m"), "--budget: "),
        (("-e", "A=1"), "--env: "),
        (("--", "true"), "-- true: "),
    ],
)
def test_what_a_stored_gate_does_not_heed_is_refused_by_name(
    gate: Gate, options: tuple[str, ...], message: str
) -> None:
    done = gate(gate.stored(100), *options)
    assert (done.code, message in done.err, done.out) == (2, True, ""), done.err


@pytest.mark.parametrize(
    "options", [("--max-slowdown", "1%"), ("--alpha", "0.1"), ("--max-layers", "1"), ("--junit", "x.xml")]
)
def test_what_budgets_do_not_heed_is_refused_by_name(gate: Gate, budgets: Path, options: tuple[str, ...]) -> None:
    done = gate(gate.stored(100), "--targets", str(budgets), *options)
    assert (done.code, f"{options[0]}: --targets FILE has all" in done.err) == (2, True), done.err


def test_budgets_do_not_judge_two_sides_of_one_name(gate: Gate, budgets: Path) -> None:
    pairs = (CellPair(baseline=CELL, candidate=CELL),)
    mixed = Comparison(candidate=make_experiment(name="other"), pairs=pairs, rule=Rule())
    done = gate(gate.stored(100, comparison=mixed), "--targets", str(budgets))
    assert (done.code, "would be taken for one" in done.err) == (2, True), done.err


@pytest.mark.parametrize(("factor", "near"), [("runtime", "runc"), ("variant", "alpine")])
def test_a_budget_for_what_the_run_does_not_have_is_refused_with_the_nearest(
    gate: Gate, budgets: Path, factor: str, near: str
) -> None:
    budgets.write_text(BUDGET.partition("applies_to")[0].format(limit="500ms"))
    with budgets.open("a") as file:
        file.write(f'applies_to = {{ {factor} = "{near}x" }}\n')
    done = gate(gate.stored(100), "--targets", str(budgets))
    assert (done.code, f"unknown {factor} in this run" in done.err, f"did you mean '{near}'" in done.err) == (
        2,
        True,
        True,
    ), done.err


@pytest.mark.parametrize(
    ("candidate_ms", "n", "code", "word"),
    [(100, 10, 0, "not slower"), (130, 10, 1, "regression"), (100, 5, 3, "inconclusive")],
)
def test_a_stored_gate_is_judged_once_more(gate: Gate, candidate_ms: float, n: int, code: int, word: str) -> None:
    done = gate(gate.stored(candidate_ms, n))
    assert (done.code, done.err) == (code, "")
    assert done.out.startswith(word)


def test_a_stored_gate_can_be_named_by_its_folder(gate: Gate) -> None:
    assert gate(str(gate.results / gate.stored(100))).code == 0


@pytest.mark.parametrize(("mapped", "code"), [("pass", 0), ("fail", 1)])
def test_inconclusive_is_mapped_as_it_is_wanted(gate: Gate, mapped: str, code: int) -> None:
    assert gate(gate.stored(100, 5), "--on-inconclusive", mapped).code == code


def test_a_regression_is_never_mapped(gate: Gate) -> None:
    assert gate(gate.stored(130), "--on-inconclusive", "pass").code == 1


def test_ok_is_never_mapped(gate: Gate) -> None:
    assert gate(gate.stored(100), "--on-inconclusive", "fail").code == 0


def test_a_disturbed_machine_ends_with_4_and_is_never_mapped(gate: Gate) -> None:
    done = gate(gate.disturbed(), "--on-inconclusive", "pass")
    assert done.code == 4
    assert done.out.startswith("contaminated: the machine was disturbed, so nothing is concluded — 10 of 30 starts")


def test_failures_of_the_candidate_are_a_regression(gate: Gate) -> None:
    done = gate(gate.stored(100, 10, failed=2))
    assert (done.code, "the candidate failed in 2 blocks" in done.out) == (1, True)


def test_nothing_measured_is_never_a_pass(gate: Gate) -> None:
    done = gate(gate.stored(100, 0))
    assert (done.code, done.messages) == (
        4,
        [f"coldstart: nothing was measured: {gate.results}/stored has no sample, so nothing can be said."],
    )


@pytest.mark.parametrize(
    ("limit", "code", "text"),
    [
        (("--max-layers", "1"), 1, "2 layers, limit 1"),
        (("--max-layers", "+0"), 0, "within"),
        (("--max-files", "41"), 1, "42 files, limit 41"),
        (("--max-files", "+5%"), 0, "within"),
        (("--max-pull-bytes", "2m"), 1, "bytes pulled, limit"),
        (("--max-pull-bytes", "+1m"), 0, "within"),
        (("--max-unpacked-bytes", "6m"), 1, "bytes unpacked, limit"),
        (("--max-unpacked-bytes", "8m"), 0, "within"),
    ],
)
def test_hard_limits_of_a_stored_gate_are_judged(gate: Gate, limit: tuple[str, ...], code: int, text: str) -> None:
    done = gate(gate.stored(100), *limit)
    assert (done.code, text in done.out) == (code, True), done.out


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [("run.json", "{", "run.json"), ("samples.jsonl", "nonsense\n{}\n", "samples.jsonl:1")],
)
def test_a_damaged_run_is_refused_with_the_place_of_the_damage(gate: Gate, name: str, text: str, where: str) -> None:
    (gate.results / gate.stored(100) / name).write_text(text)
    done = gate("stored")
    assert (done.code, done.out, len(done.messages)) == (2, "", 1)
    assert f"/stored/{where}: is damaged" in done.messages[0]
    assert "Restore the file" in done.messages[0]


def test_a_run_whose_last_line_a_crash_tore_is_judged_without_it(gate: Gate) -> None:
    path = gate.results / gate.stored(100, 11) / "samples.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    assert gate("stored").code == 0


# --- what it writes ---


def test_the_verdict_can_be_had_as_json(gate: Gate) -> None:
    done = gate(gate.stored(130), "--json")
    told = json.loads(done.out)
    assert (told["outcome"], told["decisions"][0]["call"], told["run_id"]) == ("regression", "regression", "stored")


def test_json_is_all_that_a_measured_gate_writes_to_standard_output(gate: Gate) -> None:
    told = json.loads(gate(*IMAGES, *ONE_BLOCK, "--json").out)
    assert told["run_id"] == gate.newest.manifest.run_id


def test_the_error_rates_of_this_kind_of_machine_are_told_where_they_are_known(gate: Gate) -> None:
    run = gate.stored(100)
    known = "0 of 5 gates of a start against itself called a regression"
    assert "Measure it with: coldstart calibrate" in " ".join(gate(run).out.split())
    write_calibration(gate.results, open_run(gate.results / run).manifest.host)
    assert known in " ".join(gate(run).out.split())
    assert known not in " ".join(gate(run, "--max-slowdown", "1%").out.split())
    write_calibration(gate.results, open_run(gate.results / run).manifest.host, Rule(max_slowdown=0.01))
    assert known in " ".join(gate(run, "--max-slowdown", "1%").out.split())


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
    gate("stored")
    assert summary.read_text() == text + text.removeprefix("before\n")


def test_an_empty_name_of_the_jobs_summary_is_none(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "")
    assert gate(gate.stored(100)).code == 0


def test_a_named_summary_comes_before_the_jobs(gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "jobs.md"))
    gate(gate.stored(130), "--summary", str(tmp_path / "mine.md"))
    assert (tmp_path / "mine.md").exists()
    assert not (tmp_path / "jobs.md").exists()


@pytest.mark.parametrize("option", ["--junit", "--summary"])
def test_a_file_that_cannot_be_written_ends_with_4_and_the_verdict_is_shown(
    gate: Gate, tmp_path: Path, option: str
) -> None:
    done = gate(gate.stored(130), option, str(tmp_path))
    assert (done.code, len(done.messages), done.out.startswith("regression")) == (4, 1, True)
    assert done.messages[0].startswith(f"coldstart: {tmp_path}: cannot be written: ")
    assert done.messages[0].endswith(f" Choose another file with {option}.")


def test_a_junit_file_has_the_questions_and_the_verdict_and_replaces_what_was_there(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "gate.xml").write_text("old")
    gate(gate.stored(130), "--junit", str(tmp_path / "gate.xml"))
    suite = ET.parse(tmp_path / "gate.xml").getroot()  # noqa: S314  our own file
    assert (suite.get("tests"), suite.get("failures")) == ("2", "2")


@pytest.mark.parametrize("comparison", [None, Comparison(candidate=make_experiment(), pairs=(PAIR,))])
def test_a_run_without_two_contenders_is_refused_with_what_would_do(gate: Gate, comparison: Comparison | None) -> None:
    done = gate(gate.stored(100, comparison=comparison))
    assert (done.code, done.out, len(done.messages)) == (2, "", 1)
    assert f"{gate.results}/stored has no baseline and candidate side by side" in done.messages[0]
    assert "--targets FILE" in done.messages[0]


def test_a_run_of_a_newer_version_is_refused_with_what_reads_it(gate: Gate) -> None:
    done = gate(gate.stored(100, schema_version=99, coldstart_version="7.0"))
    assert (done.code, len(done.messages)) == (2, 1)
    assert "has schema version 99" in done.messages[0]
    assert "pip install 'coldstart>=7.0'" in done.messages[0]


def test_a_gates_run_cannot_be_gone_on_with(gate: Gate, coldstart: Run, capfd: pytest.CaptureFixture[str]) -> None:
    gate.stored(100)
    assert coldstart("run", "--resume", "stored", "--results", str(gate.results)) == 2
    assert "Repeat the gate" in capfd.readouterr().err


# --- budgets ---

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


@pytest.fixture
def budgets(tmp_path: Path) -> Path:
    """Half a second for the baseline's image, which is met."""
    path = tmp_path / "budgets.toml"
    path.write_text(BUDGET.format(limit="500ms", variant="alpine"))
    return path


@pytest.mark.parametrize(
    ("limit", "variant", "code", "why"),
    [
        ("500ms", "alpine", 0, "every budget is met"),
        ("50ms", "alpine", 1, "ready is missed (1 of 1 judgements)"),
        ("100004500ns", "alpine", 3, "ready: undecided"),
    ],
)
def test_a_run_is_judged_by_budgets(gate: Gate, budgets: Path, limit: str, variant: str, code: int, why: str) -> None:
    budgets.write_text(BUDGET.format(limit=limit, variant=variant))
    done = gate(gate.stored(100), "--targets", str(budgets))
    assert (done.code, done.out.splitlines()[-1]) == (code, why)
    assert "ready in time" in done.out


def test_budgets_can_be_judged_as_one_json_object(gate: Gate, budgets: Path) -> None:
    done = gate(gate.stored(100), "--targets", str(budgets), "--json")
    told = json.loads(done.out)
    assert (told["run_id"], told["exit_code"], told["reason"]) == ("stored", 0, "every budget is met")
    assert [one["verdict"] for one in told["targets"]] == ["met"]


def test_a_run_that_compares_nothing_can_be_judged_by_budgets(gate: Gate, budgets: Path) -> None:
    assert gate(gate.stored(100, comparison=None), "--targets", str(budgets)).code == 0


def test_a_start_that_failed_meets_no_budget(gate: Gate, budgets: Path) -> None:
    budgets.write_text(BUDGET.format(limit="500ms", variant="scratch"))
    done = gate(gate.stored(100, failed=1), "--targets", str(budgets))
    assert (done.code, "1 starts failed; a failed start meets no budget" in done.out) == (1, True)


def test_budgets_of_a_run_without_a_sample_are_no_pass(gate: Gate, budgets: Path) -> None:
    assert gate(gate.stored(100, 0), "--targets", str(budgets)).code == 4


@pytest.mark.parametrize(("mapped", "code"), [("pass", 0), ("fail", 1)])
def test_an_undecided_budget_is_mapped_too(gate: Gate, budgets: Path, mapped: str, code: int) -> None:
    budgets.write_text(BUDGET.format(limit="100004500ns", variant="alpine"))
    assert gate(gate.stored(100), "--targets", str(budgets), "--on-inconclusive", mapped).code == code


def test_a_missed_budget_is_never_mapped(gate: Gate, budgets: Path) -> None:
    budgets.write_text(BUDGET.format(limit="50ms", variant="alpine"))
    assert gate(gate.stored(100), "--targets", str(budgets), "--on-inconclusive", "pass").code == 1


def test_the_catalogues_targets_can_be_named(gate: Gate) -> None:
    done = gate(gate.stored(100), "--targets", "article", "--json")
    assert len(json.loads(done.out)["targets"]) > 1


def test_a_file_in_a_folder_may_have_any_suffix(gate: Gate, budgets: Path) -> None:
    assert gate(gate.stored(100), "--targets", str(budgets.rename(budgets.with_suffix(".txt")))).code == 0


def test_a_file_in_the_current_folder_is_known_by_its_suffix(
    gate: Gate, budgets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(budgets.parent)
    assert gate(gate.stored(100), "--targets", budgets.name).code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "is not valid TOML"),
        ('title = "x"\n[[target]]\nid = "a"\n', "missing required field"),
        (BUDGET.format(limit="5 apples", variant="alpine"), "target[0] 'ready': limit"),
        (BUDGET.format(limit="500ms", variant="alpine").replace("e2e_ns", "e3e_ns"), "metric 'e3e_ns' is none"),
    ],
)
def test_a_bad_file_of_budgets_is_refused_with_its_place(gate: Gate, budgets: Path, text: str, message: str) -> None:
    budgets.write_text(text)
    done = gate(gate.stored(100), "--targets", str(budgets))
    assert (done.code, done.out, len(done.messages)) == (2, "", 1)
    assert done.messages[0].startswith(f"coldstart: {budgets}: ")
    assert message in done.messages[0]


@pytest.mark.parametrize(
    ("targets", "message"), [("articel", "did you mean 'article'"), ("./no.toml", "no.toml: cannot be read")]
)
def test_budgets_nobody_has_are_refused(gate: Gate, targets: str, message: str) -> None:
    done = gate(gate.stored(100), "--targets", targets)
    assert (done.code, len(done.messages), message in done.messages[0]) == (2, 1, True)
