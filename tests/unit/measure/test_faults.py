"""Engines, registries, runtimes and our own instruments that fail: each trial is a sample, and the run ends by rule."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from coldstart.engines.base import ContainerSpec, Timed
from coldstart.errors import EngineError, EngineUnreachableError, StorageError, TestbedError
from coldstart.measure import session
from coldstart.measure.failure import TrialCrashError
from coldstart.measure.session import HOPELESS, LOST_IN_A_ROW, measure
from coldstart.measure.trial import Stage
from coldstart.model.cell import Cell, Tier, Trial
from coldstart.model.sample import Conditions, Outcome, Sample
from tests.unit.factories import make_trial
from tests.unit.measure.conftest import Bed


def run(bed: Bed, cell: Cell) -> Sample:
    return Stage(bed.bench()).run(make_trial(cell=cell))


def blocks(cell: Cell, count: int = 8) -> list[tuple[Trial, ...]]:
    return [(make_trial(cell=cell, block=n),) for n in range(count)]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for what is lost."""
    monkeypatch.setattr(session, "RECOVERY_NS", 0)
    monkeypatch.setattr(session, "_RECOVERY_POLL_S", 0)


# --- limits ---


def test_a_runtime_that_hangs_in_the_start_is_a_failed_start_within_the_timeout(bed: Bed) -> None:
    bed.timeout_ns = 50_000_000
    begin_ns = time.monotonic_ns()
    sample = run(bed, bed.cell(Tier.ABSENT, variant="hangs"))
    assert (sample.outcome, sample.reason) == (Outcome.START_FAILED, "start: no answer within 0.05 s")
    assert time.monotonic_ns() - begin_ns < 1_000_000_000


def test_a_create_that_hangs_is_a_failed_create_within_the_timeout(bed: Bed) -> None:
    bed.timeout_ns = 50_000_000
    bed.engine.faults.hanging.add("create")
    sample = run(bed, bed.cell(Tier.ABSENT))
    assert (sample.outcome, sample.reason) == (Outcome.CREATE_FAILED, "create: no answer within 0.05 s")


def test_a_pull_without_progress_is_a_failed_pull(bed: Bed) -> None:
    sample = run(bed, bed.cell(Tier.ABSENT, variant="stalls"))
    assert (sample.outcome, "no progress" in (sample.reason or "")) == (Outcome.PULL_FAILED, True)


def test_the_timeout_counts_from_the_request_of_the_start_and_not_from_its_answer(bed: Bed) -> None:
    bed.timeout_ns = 100_000_000
    answer = bed.engine.start

    def slow(container_id: str) -> Timed[None]:
        started = answer(container_id)
        return Timed(started.start_ns - 200_000_000, started.end_ns, None)

    bed.engine.start = slow  # type: ignore[method-assign]
    sample = run(bed, bed.cell(Tier.ABSENT))
    assert sample.outcome is Outcome.NEVER_READY
    assert "later than --timeout allows" in (sample.reason or "")


# --- what was lost ---


def test_a_failure_of_an_engine_whose_daemon_died_is_the_engines(bed: Bed) -> None:
    bed.engine.faults.lost = ["containerd (process 7) is gone."]
    sample = run(bed, bed.cell(Tier.ABSENT, variant="wrong-platform"))
    assert sample.outcome is Outcome.ENGINE_LOST
    assert sample.reason == "containerd (process 7) is gone. (it showed as start_failed: start: exec format error)"


def test_a_good_start_asks_nobody_whether_the_engine_lives(bed: Bed) -> None:
    bed.engine.faults.lost = ["it would be lost"]
    assert run(bed, bed.cell(Tier.ABSENT)).outcome is Outcome.OK
    assert bed.engine.faults.lost == ["it would be lost"]


@pytest.mark.parametrize(
    ("variant", "outcome"),
    [("stalls", Outcome.REGISTRY_LOST), ("exits", Outcome.EXITED), ("wrong-platform", Outcome.START_FAILED)],
)
def test_only_failures_in_which_the_registry_takes_part_are_blamed_on_it(
    bed: Bed, variant: str, outcome: Outcome
) -> None:
    cell = bed.cell(Tier.ABSENT, variant=variant)
    bench = bed.bench(registry_lost=lambda: "the registry is gone.")
    assert Stage(bench).run(make_trial(cell=cell)).outcome is outcome


def test_a_start_that_no_source_saw_is_unobserved_and_no_loss_of_the_engine(bed: Bed) -> None:
    sample = run(bed, bed.cell(Tier.ABSENT, variant="unseen"))
    assert (sample.outcome, sample.reason) == (Outcome.UNOBSERVED, "no source saw the entrypoint start")


def test_an_engine_that_does_not_come_back_ends_the_run_with_one_lost_sample(bed: Bed) -> None:
    schedule = blocks(bed.cell())
    told: list[str] = []
    samples = measure(bed.bench(), schedule, tell=told.append)
    assert next(samples).outcome is Outcome.OK
    bed.engine.faults.is_dead = True
    assert [sample.outcome for sample in samples] == [Outcome.ENGINE_LOST]
    assert [text.partition(": the fake")[0] for text in told] == ["stopped: what was lost did not come back within 0 s"]


def test_an_engine_that_comes_back_has_its_trial_repeated_and_the_run_goes_on(bed: Bed) -> None:
    schedule = blocks(bed.cell(Tier.ABSENT), count=2)
    bed.engine.faults.hanging.add("create")
    bed.engine.faults.lost = ["containerd is gone."]
    bed.timeout_ns = 200_000_000
    seen = []
    for sample in measure(bed.bench(), schedule):
        bed.engine.faults.hanging.clear()
        seen.append((sample.trial.block, sample.trial.attempt, sample.outcome))
    assert seen == [(0, 0, Outcome.ENGINE_LOST), (0, 1, Outcome.OK), (1, 0, Outcome.OK)]


def test_a_registry_lost_again_and_again_ends_the_run(bed: Bed) -> None:
    answers = iter(["the registry is gone.", None] * 10)  # as a failure is judged, then as its recovery is waited for
    cell = bed.cell(Tier.ABSENT, variant="stalls")
    told: list[str] = []
    samples = list(measure(bed.bench(registry_lost=lambda: next(answers)), blocks(cell), tell=told.append))
    assert [sample.outcome for sample in samples] == [Outcome.REGISTRY_LOST] * LOST_IN_A_ROW
    lost = "stopped: none of the last 3 starts could be measured: the registry is gone."
    assert [text.partition(" (it")[0] for text in told] == [lost]


# --- what dies of anything else ---


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TestbedError("the log was cut"), "the log was cut"),
        (StorageError("no space for the meters"), "no space for the meters"),
        (OSError(5, "Input/output error"), "OSError: [Errno 5] Input/output error"),
    ],
)
def test_a_trial_that_dies_of_the_machine_is_a_sample_and_the_run_goes_on(
    bed: Bed, error: Exception, reason: str
) -> None:
    schedule = blocks(bed.cell(), count=2)
    _break_meters(bed, [error])
    first, second = measure(bed.bench(), schedule)
    assert (first.outcome, first.reason, second.outcome) == (Outcome.HARNESS_FAILED, reason, Outcome.OK)


def test_a_machine_that_fails_again_and_again_ends_the_run(bed: Bed) -> None:
    schedule = blocks(bed.cell())
    _break_meters(bed, [OSError(5, "Input/output error")] * 9)
    told: list[str] = []
    assert len(list(measure(bed.bench(), schedule, tell=told.append))) == LOST_IN_A_ROW == HOPELESS
    assert told == ["stopped: none of the last 3 starts could be measured: OSError: [Errno 5] Input/output error"]


def test_an_exception_that_nobody_foresaw_is_a_sample_before_it_is_raised(bed: Bed) -> None:
    schedule = blocks(bed.cell())
    _break_meters(bed, [ZeroDivisionError("of ours")])
    samples = measure(bed.bench(), schedule)
    sample = next(samples)
    assert (sample.outcome, sample.reason) == (Outcome.HARNESS_FAILED, "ZeroDivisionError: of ours")
    with pytest.raises(ZeroDivisionError, match="of ours"):
        next(samples)


def test_a_stage_hands_on_the_sample_of_a_trial_that_crashed(bed: Bed) -> None:
    cell = bed.cell()
    _break_meters(bed, [ZeroDivisionError("of ours")])
    with pytest.raises(TrialCrashError) as caught:
        run(bed, cell)
    assert (caught.value.sample.trial.cell, type(caught.value.cause)) == (cell, ZeroDivisionError)


def _break_meters(bed: Bed, errors: list[Exception]) -> None:
    def open_meters() -> object:
        if errors:
            raise errors.pop(0)
        return Conditions

    bed.machine.open_meters = open_meters  # type: ignore[method-assign,assignment]


# --- what is left behind ---


def test_a_container_that_cannot_be_removed_is_removed_before_the_next_start(bed: Bed) -> None:
    cell = bed.cell(Tier.ABSENT)
    stage = Stage(bed.bench())
    bed.engine.faults.hanging.add("remove_container")
    assert stage.run(make_trial(cell=cell)).outcome is Outcome.OK
    assert stage.run(make_trial(cell=cell)).outcome is Outcome.ENGINE_LOST
    bed.engine.faults.hanging.clear()
    assert stage.run(make_trial(cell=cell)).outcome is Outcome.OK
    assert bed.engine.sweep() == 0


def test_a_container_of_a_create_that_was_not_answered_is_removed_before_the_next_start(bed: Bed) -> None:
    """Its ID was in the answer, and it would keep its image's layers in the engine."""
    cell = bed.cell(Tier.ABSENT)
    stage, create = Stage(bed.bench()), bed.engine.create

    def unanswered(spec: ContainerSpec) -> Timed[str]:
        create(spec)
        raise EngineError("create: no answer within 30 s")

    bed.engine.create = unanswered  # type: ignore[method-assign]
    assert stage.run(make_trial(cell=cell)).outcome is Outcome.CREATE_FAILED
    bed.engine.create = create  # type: ignore[method-assign]
    assert stage.run(make_trial(cell=cell)).outcome is Outcome.OK
    assert bed.engine.sweep() == 0


def test_a_container_of_a_create_in_which_the_engine_was_lost_is_removed_once_it_is_back(bed: Bed) -> None:
    cell = bed.cell(Tier.ABSENT)
    stage, create, swept = Stage(bed.bench()), bed.engine.create, list[int]()
    sweep = bed.engine.sweep

    def unanswered(spec: ContainerSpec) -> Timed[str]:
        create(spec)
        raise EngineUnreachableError("gone")

    def counted() -> int:
        swept.append(sweep())
        return swept[-1]

    bed.engine.create, bed.engine.sweep = unanswered, counted  # type: ignore[method-assign]
    assert stage.run(make_trial(cell=cell)).outcome is Outcome.ENGINE_LOST
    bed.engine.create = create  # type: ignore[method-assign]
    outcomes = [stage.run(make_trial(cell=cell)).outcome for _ in range(2)]
    assert (outcomes, swept) == ([Outcome.OK, Outcome.OK], [1])  # and only once


def test_a_container_that_cannot_be_swept_away_is_tried_again_before_each_start(bed: Bed) -> None:
    cell = bed.cell(Tier.ABSENT)
    stage, sweep = Stage(bed.bench()), bed.engine.sweep
    bed.timeout_ns = 1_000_000
    bed.engine.faults.hanging.add("create")
    stage.run(make_trial(cell=cell))
    bed.engine.faults.hanging.clear()

    def refuse() -> int:
        raise EngineError("it is locked.")

    bed.engine.sweep = refuse  # type: ignore[method-assign]
    for _ in range(2):
        sample = stage.run(make_trial(cell=cell))
        assert (sample.outcome, sample.reason) == (
            Outcome.ENGINE_LOST,
            "an earlier start's container stays: it is locked.",
        )
    bed.engine.sweep = sweep  # type: ignore[method-assign]
    assert stage.run(make_trial(cell=cell)).outcome is Outcome.OK


@pytest.mark.parametrize("tier", [Tier.WARM, Tier.ABSENT])
def test_a_probe_that_cannot_be_armed_is_a_failed_start_in_the_discarded_one_too(bed: Bed, tier: Tier) -> None:
    bed.ready = "exit"
    cell = bed.cell(tier)

    def refuse(container_id: str) -> Callable[[], Timed[int]]:
        raise EngineError(f"wait: no answer for {container_id[:0]}it")

    bed.engine.wait_exit = refuse  # type: ignore[method-assign]
    sample = run(bed, cell)
    where = "in the discarded start: " if tier is Tier.WARM else ""
    assert (sample.outcome, sample.reason) == (Outcome.START_FAILED, f"{where}wait: no answer for it")


@pytest.mark.parametrize(("lost", "removed"), [([], 1), (["dockerd is stopped."], 0)])
def test_an_interrupt_removes_its_container_unless_the_engine_is_lost(bed: Bed, lost: list[str], removed: int) -> None:
    cell = bed.cell(Tier.ABSENT)
    bed.engine.faults.lost = lost
    seen: list[str] = []
    remove = bed.engine.remove_container

    def noted(container_id: str) -> None:
        seen.append(container_id)
        remove(container_id)

    def interrupt(container_id: str) -> Timed[None]:
        raise KeyboardInterrupt(container_id)

    bed.engine.remove_container = noted  # type: ignore[method-assign]
    bed.engine.start = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run(bed, cell)
    assert len(seen) == removed
