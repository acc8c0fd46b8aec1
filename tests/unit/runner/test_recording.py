"""One experiment into a run's folder, without a command line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from coldstart.measure import session
from coldstart.model.cell import Tier, Trial
from coldstart.model.sample import Sample
from coldstart.plan.schedule import schedule
from coldstart.runner.recording import record_run
from tests.unit.factories import make_sample
from tests.unit.runner.test_prepare import make_fake_experiment, prepared


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials that take no time."""

    class Stage:
        def __init__(self, bench: object, _sides: object) -> None:
            self.run_id = bench.run_id  # type: ignore[attr-defined]

        def run(self, trial: Trial) -> Sample:
            return make_sample(trial, run_id=self.run_id)

    monkeypatch.setattr(session, "Stage", Stage)


def test_the_whole_schedule_is_measured_and_read_back(tmp_path: Path) -> None:
    made = prepared(make_fake_experiment(tier=(Tier.WARM,), runtime=("runc", "crun"), warmup=1, runs=20))
    announced: list[Trial] = []
    ended: list[Sample] = []
    run = record_run(made, tmp_path, announce=announced.append, ended=ended.append)
    planned = [trial for block in schedule(made.experiment, made.cells, run.manifest.seed) for trial in block]
    assert [sample.trial for sample in run.samples] == announced == planned
    assert (tuple(ended), run.path) == (run.samples, tmp_path / run.manifest.run_id)


def test_other_blocks_can_be_asked_for(tmp_path: Path) -> None:
    made = prepared(make_fake_experiment(tier=(Tier.WARM,)))
    seeds: list[int] = []

    def blocks_of(seed: int) -> list[tuple[Trial, ...]]:
        seeds.append(seed)
        return [(Trial(block=5, position=0, cell=made.cells[0]),)]

    run = record_run(made, tmp_path, blocks_of=blocks_of)
    assert [sample.trial.block for sample in run.samples] == [5]
    assert seeds == [run.manifest.seed]


def test_the_run_is_named_after_its_experiment_and_time_and_has_what_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/coldstart", "run", "it"])
    before = datetime.now(UTC).replace(microsecond=0)
    run = record_run(prepared(make_fake_experiment(tier=(Tier.WARM,))), tmp_path)
    begun = datetime.fromisoformat(run.manifest.started_at)
    assert before <= begun <= datetime.now(UTC)
    assert run.manifest.run_id.startswith(f"{begun:%Y%m%dT%H%M%SZ}-article-")
    assert run.manifest.argv == ("coldstart", "run", "it")
