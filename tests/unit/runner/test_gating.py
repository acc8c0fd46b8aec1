"""A gate's measuring: it ends with the verdict, leaves decided cells out, and stops where a limit is passed."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coldstart.analyse.counters import Limit
from coldstart.analyse.gate import Call, Decision, Series, judge
from coldstart.analyse.verdict import conclude
from coldstart.engines import fake
from coldstart.engines.fake import FakeEngine
from coldstart.measure import session
from coldstart.measure.session import Prospects
from coldstart.model.cell import Side, Tier, Trial
from coldstart.model.image import Image
from coldstart.model.rule import Rule
from coldstart.model.sample import Harness, Outcome, Sample, SentinelReading
from coldstart.plan.pairing import paired_blocks
from coldstart.runner import gating as module
from coldstart.runner.contest import Contest, prepare_contest
from coldstart.runner.gating import Looker, run_gate, run_pairs
from coldstart.store.frames import tidy
from coldstart.store.reader import StoredRun, open_run
from coldstart.store.writer import RunWriter
from tests.unit.factories import MS, make_sample
from tests.unit.runner.test_prepare import make_fake_experiment, make_place

RULE = Rule(looks=(10, 20), alpha=0.01)


class Starts:
    """Takes the place of real trials: how long a start takes, by its side and tier, and which fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ms = {Side.BASELINE: 100.0, Side.CANDIDATE: 100.0}
        self.noise = dict.fromkeys(Tier, 0.0)
        self.resolution_ms = dict.fromkeys(Side, 0.0)
        self.failing: set[tuple[Side, int]] = set()
        self.spoilt: set[tuple[Side, int]] = set()
        self.never_cold: set[tuple[Side, Tier]] = set()
        self.trials: list[Trial] = []
        self.sides: set[Side] = set()
        starts = self

        class Stage:
            def __init__(self, bench: Any, sides: Any) -> None:
                self.run_id = bench.run_id
                starts.sides = set(sides or {})

            def run(self, trial: Trial) -> Sample:
                starts.trials.append(trial)
                assert trial.side is not None
                at = (trial.side, trial.block)
                if at in starts.failing:
                    return make_sample(trial, outcome=Outcome.EXITED, run_id=self.run_id)
                if (trial.side, trial.cell.tier) in starts.never_cold:
                    return make_sample(trial, outcome=Outcome.NOT_COLD, run_id=self.run_id)
                if at in starts.spoilt:
                    return make_sample(trial, outcome=Outcome.NOT_QUIET, run_id=self.run_id)
                wobble = starts.noise[trial.cell.tier] * (1 if trial.block % 2 else -1)
                sign = 1 if trial.side is Side.CANDIDATE else -1
                length = starts.ms[trial.side] * (1 + sign * wobble) + trial.block / 1000
                return make_sample(
                    trial,
                    run_id=self.run_id,
                    pull_ns=0 if trial.cell.tier is Tier.WARM else 1,
                    init_ns=round(length * MS),
                    harness=Harness(probe_resolution_ns=round(starts.resolution_ms[trial.side] * MS)),
                )

        monkeypatch.setattr(session, "Stage", Stage)
        monkeypatch.setattr(session, "_sentinel", lambda _bench: SentinelReading(cpu_ns=5))


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Starts:
    return Starts(monkeypatch)


@contextlib.contextmanager
def opened(
    folder: Path,
    rule: Rule | None,
    *tiers: Tier,
    candidate: dict[str, Any] | None = None,
    required_tiers: bool = False,
) -> Iterator[tuple[Contest, RunWriter]]:
    ours = make_fake_experiment(tier=tiers or (Tier.WARM,))
    theirs = msgspec.structs.replace(ours, **(candidate or {}))
    contest = prepare_contest(make_place(FakeEngine()), ours, theirs, lambda _: None, required_tiers=required_tiers)
    at = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
    manifest = contest.manifest(run_id="r", seed=1, started_at=at, argv=(), rule=rule)
    with RunWriter.create(folder, manifest) as writer:
        yield contest, writer


def gated(
    folder: Path,
    *tiers: Tier,
    rule: Rule = RULE,
    limits: tuple[Limit, ...] = (),
    deadline_ns: int | None = None,
    candidate: dict[str, Any] | None = None,
    required_tiers: bool = False,
    say: Callable[[str], None] = lambda _text: None,
) -> tuple[StoredRun, list[tuple[Decision, ...]]]:
    told: list[tuple[Decision, ...]] = []
    with opened(folder, rule, *tiers, candidate=candidate, required_tiers=required_tiers) as (contest, writer):
        run_gate(
            contest,
            writer,
            rule,
            deadline_ns=deadline_ns,
            announce=lambda _: None,
            ended=lambda _: None,
            tell=told.append,
            say=say,
            limits=limits,
        )
    return open_run(folder / "r"), told


def blocks_of(run: StoredRun) -> int:
    return len({sample.trial.block for sample in run.samples})


def test_what_the_probe_cannot_resolve_ends_it_once_it_is_within_that(starts: Starts, tmp_path: Path) -> None:
    starts.resolution_ms[Side.BASELINE] = 20
    run, told = gated(tmp_path)
    assert (blocks_of(run), told[-1][0].call) == (10, Call.INCONCLUSIVE)
    assert "this probe cannot resolve +5.0%" in told[-1][0].reason


def test_a_candidate_whose_probe_sees_little_is_not_tolerated_more(starts: Starts, tmp_path: Path) -> None:
    starts.resolution_ms[Side.CANDIDATE] = 500
    starts.ms[Side.CANDIDATE] = 150
    run, told = gated(tmp_path)
    assert (blocks_of(run), told[-1][0].call) == (10, Call.REGRESSION)


def test_a_verdict_at_the_first_look_ends_it(starts: Starts, tmp_path: Path) -> None:
    starts.ms[Side.CANDIDATE] = 150
    run, told = gated(tmp_path)
    assert (blocks_of(run), len(run.samples)) == (10, 20)
    assert [[decision.call for decision in decisions] for decisions in told] == [[Call.REGRESSION]]


def test_an_undecided_gate_ends_after_its_last_look(starts: Starts, tmp_path: Path) -> None:
    starts.ms[Side.CANDIDATE], starts.noise[Tier.WARM] = 105, 0.02
    run, told = gated(tmp_path)
    assert blocks_of(run) == 20
    assert [decisions[0].call for decisions in told] == [Call.INCONCLUSIVE, Call.INCONCLUSIVE]


def test_a_decided_cell_is_left_out_while_another_goes_on(starts: Starts, tmp_path: Path) -> None:
    starts.noise[Tier.ABSENT] = 0.05
    run, _ = gated(tmp_path, Tier.ABSENT, Tier.WARM)
    by_tier = {tier: sum(sample.trial.cell.tier is tier for sample in run.samples) for tier in Tier}
    assert (by_tier[Tier.WARM], by_tier[Tier.ABSENT]) == (20, 40)


def test_a_candidate_that_fails_twice_ends_it_at_once(starts: Starts, tmp_path: Path) -> None:
    starts.failing = {(Side.CANDIDATE, 0), (Side.CANDIDATE, 1)}
    run, _ = gated(tmp_path)
    assert blocks_of(run) == 2


def test_both_sides_failing_ends_it_at_once(starts: Starts, tmp_path: Path) -> None:
    starts.failing = {(Side.CANDIDATE, 0), (Side.BASELINE, 0)}
    run, _ = gated(tmp_path)
    assert blocks_of(run) == 1


def test_blocks_that_are_spoilt_are_made_up_for(starts: Starts, tmp_path: Path) -> None:
    starts.spoilt = {(Side.BASELINE, 3)}
    run, _ = gated(tmp_path)
    assert blocks_of(run) == 11
    assert sum(sample.outcome is Outcome.OK for sample in run.samples) == 21


def test_a_gate_that_stays_contaminated_however_the_rest_goes_stops(starts: Starts, tmp_path: Path) -> None:
    """Six repeats of two blocks are more than a tenth of all the 44 starts that there could be, and themselves."""
    starts.spoilt = {(Side.BASELINE, 4), (Side.BASELINE, 5)}
    starts.ms[Side.CANDIDATE], starts.noise[Tier.WARM] = 105, 0.02
    said: list[str] = []
    run, _ = gated(tmp_path, say=said.append)
    assert blocks_of(run) == 6
    assert [text.partition(":")[0] for text in said] == ["stopped"]


def test_a_pair_whose_image_can_never_be_proved_cold_is_given_up_while_another_goes_on(
    starts: Starts, tmp_path: Path
) -> None:
    starts.never_cold = {(Side.BASELINE, Tier.ABSENT)}
    said: list[str] = []
    run, _ = gated(tmp_path, Tier.ABSENT, Tier.WARM, say=said.append)
    by_tier = {tier: sum(sample.trial.cell.tier is tier for sample in run.samples) for tier in Tier}
    assert by_tier == {Tier.ABSENT: 12, Tier.WARM: 20, Tier.CACHED: 0}  # thrice three attempts, and the partner's
    assert ["could not be proved cold" in text for text in said] == [True]


def test_a_pair_that_was_never_cold_is_judged_at_no_look_as_in_the_verdict(starts: Starts, tmp_path: Path) -> None:
    starts.never_cold = {(Side.BASELINE, Tier.ABSENT)}
    run, told = gated(tmp_path, Tier.ABSENT, Tier.WARM)
    verdict = conclude(run.manifest, tidy(run))
    assert told == [verdict.decisions]


def test_a_pair_that_was_asked_for_and_can_never_be_proved_cold_ends_the_gate(starts: Starts, tmp_path: Path) -> None:
    starts.never_cold = {(Side.BASELINE, Tier.ABSENT)}
    run, _ = gated(tmp_path, Tier.ABSENT, Tier.WARM, required_tiers=True)
    assert blocks_of(run) == 3


def test_a_limit_that_is_passed_ends_it_at_the_first_start(starts: Starts, tmp_path: Path) -> None:
    run, _ = gated(tmp_path, limits=(Limit(counter="layers", text="0"),))
    assert (blocks_of(run), len(starts.trials)) == (1, 2)
    met = (Limit(counter="layers", text="+0"),)
    assert blocks_of(gated(tmp_path / "other", limits=met)[0]) == 10


def test_a_deadline_that_is_past_begins_no_block(starts: Starts, tmp_path: Path) -> None:
    run, told = gated(tmp_path, deadline_ns=0)
    assert (run.samples, told, starts.trials) == ((), [], [])


def test_a_sentinel_stands_at_the_head_of_every_block(starts: Starts, tmp_path: Path) -> None:
    run, _ = gated(tmp_path)
    assert starts.trials
    with_one = [sample.trial.position for sample in run.samples if sample.sentinel is not None]
    assert with_one == [0] * 10


def test_pairs_to_be_banked_are_measured_to_their_number_whatever_they_are(starts: Starts, tmp_path: Path) -> None:
    starts.ms[Side.CANDIDATE] = 500
    ended: list[Sample] = []
    with opened(tmp_path, None) as (contest, writer):
        run_pairs(contest, writer, 13, deadline_ns=None, announce=lambda _: None, ended=ended.append)
    run = open_run(tmp_path / "r")
    assert (blocks_of(run), len(ended)) == (13, 26)
    assert run.samples[0].sentinel == SentinelReading(cpu_ns=5)


def planned(run: StoredRun, blocks: int) -> list[Trial]:
    """The trials of so many blocks of the run's seed."""
    assert run.manifest.comparison is not None
    schedule = paired_blocks(run.manifest.comparison.pairs, blocks, run.manifest.seed)
    return [trial for block in schedule for trial in block]


def test_the_starts_of_a_gate_are_those_that_its_seed_gives(starts: Starts, tmp_path: Path) -> None:
    run, _ = gated(tmp_path)
    assert starts.trials == planned(run, 10)


def test_a_candidate_with_an_image_of_its_own_is_started_as_often(starts: Starts, tmp_path: Path) -> None:
    run, _ = gated(tmp_path, candidate={"variant": ("scratch",)})
    variants = [trial.cell.variant for trial in starts.trials]
    assert (variants.count("alpine"), variants.count("scratch"), len(run.samples)) == (10, 10, 20)


def test_a_gates_candidate_has_a_bench_of_its_own(starts: Starts, tmp_path: Path) -> None:
    gated(tmp_path)
    assert starts.sides == {Side.CANDIDATE}


def test_a_cell_goes_on_while_one_of_its_phases_is_undecided(starts: Starts, tmp_path: Path) -> None:
    starts.noise[Tier.WARM] = 0.02
    run, told = gated(tmp_path, rule=Rule(looks=(10, 20), alpha=0.01, metrics={"init": 0.0}))
    assert [decision.call for decision in told[0]] == [Call.OK, Call.INCONCLUSIVE]
    assert blocks_of(run) == 20


@pytest.mark.usefixtures("starts")
def test_nothing_is_judged_while_there_is_nothing_new_to_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[int] = []

    def noted(series: Sequence[Series], rule: Rule) -> tuple[Decision, ...]:
        judged.extend(one.n for one in series)
        return judge(series, rule)

    monkeypatch.setattr(module, "judge", noted)
    gated(tmp_path)
    assert judged == [10]


def test_after_a_failure_only_looks_are_told(starts: Starts, tmp_path: Path) -> None:
    starts.failing = {(Side.CANDIDATE, 0)}
    run, told = gated(tmp_path)
    assert (blocks_of(run), len(told)) == (21, 2)  # the twentieth pair that was timed is the last look's


def test_failures_of_a_run_that_goes_on_count(starts: Starts, tmp_path: Path) -> None:
    starts.failing = {(Side.CANDIDATE, 0)}
    with opened(tmp_path, RULE) as (contest, writer):
        blocks = paired_blocks(contest.pairs, 2, 1)
        trials = [trial for block in blocks for trial in block]
        earlier = tuple(_of(trial, failing=trial.side is Side.CANDIDATE) for trial in trials[:2])
        looker = Looker(msgspec.structs.replace(writer.stored, samples=earlier), RULE, lambda _: None, Prospects())
    for trial in trials[2:]:
        looker.note(_of(trial, failing=trial.side is Side.CANDIDATE))
    assert looker.is_done()


def _of(trial: Trial, *, failing: bool) -> Sample:
    return make_sample(trial, outcome=Outcome.EXITED if failing else Outcome.OK, run_id="r")


def test_a_limit_of_what_an_image_does_not_tell_stops_nothing(
    starts: Starts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fake.image

    def image(workload: str, variant: str) -> Image:
        made: Image = msgspec.structs.replace(real(workload, variant), layers=())
        return made

    monkeypatch.setattr(fake, "image", image)
    gated(tmp_path, limits=(Limit(counter="layers", text="5"),))
    assert len(starts.trials) == 20


@pytest.mark.usefixtures("starts")
def test_each_start_of_a_gate_is_announced_and_its_end_told(tmp_path: Path) -> None:
    announced: list[Trial] = []
    ended: list[Sample] = []
    with opened(tmp_path, RULE) as (contest, writer):
        run_gate(
            contest,
            writer,
            RULE,
            deadline_ns=None,
            announce=announced.append,
            ended=ended.append,
            tell=lambda _: None,
        )
    run = open_run(tmp_path / "r")
    assert (announced, tuple(ended)) == ([sample.trial for sample in run.samples], run.samples)


def test_pairs_to_be_banked_are_announced_in_the_order_of_the_seed(starts: Starts, tmp_path: Path) -> None:
    announced: list[Trial] = []
    with opened(tmp_path, None) as (contest, writer):
        run_pairs(contest, writer, 10, deadline_ns=None, announce=announced.append, ended=lambda _: None)
    assert announced == starts.trials == planned(open_run(tmp_path / "r"), 10)
    assert starts.sides == {Side.CANDIDATE}


def test_no_pair_is_banked_after_the_deadline(starts: Starts, tmp_path: Path) -> None:
    with opened(tmp_path, None) as (contest, writer):
        run_pairs(contest, writer, 13, deadline_ns=0, announce=lambda _: None, ended=lambda _: None)
    assert starts.trials == []
