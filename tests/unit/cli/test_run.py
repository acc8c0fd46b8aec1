"""``coldstart run`` from its arguments to the run's folder, on the fake engine."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from coldstart.cli import _summary, _view
from coldstart.engines.base import ContainerSpec, Timed
from coldstart.engines.fake import FakeEngine
from coldstart.errors import EngineError, EngineUnreachableError, TestbedError
from coldstart.measure import session
from coldstart.model.cell import Network, Tier, Trial
from coldstart.model.experiment import Experiment
from coldstart.model.run import RunManifest
from coldstart.model.sample import Outcome, Sample
from coldstart.plan.schedule import cells, schedule
from coldstart.store.reader import open_run
from coldstart.testbed import surroundings
from coldstart.testbed.quiet import QuietWait
from tests.unit.cli.conftest import Run

FAKE = ("--engine", "fake")
SMALL = ("tiers", *FAKE, "--runtime", "runc", "--tier", "warm", "-n", "2", "-w", "0")
"""Two starts of one cell."""
AD_HOC = ("--image", "app:alpine", "--ready", "http:8080/", *FAKE, "--tier", "warm", "-n", "1")


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def messages(self) -> list[str]:
        """What it said as itself."""
        return [line for line in self.err.splitlines() if line.startswith("coldstart: ")]


class Bench:
    """A folder for results, and the command that fills it."""

    def __init__(self, coldstart: Run, capfd: pytest.CaptureFixture[str], results: Path) -> None:
        self._coldstart = coldstart
        self._capfd = capfd
        self.results = results

    def run(self, *arguments: str) -> Done:
        """``coldstart run`` with these arguments; what follows ``--`` stays at the end."""
        cut = arguments.index("--") if "--" in arguments else len(arguments)
        code = self._coldstart("run", *arguments[:cut], "--results", str(self.results), *arguments[cut:])
        return Done(code, *self._capfd.readouterr())

    @property
    def folders(self) -> list[Path]:
        """The runs there are."""
        return sorted(self.results.iterdir()) if self.results.is_dir() else []

    @property
    def folder(self) -> Path:
        """The only run."""
        (only,) = self.folders
        return only

    @property
    def manifest(self) -> RunManifest:
        """The only run's manifest."""
        return open_run(self.folder).manifest

    @property
    def experiment(self) -> Experiment:
        """What the only run measured."""
        return self.manifest.experiment

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The only run's samples."""
        return open_run(self.folder).samples

    @property
    def trials(self) -> list[Trial]:
        """What the only run measured, in its order."""
        return [sample.trial for sample in self.samples]

    def edit(self, *keys: str, value: object) -> None:
        """Set one value in the only run's manifest; a number is an index."""
        path = self.folder / "run.json"
        manifest = json.loads(path.read_text())
        place: Any = manifest
        for key in keys[:-1]:
            place = place[int(key)] if key.isdecimal() else place[key]
        place[keys[-1]] = value
        path.write_text(json.dumps(manifest))


@pytest.fixture
def bench(coldstart: Run, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Bench:
    """Nothing measured yet."""
    return Bench(coldstart, capfd, tmp_path / "results")


Waits = Callable[[Sequence[bool]], None]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """The machine is always quiet, or over and over what a test says: nothing here depends on what else runs on it."""

    def become(answers: Sequence[bool]) -> None:
        said = itertools.cycle(answers)
        monkeypatch.setattr(
            surroundings,
            "wait_until_quiet",
            lambda **_: QuietWait(quiet=next(said), waited_ns=0, busy_fraction=0.0),
        )

    become([True])
    return become


@pytest.fixture
def interrupted(bench: Bench) -> Done:
    """`SMALL` with both runtimes, stopped by Ctrl-C after its first sample of four."""
    with a_signal_after_a_sample(signal.SIGINT):
        return bench.run(*SMALL, "--runtime", "runc,crun")


@contextmanager
def a_signal_after_a_sample(number: signal.Signals, at: int = 1) -> Iterator[None]:
    """Every sample that is shown, from this one on, is followed by a real signal to this process."""
    shown = itertools.count(1)

    class Interrupting(_view.PlainView):
        def ended(self, sample: Sample) -> None:
            super().ended(sample)
            if next(shown) >= at:
                signal.raise_signal(number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_view, "open_view", Interrupting)
        yield


# --- what a run leaves ---


def test_a_run_leaves_its_manifest_and_its_samples_and_nothing_else(bench: Bench) -> None:
    bench.run(*SMALL)
    assert sorted(path.name for path in bench.folder.iterdir()) == ["run.json", "samples.jsonl"]


def test_every_start_is_a_sample(bench: Bench) -> None:
    bench.run(*SMALL)
    assert [sample.outcome for sample in bench.samples] == [Outcome.OK, Outcome.OK]


def test_without_a_name_it_is_the_articles_experiment(bench: Bench) -> None:
    bench.run(*FAKE, "--runtime", "runc", "--tier", "warm", "-n", "1", "-w", "0")
    assert bench.experiment.name == "article"


def test_the_command_is_stored_as_typed(bench: Bench) -> None:
    bench.run(*SMALL)
    assert bench.manifest.argv == ("coldstart", "run", *SMALL, "--results", str(bench.results))


def test_the_summary_goes_to_standard_output_alone(bench: Bench) -> None:
    done = bench.run(*SMALL)
    assert ("warm" in done.out, "stored in" in done.out) == (True, False)


def test_messages_name_the_run_and_the_command_for_its_report(bench: Bench) -> None:
    done = bench.run(*SMALL)
    assert f"run {bench.folder.name}: 1 cells, 2 starts of each, seed {bench.manifest.seed}, fake 0 (no" in done.err
    assert done.err.endswith(f"\nstored in {bench.folder}; report it with: coldstart report {bench.folder}\n")


def test_warm_up_blocks_are_measured_and_marked(bench: Bench) -> None:
    bench.run(*SMALL, "-w", "1", "-n", "1")
    assert [trial.warmup for trial in bench.trials] == [True, False]


def test_where_report_packages_are_missing_the_summary_is_plain(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_summary, "can_report", lambda: False)
    header, line = bench.run(*SMALL).out.splitlines()
    assert header.startswith("runtime  image")
    assert line.startswith("runc     hello/alpine  warm")


def test_json_is_the_runs_id_folder_and_cells(bench: Bench) -> None:
    record = json.loads(bench.run(*SMALL, "--json").out)
    assert (record["run_id"], record["path"]) == (bench.folder.name, str(bench.folder))
    assert [(cell["cell"]["tier"], cell["ok"], cell["failed"]) for cell in record["cells"]] == [("warm", 2, 0)]


def test_an_export_asked_for_is_written(bench: Bench, tmp_path: Path) -> None:
    bench.run(*SMALL, "--export-csv", str(tmp_path / "x.csv"))
    assert (tmp_path / "x.csv").read_text().count("\n") == 3


def test_an_export_to_no_folder_is_refused_before_anything_is_measured(bench: Bench, tmp_path: Path) -> None:
    done = bench.run(*SMALL, "--export-csv", str(tmp_path / "missing" / "x.csv"))
    assert (done.code, len(done.messages), bench.results.exists()) == (2, 1, False)


def test_an_export_that_cannot_be_written_ends_with_4_and_costs_no_sample(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "x.csv").mkdir()
    done = bench.run(*SMALL, "--export-csv", str(tmp_path / "x.csv"))
    assert (done.code, len(done.messages), len(bench.samples)) == (4, 1, 2)


# --- what the command line changes ---


@pytest.mark.parametrize(
    ("said", "field", "value"),
    [
        (("-n", "1"), "runs", 1),
        (("--runs", "1"), "runs", 1),
        (("-w", "1"), "warmup", 1),
        (("--tier", "absent"), "tier", (Tier.ABSENT,)),
        (("--runtime", "crun,runc"), "runtime", ("crun", "runc")),
        (("--variant", "scratch"), "variant", ("scratch",)),
        (("--network", "host"), "network", (Network.HOST,)),
        (("--timeout", "1m30s"), "timeout_ns", 90_000_000_000),
    ],
)
def test_what_is_said_replaces_the_experiments_own(
    bench: Bench, said: tuple[str, ...], field: str, value: object
) -> None:
    bench.run(*SMALL, *said)
    assert getattr(bench.experiment, field) == value


@pytest.mark.parametrize(
    ("said", "field", "value"),
    [
        (("-e", "A=b", "-e", "C="), "env", ("A=b", "C=")),
        (("-v", "/usr:/data:ro"), "volumes", ("/usr:/data:ro",)),
        (("--device", "/dev/null"), "devices", ("/dev/null",)),
        (("--memory", "64m"), "memory_bytes", 64 * 1024 * 1024),
        (("--cpus", "0.5"), "cpus", 0.5),
        (("--cpuset-cpus", "0-1"), "cpuset_cpus", "0-1"),
        (("--ready", "exit", "--", "sh", "-c", "exit 0"), "command", ("sh", "-c", "exit 0")),
    ],
)
def test_dockers_options_are_every_containers(bench: Bench, said: tuple[str, ...], field: str, value: object) -> None:
    bench.run(*SMALL, *said)
    assert getattr(bench.experiment.options, field) == value


def test_a_command_that_looks_like_an_option_is_the_containers(bench: Bench) -> None:
    bench.run(*SMALL, "--ready", "exit", "--", "--json", "--", "-n")
    assert bench.experiment.options.command == ("--json", "--", "-n")


def test_a_seed_that_is_said_is_the_runs(bench: Bench) -> None:
    bench.run(*SMALL, "--seed", "7")
    assert bench.manifest.seed == 7


def test_a_seed_of_0_is_one_too(bench: Bench) -> None:
    bench.run(*SMALL, "--seed", "0")
    assert bench.manifest.seed == 0


def test_one_seed_gives_one_order(coldstart: Run, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    runs = [Bench(coldstart, capfd, tmp_path / name) for name in "ab"]
    for bench in runs:
        bench.run("article", *FAKE, "--tier", "warm", "-n", "2", "-w", "0", "--seed", "7")
    assert runs[0].trials == runs[1].trials


def test_an_image_of_ones_own_is_measured_under_its_name(bench: Bench) -> None:
    bench.run(*AD_HOC)
    assert [trial.cell.key for trial in bench.trials] == ["fake/runc/app/alpine/warm/bridge"]


def test_an_experiment_can_be_given_another_image(bench: Bench) -> None:
    bench.run(*SMALL, "--image", "app:alpine", "--ready", "tcp:8080")
    assert {trial.cell.image_key for trial in bench.trials} == {("app", "alpine")}


# --- what goes wrong while measuring ---


@pytest.mark.parametrize(
    ("variant", "outcome"),
    [("exits", Outcome.EXITED), ("silent", Outcome.NEVER_READY), ("wrong-platform", Outcome.START_FAILED)],
)
def test_an_image_that_never_becomes_ready_ends_with_4_and_one_message_and_keeps_its_samples(
    bench: Bench, variant: str, outcome: Outcome
) -> None:
    arguments = ("--image", f"app:{variant}", "--ready", "http:8080/", "--tier", "absent", "--timeout", "150ms")
    done = bench.run(*arguments, *FAKE, "-n", "1")
    assert (done.code, len(done.messages), [s.outcome for s in bench.samples]) == (4, 1, [outcome])
    assert f"none of 1 starts succeeded. The last: fake/runc/app/{variant}/absent/bridge {outcome}" in done.messages[0]


def test_a_job_that_fails_shows_its_code_and_last_line(bench: Bench) -> None:
    done = bench.run(*AD_HOC, "--tier", "absent", "--ready", "exit", "--", "sh", "-c", "exit 4")
    assert "it exited with code 4 before it was ready; its last line: app: that was all" in done.messages[0]


def test_an_engine_that_is_lost_ends_with_4_and_the_way_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_engine: FakeEngine, container_id: str) -> None:
        raise EngineUnreachableError(f"gone before {container_id[-1]} started.")

    monkeypatch.setattr(FakeEngine, "start", gone)
    done = bench.run(*SMALL, "--tier", "absent", "-n", "9")
    (message,) = done.messages
    assert (done.code, len(bench.samples)) == (4, session.LOST_IN_A_ROW)
    assert message == (
        f"coldstart: the engine was lost: gone before 3 started. 3 samples are kept in {bench.folder}. "
        f"Go on with: coldstart run --resume {bench.folder}"
    )


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (TestbedError("the log was cut."), "coldstart could not measure on this machine: the log was cut."),
        (OSError(5, "I/O error"), "coldstart could not measure on this machine: OSError: [Errno 5] I/O error"),
    ],
)
def test_a_machine_that_cannot_be_measured_on_ends_the_run_with_4(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception, what: str
) -> None:
    def start(_engine: FakeEngine, _container_id: str) -> None:
        raise error

    monkeypatch.setattr(FakeEngine, "start", start)
    done = bench.run(*SMALL, "--tier", "absent", "-n", "9")
    assert (done.code, len(bench.samples)) == (4, session.LOST_IN_A_ROW)
    assert f"coldstart: {what}" in done.messages[0]


@pytest.mark.parametrize(("failing", "code"), [({1, 2}, 0), ({1, 2, 3}, 4)])
def test_a_run_in_which_most_starts_failed_ends_with_4(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, failing: set[int], code: int
) -> None:
    start, starts = FakeEngine.start, itertools.count()

    def at_times(engine: FakeEngine, container_id: str) -> Timed[None]:
        if next(starts) in failing:
            raise EngineError("no start.")
        return start(engine, container_id)

    monkeypatch.setattr(FakeEngine, "start", at_times)
    done = bench.run(*SMALL, "--tier", "absent", "-n", "4")
    assert done.code == code
    expected = "most starts failed: 1 of 4 succeeded. The last that did not: fake/runc/hello/alpine/absent/bridge"
    assert any(expected in message for message in done.messages) is (code == 4)


@pytest.fixture
def spent(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """The budget is spent before the start of that number."""

    def after(starts: int) -> None:
        asked = itertools.count()
        # before each block and each of its starts
        monkeypatch.setattr(session, "_is_past", lambda _deadline, _at: next(asked) >= starts + 1)

    return after


def test_starts_that_a_spent_budget_left_out_did_not_fail(bench: Bench, spent: Callable[[int], None]) -> None:
    spent(1)
    networks = ("--network", "host,bridge")
    done = bench.run("tiers", *FAKE, "--tier", "warm", "--runtime", "runc,crun", *networks, "-n", "2", "-w", "0")
    assert (len(bench.samples), bench.samples[0].outcome) == (1, Outcome.OK)
    assert (done.code, done.messages) == (0, [])
    assert "the budget is spent with 1 blocks not begun and 3 starts of block 0 not made. Go on with" in done.err
    spent(0)
    assert bench.run("--resume", str(bench.folder), "--trust").code == 0
    spent(99)
    done = bench.run("--resume", str(bench.folder), "--trust")
    assert (done.code, len(bench.samples), "the budget" in done.err) == (0, 8, False)


def test_a_budget_spent_within_the_last_block_is_told(bench: Bench, spent: Callable[[int], None]) -> None:
    spent(1)
    done = bench.run(*SMALL, "--runtime", "runc,crun", "-n", "1")
    assert (done.code, "the budget is spent with 1 starts of block 0 not made. Go on with" in done.err) == (0, True)


def test_starts_of_a_cell_that_failed_in_the_warm_up_are_due(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was given up before the first measured block: no counted start failed, and one of two cells is missing."""
    create = FakeEngine.create

    def only_runc(engine: FakeEngine, spec: ContainerSpec) -> Timed[str]:
        if spec.runtime != "runc":
            raise EngineError("no container.")
        return create(engine, spec)

    monkeypatch.setattr(FakeEngine, "create", only_runc)
    arguments = ("tiers", *FAKE, "--tier", "absent", "--runtime", "runc,crun", "-n", "2", "-w", "3")
    assert bench.run(*arguments).code == 0  # half of them: the figures of runc are no exceptions
    monkeypatch.setattr(FakeEngine, "create", only_with_bridge(only_runc))
    done = bench.run(*arguments, "--network", "host,bridge")
    assert done.code == 4
    assert "most starts failed: 2 of 8 succeeded. The last that did not: " in done.messages[0]


def only_with_bridge(create: Callable[[FakeEngine, ContainerSpec], Timed[str]]) -> object:
    def only(engine: FakeEngine, spec: ContainerSpec) -> Timed[str]:
        if spec.network is not Network.BRIDGE:
            raise EngineError("no container on this network.")
        return create(engine, spec)

    return only


def test_a_machine_that_is_hardly_ever_quiet_contaminates_the_run(bench: Bench, quiet: Waits) -> None:
    quiet([False, True])
    done = bench.run(*SMALL)
    assert done.code == 4
    assert "contaminated: more than a tenth of the starts is too much. 2 of 4 starts had" in done.messages[0]


def test_a_contaminated_run_keeps_and_shows_its_samples(bench: Bench, quiet: Waits) -> None:
    quiet([False, True])
    record = json.loads(bench.run(*SMALL, "--json").out)
    assert [(cell["ok"], cell["requeued"]) for cell in record["cells"]] == [(2, 2)]


# --- what is refused before anything is measured ---


@pytest.fixture
def misspelt_key(tmp_path: Path) -> str:
    path = tmp_path / "e.toml"
    path.write_text('name = "e"\nrnus = 3\n[factors]\nruntime = ["runc"]\n')
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (("tierz", *FAKE), "'tiers'"),
        (("tiers", *FAKE, "--runtime", "rnc"), "'runc'"),
        (("tiers", *FAKE, "--workload", "helo"), "'hello'"),
        (("tiers", *FAKE, "--variant", "alpin"), "'alpine'"),
        (("tiers", *FAKE, "--tier", "wram"), "'warm'"),
        (("tiers", *FAKE, "--network", "brigde"), "'bridge'"),
        (("tiers", "--engine", "fak"), "'fake'"),
        (("--image", "a:b", *FAKE, "--ready", "htp:8080/"), "'http'"),
    ],
)
def test_an_unknown_name_ends_with_2_and_one_line_that_has_the_nearest(
    bench: Bench, arguments: tuple[str, ...], nearest: str
) -> None:
    done = bench.run(*arguments)
    assert (done.code, done.out, done.err.count("\n"), bench.folders) == (2, "", 1, [])
    assert f"did you mean {nearest}?" in done.err


def test_an_unknown_key_of_an_experiment_file_ends_with_2_and_the_nearest(bench: Bench, misspelt_key: str) -> None:
    done = bench.run(misspelt_key, *FAKE)
    assert (done.code, done.err.count("\n"), "did you mean 'runs'?" in done.err) == (2, 1, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--image", "app:alpine"), "--image app:alpine needs --ready"),
        (("--image", "", "--ready", "exit"), "--image needs a reference"),
        (("--image", "a:b", "--ready", "exit", "--variant", "alpine"), "--image and --variant exclude each other"),
        (("--image", "a:b", "--ready", "http:none"), "http needs the container's port"),
        (("--image", "a:b", "--ready", "exit:0"), "exit takes no argument"),
        (("tiers", "--platform", "linux/arm64"), "--platform goes with --image"),
        (("--image", "a:b", "--ready", "exit", "--bases", "packages"), "--bases is for catalogue images and folders"),
        (("tiers", "--network", "none"), "needs a network, and with network none a container has none"),
        (("tiers", "--network", "bridge,none"), "needs a network, and with network none a container has none"),
        (("tiers", "--engine", "docker,fake"), "one engine a run; docker, fake are 2"),
        (("tiers", "--runtime", "runc,runc"), "runtime 'runc' is given twice"),
        (("tiers", "-n", "0"), "0 runs cannot be measured"),
        (("tiers", "-w", "-1"), "-1 warm-up blocks cannot be run"),
        (("tiers", "--timeout", "0s"), "a timeout of nothing"),
        (("tiers", "--timeout", "5"), "'5' is not a duration"),
        (("tiers", "--budget", "soon"), "'soon' is not a duration"),
        (("tiers", "--env-file", "/nonexistent/env"), "--env-file /nonexistent/env: cannot be read"),
        (("tiers", "-w", "/app"), "-w /app: -w is --warmup here. Write --workdir /app."),
        (("tiers", "-e", "A B"), "--env: 'A B' is not an environment variable"),
        (("tiers", "-v", "data:/data"), "--volume 'data:/data': write an absolute host folder"),
        (("tiers", "--memory", "much"), "--memory: 'much' is not a size"),
        (("tiers", "--cpus", "0"), "--cpus 0: write a number of CPUs above 0"),
        (("--resume", "nothing"), "no run 'nothing'"),
        (("--resume", ""), "no run ''"),
    ],
)
def test_what_makes_no_sense_ends_with_2_and_one_line_and_leaves_no_run(
    bench: Bench, arguments: tuple[str, ...], message: str
) -> None:
    done = bench.run(*arguments, *(() if {"--engine", "--resume"} & {*arguments} else FAKE))
    assert (done.code, done.out, done.err.count("\n"), bench.folders) == (2, "", 1, [])
    assert message in done.err


@pytest.mark.parametrize(
    "arguments", [("-n", "two"), ("--seed", "-1"), ("--cpus", "half"), ("--bases", "none"), ("-x",)]
)
def test_a_value_of_the_wrong_kind_ends_with_2(bench: Bench, arguments: tuple[str, ...]) -> None:
    assert (bench.run("tiers", *FAKE, *arguments).code, bench.folders) == (2, [])


def test_a_tier_asked_for_that_cannot_be_proved_ends_with_4(bench: Bench) -> None:
    done = bench.run(*SMALL, "--tier", "cached")
    assert (done.code, done.err.count("\n"), bench.folders) == (4, 1, [])
    assert "tier cached: the engine's layer folders cannot be read here" in done.err


def test_a_tier_of_the_experiments_own_that_cannot_be_proved_is_left_out_and_told(bench: Bench) -> None:
    done = bench.run("tiers", *FAKE, "-n", "1", "-w", "0", "--runtime", "runc")
    assert (done.code, bench.experiment.tier) == (0, (Tier.ABSENT, Tier.WARM))
    assert "left out: tier cached: the engine's layer folders" in done.err


@pytest.mark.parametrize("below", ["file", "file/results", "file/a/b"])
def test_results_that_cannot_be_stored_end_with_4_and_another_place_to_choose(
    coldstart: Run, capfd: pytest.CaptureFixture[str], tmp_path: Path, below: str
) -> None:
    (tmp_path / "file").touch()
    done = Bench(coldstart, capfd, tmp_path / below).run(*SMALL)
    assert (done.code, len(done.messages)) == (4, 1)
    assert "Choose another place with --results" in done.messages[0]


# --- a budget ---


@pytest.mark.parametrize("budget", ["0s", "1ns"])
def test_a_budget_that_is_spent_at_once_ends_with_4_and_no_sample(bench: Bench, budget: str) -> None:
    done = bench.run(*SMALL, "--budget", budget)
    assert (done.code, bench.samples) == (4, ())
    assert "the budget was spent before the first start" in done.messages[0]


def test_a_budget_that_ends_in_between_says_how_to_go_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    instants = iter([0, 0, 1 << 63, 0])  # the first block begins at 0 and takes as long as no budget is

    def measure(*arguments: Any, **options: Any) -> Any:
        return whole(*arguments, **options, clock=lambda: next(instants))

    whole = session.measure
    monkeypatch.setattr(session, "measure", measure)
    done = bench.run(*SMALL, "-n", "3", "--budget", "1h")
    assert (done.code, len(bench.samples)) == (0, 1)
    assert f"the budget is spent with 2 blocks not begun. Go on with: coldstart run --resume {bench.folder}" in done.err


# --- interrupted ---


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whoever_ends_a_run_keeps_its_samples(bench: Bench, number: signal.Signals) -> None:
    with a_signal_after_a_sample(number):
        assert bench.run(*SMALL).code == 130
    assert len(bench.samples) == 1


def test_an_interrupted_run_says_how_to_go_on(bench: Bench, interrupted: Done) -> None:
    expected = f"interrupted; 1 samples are kept in {bench.folder}. Go on with: coldstart run --resume {bench.folder}"
    assert interrupted.err.splitlines()[-1] == expected


def test_an_interrupted_run_shows_what_it_has(interrupted: Done) -> None:
    assert "warm" in interrupted.out


def test_a_run_that_is_interrupted_in_a_start_has_no_sample_of_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_engine: FakeEngine, _container_id: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeEngine, "start", interrupted)
    assert (bench.run(*SMALL).code, bench.samples) == (130, ())


# --- going on ---


@pytest.mark.usefixtures("interrupted")
def test_a_run_goes_on_to_its_end_in_its_own_order(bench: Bench) -> None:
    assert bench.run("--resume", str(bench.folder)).code == 0
    planned = schedule(bench.experiment, cells(bench.experiment), bench.manifest.seed)
    assert bench.trials == [trial for block in planned for trial in block]


def test_a_run_goes_on_with_what_it_knew_of_its_cells(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that was given up stays so: its starts are not tried anew."""

    def refuse(_engine: FakeEngine, spec: ContainerSpec) -> None:
        raise EngineError(f"no container with {spec.runtime}.")

    monkeypatch.setattr(FakeEngine, "create", refuse)
    with a_signal_after_a_sample(signal.SIGINT, at=session.HOPELESS):
        bench.run(*SMALL, "--tier", "absent", "-n", "9")
    assert len(bench.samples) == session.HOPELESS
    done = bench.run("--resume", str(bench.folder))
    assert (done.code, len(bench.samples)) == (4, session.HOPELESS)
    name = "fake/runc/hello/alpine/absent/bridge"
    assert f"left out, as before: {name} never succeeded (3 create failed): no container with runc." in done.err


@pytest.mark.usefixtures("interrupted")
def test_a_run_goes_on_by_its_id(bench: Bench) -> None:
    bench.run("--resume", bench.folder.name)
    assert len(bench.samples) == 4


@pytest.mark.usefixtures("interrupted")
def test_a_run_goes_on_under_its_own_manifest(bench: Bench) -> None:
    before = (bench.folder / "run.json").read_bytes()
    bench.run("--resume", str(bench.folder))
    assert (bench.folder / "run.json").read_bytes() == before


@pytest.mark.usefixtures("interrupted")
def test_a_run_goes_on_counting_from_where_it_was(bench: Bench) -> None:
    assert "[2/4] block 0" in bench.run("--resume", str(bench.folder)).err


@pytest.mark.usefixtures("interrupted")
def test_a_torn_last_line_is_told_and_its_trial_measured_again(bench: Bench) -> None:
    with (bench.folder / "samples.jsonl").open("ab") as file:
        file.write(b'{"run_id"')
    done = bench.run("--resume", str(bench.folder))
    assert "samples.jsonl:2: the last line was torn by a crash (9 bytes); its trial was left out." in done.err
    assert (done.code, len(bench.samples)) == (0, 4)


def test_a_finished_run_is_only_shown_again(bench: Bench) -> None:
    bench.run(*SMALL)
    done = bench.run("--resume", str(bench.folder))
    assert (done.code, len(bench.samples), "warm" in done.out) == (0, 2, True)


@pytest.mark.usefixtures("interrupted")
def test_going_on_can_be_asked_for_with_a_budget_json_and_an_export(bench: Bench, tmp_path: Path) -> None:
    asked = ("--budget", "1h", "--json", "--export-jsonl", str(tmp_path / "x.jsonl"))
    done = bench.run("--resume", str(bench.folder), *asked)
    assert (json.loads(done.out)["cells"][0]["ok"], (tmp_path / "x.jsonl").read_text().count("\n")) == (2, 4)


@pytest.mark.usefixtures("interrupted")
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("tiers",), "tiers"),
        (("-n", "3"), "--runs"),
        (("--seed", "0"), "--seed"),
        (("--engine", "fake"), "--engine"),
        (("-e", "A=b"), "--env"),
        (("--cpuset-cpus", "0"), "--cpuset-cpus"),
        (("--", "sh"), "--"),
        (("tiers", "--tier", "warm", "-w", "0"), "tiers, --tier, --warmup"),
    ],
)
def test_going_on_refuses_what_would_change_the_run_by_its_name(
    bench: Bench, arguments: tuple[str, ...], named: str
) -> None:
    done = bench.run("--resume", str(bench.folder), *arguments)
    expected = f"coldstart: --resume continues a run as it was begun: leave out {named}.\n"
    assert (done.code, done.err) == (2, expected)


@pytest.mark.usefixtures("interrupted")
@pytest.mark.parametrize(
    ("keys", "was", "message"),
    [
        (("host", "host_id"), "feedfeedfeedfeed", "its host was feedfeedfeedfeed, here it is "),
        (("engine", "version"), "7", "its engine was fake 7, here it is fake 0"),
        (("engine", "where"), "testbed", "its engine's place was testbed, here it is nowhere"),
        (("images", "0", "image_id"), "sha256:0", "its image hello/alpine was sha256:0, here it is sha256:"),
    ],
)
def test_a_run_of_another_machine_engine_or_image_is_not_gone_on_with(
    bench: Bench, keys: tuple[str, ...], was: str, message: str
) -> None:
    bench.edit(*keys, value=was)
    done = bench.run("--resume", str(bench.folder))
    assert (done.code, len(done.messages), len(bench.samples)) == (2, 1, 1)
    assert message in done.messages[0]


@pytest.mark.usefixtures("interrupted")
def test_a_run_of_a_tier_that_cannot_be_proved_here_is_not_gone_on_with(bench: Bench) -> None:
    bench.edit("experiment", "tier", value=["warm", "cached"])
    done = bench.run("--resume", str(bench.folder))
    assert (done.code, len(bench.samples)) == (4, 1)


def test_an_image_of_ones_own_goes_on_too(bench: Bench) -> None:
    with a_signal_after_a_sample(signal.SIGINT):
        bench.run(*AD_HOC, "-n", "2")
    bench.run("--resume", str(bench.folder))
    assert len(bench.samples) == 2


# --- workloads of one's own ---

EXAMPLES = Path(__file__).parents[3] / "docs" / "workloads"


def test_a_workload_of_ones_own_is_named_by_its_folder(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)
    done = bench.run(*SMALL, "--workload", "./greeter", "--variant", "slim")
    assert (done.code, {trial.cell.image_key for trial in bench.trials}) == (0, {("greeter", "slim")})


def test_the_documented_experiment_runs_with_what_each_workload_has(bench: Bench) -> None:
    done = bench.run(str(EXAMPLES / "greeter.toml"), *FAKE, "--tier", "warm", "-n", "1", "-w", "0")
    assert (done.code, {trial.cell.image_key for trial in bench.trials}) == (
        0,
        {("greeter", "full"), ("greeter", "slim"), ("hello", "alpine")},
    )
    assert "left out: workload greeter has no variant alpine" in done.err


def test_a_run_of_a_workload_of_ones_own_goes_on_from_anywhere(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(EXAMPLES)
    with a_signal_after_a_sample(signal.SIGINT):
        bench.run(*SMALL, "--workload", "./greeter", "--variant", "slim")
    monkeypatch.chdir(tmp_path)
    assert bench.run("--trust", "--resume", str(bench.folder)).code == 0
    assert len(bench.samples) == 2


def test_a_folder_that_takes_a_catalogue_workloads_name_is_refused(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "hello"
    folder.mkdir()
    text = (EXAMPLES / "greeter" / "workload.toml").read_text()
    (folder / "workload.toml").write_text(text.replace('"greeter"', '"hello"'))
    for name in ("Dockerfile.full", "Dockerfile.slim"):
        (folder / name).touch()
    done = bench.run(*SMALL, "--workload", f"{tmp_path}/hello", "--variant", "slim")
    assert (done.code, len(done.messages)) == (2, 1)
    assert "the catalogue has a workload 'hello'" in done.messages[0]


# --- help ---


def test_the_help_shows_where_the_containers_command_goes(bench: Bench) -> None:
    done = bench.run("--help")
    assert (done.code, "[EXPERIMENT] [-- COMMAND...]" in done.out) == (0, True)


# --- a way out ---


@pytest.mark.parametrize(
    ("variant", "options", "hinted"),
    [("offline", (), True), ("offline", ("--egress",), False), ("exits", (), False)],
)
def test_egress_is_hinted_at_only_where_a_failed_start_wanted_another_network(
    bench: Bench, variant: str, options: tuple[str, ...], hinted: bool
) -> None:
    image = ("--image", f"app:{variant}", "--ready", "http:8080/")
    done = bench.run(*image, *FAKE, "--tier", "warm", "-n", "1", *options)
    assert ("measure it with --egress" in done.err) is hinted, done.err
    assert (done.code, bench.experiment.egress) == (4, bool(options))


def test_no_way_out_is_hinted_at_where_every_start_succeeded(bench: Bench) -> None:
    assert "--egress" not in bench.run(*SMALL).err
