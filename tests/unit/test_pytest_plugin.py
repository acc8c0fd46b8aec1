"""The ``coldstart`` fixture on the fake engine: what it measures, what fails a test, what pytest-benchmark gets."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from coldstart.errors import InvalidEnvironmentError, UsageError
from coldstart.measure import session
from coldstart.model.cell import Trial
from coldstart.model.sample import Outcome, Phase, Sample, Source
from coldstart.pytest_plugin import ColdStart, VirtualTimer
from coldstart.runner import place
from coldstart.runner.prepare import Prepared
from tests.unit.factories import MS, make_sample
from tests.unit.runner.test_prepare import make_place

Outcomes = Callable[[Trial], Sample]


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """How starts end: of block n (0 is left out) after 100 + n ms, unless ``outcome`` maps a block to another one.

    ``seen`` changes a sample before it is handed on.
    """
    said: dict[str, Any] = {"outcome": {}, "opened": 0, "trials": [], "seen": lambda sample: sample}

    class Stage:
        def __init__(self, bench: Any, _sides: object) -> None:
            self.run_id, self.options, self.timeout_ns = bench.run_id, bench.options, bench.timeout_ns

        def run(self, trial: Trial) -> Sample:
            said["trials"].append(trial)
            said["options"], said["timeout_ns"] = self.options, self.timeout_ns
            outcome = said["outcome"].get(trial.block, Outcome.OK)
            fields: dict[str, Any] = {"create_ns": 2 * MS, "readiness_ns": 3 * MS, "gap_ns": 0}
            length_ns = (95 + trial.block) * MS
            made = make_sample(trial, outcome=outcome, run_id=self.run_id, init_ns=length_ns, **fields)
            return cast("Sample", said["seen"](made))

    @contextlib.contextmanager
    def open_place(engines: object, **how: object) -> Iterator[Any]:
        said["opened"] += 1
        said["place"] = (engines, how["asked_for"], how["purpose"])
        yield make_place()

    monkeypatch.setattr(session, "Stage", Stage)
    monkeypatch.setattr(place, "open_place", open_place)
    return said


@pytest.fixture
def cold(tmp_path: Path) -> Iterator[ColdStart]:
    with ExitStack() as stack:
        yield ColdStart(tmp_path, stack)


def test_an_image_is_measured_in_its_tier_after_a_start_that_is_left_out(
    starts: dict[str, Any], cold: ColdStart, tmp_path: Path
) -> None:
    found = cold.measure("app:pr", ready="http:8080/", runtime="crun", runs=9)
    assert (found.ready.n, found.ready.median_ms) == (9, 105)
    assert (found.ready.lower_ms, found.ready.upper_ms) == (102, 108)
    assert (found.pull.median_ms, found.init.n, found.path.parent) == (0, 9, tmp_path)
    assert (found.create.median_ms, found.init.median_ms, found.readiness.median_ms) == (2, 100, 3)
    cells = {trial.cell for trial in starts["trials"]}
    assert {(cell.runtime, cell.tier.value, cell.network.value) for cell in cells} == {("crun", "warm", "bridge")}


def test_what_was_said_of_the_container_reaches_it(starts: dict[str, Any], cold: ColdStart) -> None:
    cold.measure("app:pr", ready="http:8080/", runs=6, env=["A=1"], command=["serve"], network="host", tier="absent")
    assert (starts["options"].env, starts["options"].command) == (("A=1",), ("serve",))
    (cell,) = {trial.cell for trial in starts["trials"]}
    assert (cell.network.value, cell.tier.value) == ("host", "absent")


def test_containers_take_the_options_of_an_experiment_file(
    starts: dict[str, Any], cold: ColdStart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "x")
    monkeypatch.delenv("NOBODYS", raising=False)
    options = {"memory": "64m", "cap_drop": ["ALL"], "read_only": True}
    cold.measure("app:pr", ready="http:8080/", runs=6, env=["TOKEN", "NOBODYS"], options=options)
    found = starts["options"]
    assert (found.memory_bytes, found.cap_drop, found.read_only) == (64 << 20, ("ALL",), True)
    assert found.env == ("TOKEN=x", "NOBODYS")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memry": "64m"}, "options: unknown key 'memry'; did you mean 'memory'"),
        ({"memory": 64}, "options: memory: Expected 'str | null'"),
        ({"cpuset_cpus": "banana"}, "options: cpuset_cpus 'banana': write CPU numbers and ranges"),
        ({"dns": ["x"]}, "options: dns: 'x' is not an IP address"),
        ({"env": ["A=1"]}, "options: env is a parameter of its own"),
    ],
)
def test_options_that_make_no_sense_are_the_callers_mistake(
    cold: ColdStart, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        cold.measure("app:pr", ready="http:8080/", runs=6, options=options)
    assert message in str(caught.value)


def test_a_start_is_waited_for_as_long_as_was_said(starts: dict[str, Any], cold: ColdStart) -> None:
    cold.measure("app:pr", ready="http:8080/", runs=6, timeout="5s")
    assert starts["timeout_ns"] == 5_000 * MS
    cold.measure("app:pr", ready="http:8080/", runs=6)
    assert starts["timeout_ns"] == 30_000 * MS


def test_the_engine_is_the_users_choice_and_held_for_pytest(starts: dict[str, Any], cold: ColdStart) -> None:
    cold.measure("app:pr", ready="http:8080/", runs=6)
    assert starts["place"] == (("docker",), True, "pytest")


def test_after_a_measurement_its_instruments_are_closed(
    starts: dict[str, Any], cold: ColdStart, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []

    def close(_prepared: Prepared) -> None:
        closed.append(len(starts["trials"]))

    monkeypatch.setattr(Prepared, "close", close)
    cold.measure("app:pr", ready="http:8080/", runs=6)
    assert closed == [7]


def test_what_is_not_said_is_ten_warm_starts_of_runc_on_a_bridge(starts: dict[str, Any], cold: ColdStart) -> None:
    assert cold.measure("app:pr", ready="http:8080/").ready.n == 10
    (cell,) = {trial.cell for trial in starts["trials"]}
    assert (cell.runtime, cell.tier.value, cell.network.value) == ("runc", "warm", "bridge")


@pytest.mark.usefixtures("starts")
def test_a_tier_that_cannot_be_proved_is_an_error_with_its_remedy(cold: ColdStart) -> None:
    with pytest.raises(InvalidEnvironmentError, match="tier cached: "):
        cold.measure("app:pr", ready="http:8080/", runs=6, tier="cached")


def test_one_engine_serves_a_whole_session(starts: dict[str, Any], cold: ColdStart) -> None:
    for _ in range(2):
        cold.measure("app:pr", ready="http:8080/", runs=6)
    assert starts["opened"] == 1


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"runs": 5}, "an interval needs 6 starts"),
        ({"tier": "luke"}, "unknown tier"),
        ({"tier": "absent,warm"}, "one measurement is of one tier"),
        ({"network": "bridge,host"}, "network='bridge,host': one measurement is of one network"),
        ({"timeout": "5"}, "not a duration"),
        ({"ready": "telepathy:1"}, "telepathy"),
    ],
)
@pytest.mark.usefixtures("starts")
def test_what_makes_no_sense_is_a_usage_error(cold: ColdStart, said: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cold.measure("app:pr", **{"ready": "http:8080/", "runs": 6, **said})


def test_a_start_that_failed_fails_the_test_with_its_reason(starts: dict[str, Any], cold: ColdStart) -> None:
    starts["outcome"] = {3: Outcome.EXITED}
    with pytest.raises(AssertionError, match="1 of 6 starts failed, exited: synthetic exited"):
        cold.measure("app:pr", ready="http:8080/", runs=6)


def test_of_several_failures_the_last_is_told(starts: dict[str, Any], cold: ColdStart) -> None:
    starts["outcome"] = {3: Outcome.EXITED, 5: Outcome.NEVER_READY}
    with pytest.raises(AssertionError, match="2 of 6 starts failed, never_ready: synthetic never_ready"):
        cold.measure("app:pr", ready="http:8080/", runs=6)


def test_a_start_that_nobody_observed_is_not_the_images_failure(starts: dict[str, Any], cold: ColdStart) -> None:
    starts["outcome"] = {3: Outcome.UNOBSERVED}
    with pytest.raises(InvalidEnvironmentError, match=r"1 of 6 starts were not observed, .*, unobserved: synthetic"):
        cold.measure("app:pr", ready="http:8080/", runs=6)


def test_a_failed_warm_up_start_is_left_out_as_well(starts: dict[str, Any], cold: ColdStart) -> None:
    starts["outcome"] = {0: Outcome.EXITED}
    assert cold.measure("app:pr", ready="http:8080/", runs=6).ready.n == 6


def test_more_than_a_tenth_of_repeated_starts_contaminates_a_measurement(
    starts: dict[str, Any], cold: ColdStart
) -> None:
    """Block 3 is not quiet three times, and is not tried again: 3 of 22 starts."""
    starts["outcome"] = {3: Outcome.NOT_QUIET}
    with pytest.raises(
        InvalidEnvironmentError, match=r"contaminated, .* 3 of 22 starts .* The last: synthetic not_quiet"
    ):
        cold.measure("app:pr", ready="http:8080/", runs=20)


def test_an_image_that_cannot_be_proved_cold_is_no_disturbance(starts: dict[str, Any], cold: ColdStart) -> None:
    starts["outcome"] = dict.fromkeys(range(7), Outcome.NOT_COLD)
    with pytest.raises(InvalidEnvironmentError, match=r"^app:pr could not be proved cold: synthetic not_cold"):
        cold.measure("app:pr", ready="http:8080/", runs=6)


def test_of_several_spoilt_starts_the_last_is_told(starts: dict[str, Any], cold: ColdStart) -> None:
    starts["outcome"] = {3: Outcome.NOT_QUIET, 5: Outcome.THROTTLED}
    with pytest.raises(InvalidEnvironmentError, match=r"6 of 9 starts .* The last: synthetic throttled"):
        cold.measure("app:pr", ready="http:8080/", runs=10)


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (Outcome.ENGINE_LOST, "the engine was lost: synthetic engine_lost The starts so far are kept in"),
        (Outcome.HARNESS_FAILED, "coldstart could not measure on this machine: synthetic harness_failed"),
    ],
)
def test_a_run_that_ended_since_all_was_lost_is_no_measurement(
    starts: dict[str, Any], cold: ColdStart, outcome: Outcome, message: str
) -> None:
    """Not that of the starts before, of which there are enough."""
    starts["outcome"] = dict.fromkeys(range(40, 60), outcome)
    with pytest.raises(InvalidEnvironmentError, match=message):
        cold.measure("app:pr", ready="http:8080/", runs=60)


def test_a_tenth_of_repeated_starts_and_a_warm_up_contaminate_nothing(starts: dict[str, Any], cold: ColdStart) -> None:
    starts["outcome"] = {0: Outcome.NOT_QUIET, 3: Outcome.NOT_QUIET}
    assert cold.measure("app:pr", ready="http:8080/", runs=28).ready.n == 27


@pytest.mark.usefixtures("starts")
def test_a_warm_start_is_known_to_unpack_nothing(cold: ColdStart) -> None:
    found = cold.measure("app:pr", ready="http:8080/", runs=6)
    assert found.unpack is not None
    assert found.unpack.median_ms == 0


@pytest.mark.usefixtures("starts")
def test_of_an_absent_image_unpack_lies_inside_pull(cold: ColdStart) -> None:
    found = cold.measure("app:pr", ready="http:8080/", runs=6, tier="absent")
    assert found.unpack is not None
    assert (found.pull.median_ms, found.unpack.median_ms) == (400, 192)


@pytest.mark.parametrize("unseen", [{3}, set(range(7))])
def test_unpack_is_none_where_a_start_has_no_source_that_tells_it(
    starts: dict[str, Any], cold: ColdStart, unseen: set[int]
) -> None:
    def seen(sample: Sample) -> Sample:
        spans = tuple(span for span in sample.spans if span.layer is None)
        changed: Sample = msgspec.structs.replace(sample, spans=spans)
        return changed if sample.trial.block in unseen else sample

    starts["seen"] = seen
    assert cold.measure("app:pr", ready="http:8080/", runs=6, tier="absent").unpack is None


@pytest.mark.parametrize(("untraced", "init_ms"), [(set(), 88.5), ({0}, 88.5), ({3}, 98.5)])
def test_phases_are_drawn_from_a_source_that_every_counted_start_has(
    starts: dict[str, Any], cold: ColdStart, untraced: set[int], init_ms: float
) -> None:
    """The trace sees init end 10 ms sooner than the engine does."""

    def seen(sample: Sample) -> Sample:
        if sample.trial.block in untraced:
            return sample
        init, ready = (next(s for s in sample.spans if s.phase == phase) for phase in (Phase.INIT, Phase.READINESS))
        sooner = init.end_ns - 10 * MS
        traced = (
            msgspec.structs.replace(init, source=Source.TRACE, end_ns=sooner),
            msgspec.structs.replace(ready, source=Source.TRACE, start_ns=sooner),
        )
        changed: Sample = msgspec.structs.replace(sample, source="trace", spans=(*sample.spans, *traced))
        return changed

    starts["seen"] = seen
    assert cold.measure("app:pr", ready="http:8080/", runs=6).init.median_ms == init_ms


def test_the_timer_moves_only_when_told_to() -> None:
    timer = VirtualTimer()
    timer.advance(1_000_000_000)
    timer.advance(500_000_000)
    assert timer() == 1.5
    timer.reset()
    assert timer() == 0


SUITE = """
from pathlib import Path
import pytest
from coldstart.measure import session
from coldstart.runner import place
from coldstart.runner.prepare import Prepared
from tests.unit.runner.test_prepare import make_place
from tests.unit.factories import MS, make_sample
import contextlib

class Stage:
    def __init__(self, bench, sides):
        self.run_id = bench.run_id
    def run(self, trial):
        fields = {"create_ns": 1, "readiness_ns": 1, "gap_ns": 0}
        return make_sample(trial, run_id=self.run_id, init_ns=(100 + trial.block) * MS - 2, **fields)

@contextlib.contextmanager
def open_place(engines, **said):
    with Path("opened").open("a") as log:
        log.write("x")
    yield make_place()

@pytest.fixture(autouse=True)
def fake(monkeypatch):
    monkeypatch.setattr(session, "Stage", Stage)
    monkeypatch.setattr(place, "open_place", open_place)

def test_cold_start(coldstart):
    assert coldstart.measure("app:pr", ready="http:8080/", runs=6).ready.upper_ms < 500
    assert coldstart.measure("app:pr", ready="http:8080/", runs=7).ready.n == 7
"""


ANOTHER = """
def test_another(coldstart):
    assert coldstart.measure("app:pr", ready="http:8080/", runs=6).ready.n == 6
"""


def suite(folder: Path, *arguments: str, more: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "test_mine.py").write_text(SUITE + more)
    return run_pytest(folder, *arguments)


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--rootdir",
            str(folder),
            "-p",
            "no:cacheprovider",
            *arguments,
            "test_mine.py",
        ],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_suites_first_measurement_is_one_of_pytest_benchmarks(tmp_path: Path) -> None:
    done = suite(tmp_path, "--benchmark-json", str(tmp_path / "b.json"))
    assert done.returncode == 0, done.stdout
    (row,) = json.loads((tmp_path / "b.json").read_text())["benchmarks"]
    assert (row["name"], row["group"], row["stats"]["rounds"]) == ("test_cold_start", "cold start", 6)
    assert row["stats"]["data"] == [0.101, 0.102, 0.103, 0.104, 0.105, 0.106]  # to the last digit
    assert Path(row["extra_info"]["run"]).parent == tmp_path / "results"
    assert row["extra_info"]["source"] == "engine"


def test_a_benchmark_mark_of_the_tests_own_keeps_its_options_but_for_the_timer(tmp_path: Path) -> None:
    marked = SUITE.replace(
        "def test_cold_start", '@pytest.mark.benchmark(group="mine", timer=lambda: 7.0)\ndef test_cold_start'
    )
    (tmp_path / "test_mine.py").write_text(marked)
    done = run_pytest(tmp_path, "--benchmark-json", str(tmp_path / "b.json"))
    assert done.returncode == 0, done.stdout
    (row,) = json.loads((tmp_path / "b.json").read_text())["benchmarks"]
    assert (row["group"], row["stats"]["data"]) == ("mine", [0.101, 0.102, 0.103, 0.104, 0.105, 0.106])


def test_a_suites_tests_share_one_engine(tmp_path: Path) -> None:
    done = suite(tmp_path, more=ANOTHER)
    assert (done.returncode, (tmp_path / "opened").read_text()) == (0, "x"), done.stdout


@pytest.mark.parametrize(("workers", "code"), [(1, 0), (2, 1)])
def test_beside_other_workers_of_xdist_it_refuses_to_measure(tmp_path: Path, workers: int, code: int) -> None:
    """A worker is told by xdist how many there are."""
    (tmp_path / "conftest.py").write_text(
        f"def pytest_configure(config):\n    config.workerinput = {{'workercount': {workers}, 'workerid': 'gw0'}}\n"
    )
    done = suite(tmp_path, "-p", "no:benchmark")
    assert done.returncode == code, done.stdout
    assert ("pytest-xdist runs 2 tests at a time here" in done.stdout) is (workers == 2)
    assert "Traceback" not in done.stdout


def test_it_works_without_pytest_benchmark(tmp_path: Path) -> None:
    done = suite(tmp_path, "-p", "no:benchmark", "--coldstart-results", str(tmp_path / "elsewhere"))
    assert done.returncode == 0, done.stdout
    assert len(list((tmp_path / "elsewhere").iterdir())) == 2


def test_pytest_benchmark_may_select_such_tests(tmp_path: Path) -> None:
    done = suite(tmp_path, "--benchmark-only")
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout


def test_a_suites_own_fixture_of_that_name_is_no_benchmark(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "import pytest\n@pytest.fixture\ndef coldstart():\n    return 5\n"
        "def test_it(coldstart):\n    assert coldstart == 5\n"
    )
    done = run_pytest(tmp_path, "--benchmark-skip")
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    heavy = "('coldstart.', 'pandas', 'numpy')"
    code = f"import sys, coldstart.pytest_plugin; print(*{{m for m in sys.modules if m.startswith({heavy})}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["coldstart.pytest_plugin"]
