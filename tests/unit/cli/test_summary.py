"""What a run ends with."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from coldstart.cli import _console, _extras
from coldstart.cli._summary import cell_lines, render, show
from coldstart.model.cell import Tier
from coldstart.model.sample import Outcome, Sample
from coldstart.store.reader import StoredRun
from tests.unit.factories import MS, RUN_ID, make_cell, make_experiment, make_manifest, make_sample, make_trial

CELL = make_cell(tier=Tier.WARM)


def samples(*inits_ms: int, **fields: bool) -> list[Sample]:
    """A sample a block, of that init."""
    return [
        make_sample(make_trial(cell=CELL, block=block, **fields), init_ns=init_ms * MS)
        for block, init_ms in enumerate(inits_ms)
    ]


def spoilt(outcome: Outcome, *, block: int = 9, warmup: bool = False) -> Sample:
    return make_sample(make_trial(cell=CELL, block=block, warmup=warmup), outcome=outcome)


# --- lines ---


def test_a_cells_line_has_the_medians_of_its_samples() -> None:
    (line,) = cell_lines([CELL], samples(10, 200, 30))
    assert (line.ok, line.medians_ns["init_ns"]) == (3, 30 * MS)


def test_warm_up_is_in_no_median() -> None:
    (line,) = cell_lines([CELL], [*samples(999, warmup=True), *samples(10)])
    assert (line.ok, line.medians_ns["init_ns"]) == (1, 10 * MS)


def test_another_cells_samples_are_not_its_own() -> None:
    first, second = cell_lines([CELL, make_cell(runtime="crun")], samples(10))
    assert (first.ok, second.ok) == (1, 0)


def test_a_cell_that_was_not_measured_has_a_line_of_unknowns() -> None:
    (line,) = cell_lines([CELL], [])
    assert (line.ok, line.failed, set(line.medians_ns.values()), line.worst_reason) == (0, 0, {None}, None)


def test_what_failed_and_what_came_again_are_counted_apart() -> None:
    (line,) = cell_lines([CELL], [*samples(10), spoilt(Outcome.EXITED), spoilt(Outcome.NOT_COLD, block=8)])
    assert (line.ok, line.failed, line.unseen, line.requeued) == (1, 1, 0, 1)


def test_a_start_that_nobody_observed_is_counted_beside_the_failed_ones() -> None:
    (line,) = cell_lines([CELL], [*samples(10), spoilt(Outcome.UNOBSERVED), spoilt(Outcome.NOT_COLD, block=8)])
    assert (line.ok, line.failed, line.unseen, line.requeued) == (1, 0, 1, 1)
    assert line.worst_reason is not None
    assert line.worst_reason.startswith("unobserved")
    assert "0 (+1 again, +1 not observed)" in render([line])


def test_a_failure_of_a_warm_up_is_not_counted() -> None:
    (line,) = cell_lines([CELL], [spoilt(Outcome.EXITED, warmup=True)])
    assert line.failed == 0


def test_a_failures_reason_goes_before_that_of_a_trial_tried_again() -> None:
    (line,) = cell_lines([CELL], [spoilt(Outcome.EXITED), spoilt(Outcome.NOT_QUIET, block=10)])
    assert line.worst_reason == "exited: synthetic exited"


# --- contamination ---


# --- the plain table ---


def test_the_plain_table_is_aligned_one_cell_a_line() -> None:
    lines = cell_lines([CELL, make_cell(tier=Tier.WARM, variant="scratch")], [*samples(10), spoilt(Outcome.NOT_COLD)])
    assert render(lines).splitlines() == [
        "runtime  image          tier  network  n        failed  pull  unpack     init    ready  end to end",
        "runc     hello/alpine   warm  bridge   1  0 (+1 again)  0 ns    0 ns  10.0 ms  10.0 ms     30.0 ms",
        "runc     hello/scratch  warm  bridge   0             0     —       —        —        —           —",
    ]


# --- which of them ---


@pytest.fixture
def run() -> StoredRun:
    experiment = make_experiment(tier=(Tier.WARM,))
    return StoredRun(path=Path("r"), manifest=make_manifest(experiment=experiment), samples=tuple(samples(10, 20)))


Lacking = Callable[[str], None]


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> Lacking:
    """Make one package look as if it were not installed."""

    def lack(missing: str) -> None:
        found = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else found(name))

    return lack


@pytest.mark.parametrize("package", ["pandas", "scipy", "matplotlib", "jinja2"])
def test_where_a_report_package_is_missing_there_are_no_reports(lacking: Lacking, package: str) -> None:
    lacking(package)
    assert not _extras.can_report()


def test_without_the_report_packages_the_table_is_plain(
    run: StoredRun, lacking: Lacking, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking("pandas")
    show(run, as_json=False)
    assert capsys.readouterr().out == render(cell_lines([CELL], run.samples)) + "\n"


def test_with_the_report_packages_the_table_is_the_reports(run: StoredRun, capsys: pytest.CaptureFixture[str]) -> None:
    show(run, as_json=False)
    assert "median (95 % interval)" in capsys.readouterr().out


def test_json_needs_no_report_packages(run: StoredRun, lacking: Lacking, capsys: pytest.CaptureFixture[str]) -> None:
    lacking("pandas")
    show(run, as_json=True)
    assert json.loads(capsys.readouterr().out)["cells"][0]["medians_ns"]["init_ns"] == 15 * MS


def test_json_has_null_for_what_was_not_observed(run: StoredRun, capsys: pytest.CaptureFixture[str]) -> None:
    show(StoredRun(path=run.path, manifest=run.manifest, samples=()), as_json=True)
    record = json.loads(capsys.readouterr().out)
    assert (record["run_id"], record["path"]) == (RUN_ID, "r")
    assert set(record["cells"][0]["medians_ns"].values()) == {None}


def test_a_table_that_goes_to_a_file_is_as_wide_as_its_columns_need(
    run: StoredRun, capsys: pytest.CaptureFixture[str]
) -> None:
    show(run, as_json=False)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= _console.PLAIN_WIDTH
