"""A run goes on after its last sample, wherever it stopped."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldstart.model.cell import Trial
from coldstart.model.sample import Outcome, Sample
from coldstart.plan.schedule import cells, schedule
from coldstart.store.reader import StoredRun
from coldstart.store.resume import remaining
from tests.unit.factories import make_experiment, make_manifest, make_sample

MAX_ATTEMPTS = 3
EXPERIMENT = make_experiment(runtime=("a", "b", "c"), runs=3, warmup=1)
BLOCKS = tuple(schedule(EXPERIMENT, cells(EXPERIMENT), seed=5))


def stored(*samples: Sample) -> StoredRun:
    return StoredRun(path=Path("nowhere"), manifest=make_manifest(experiment=EXPERIMENT), samples=samples)


def rest(*samples: Sample) -> list[tuple[Trial, ...]]:
    return list(remaining(stored(*samples), BLOCKS, max_attempts=MAX_ATTEMPTS))


def done(trials: tuple[Trial, ...]) -> list[Sample]:
    return [make_sample(trial) for trial in trials]


def again(trial: Trial, position: int) -> Trial:
    return msgspec.structs.replace(trial, attempt=trial.attempt + 1, position=position)


def test_of_a_run_without_samples_everything_is_left() -> None:
    assert rest() == list(BLOCKS)


def test_of_a_finished_run_nothing_is_left() -> None:
    assert rest(*[sample for block in BLOCKS for sample in done(block)]) == []


def test_a_finished_block_is_not_measured_again() -> None:
    assert rest(*done(BLOCKS[0])) == list(BLOCKS[1:])


def test_a_block_under_way_is_finished() -> None:
    assert rest(*done(BLOCKS[0]), *done(BLOCKS[1][:1])) == [BLOCKS[1][1:], *BLOCKS[2:]]


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if not outcome.is_requeued])
def test_a_trial_that_ended_for_good_is_done(outcome: Outcome) -> None:
    assert rest(make_sample(BLOCKS[0][0], outcome=outcome))[0] == BLOCKS[0][1:]


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome.is_requeued])
def test_a_spoilt_trial_comes_again_at_its_blocks_end(outcome: Outcome) -> None:
    first, *others = BLOCKS[0]
    assert rest(make_sample(first, outcome=outcome))[0] == (*others, again(first, position=3))


def test_a_trial_spoilt_too_often_is_done() -> None:
    first, *others = BLOCKS[0]
    second, third = again(first, 3), again(again(first, 3), 4)
    spoilt = [make_sample(trial, outcome=Outcome.NOT_QUIET) for trial in (first, second, third)]
    assert rest(spoilt[0], *done(tuple(others)), *spoilt[1:]) == list(BLOCKS[1:])


def test_a_trial_left_out_on_purpose_is_not_made_up_for() -> None:
    assert rest(*done(BLOCKS[0][1:2]))[0] == BLOCKS[0][2:]


def test_a_block_left_out_on_purpose_is_not_made_up_for() -> None:
    assert rest(*done(BLOCKS[2])) == list(BLOCKS[3:])


def simulate(outcomes: dict[tuple[int, int, str], Outcome]) -> list[Sample]:
    """A run to its end: every trial has the outcome drawn for it, spoilt ones come again as `measure` has it."""
    samples = []
    for block in BLOCKS:
        waiting, position = deque(block), len(block)
        while waiting:
            trial = waiting.popleft()
            outcome = outcomes[trial.block, trial.attempt, trial.cell.runtime]
            samples.append(make_sample(trial, outcome=outcome))
            if outcome.is_requeued and trial.attempt + 1 < MAX_ATTEMPTS:
                waiting.append(again(trial, position))
                position += 1
    return samples


@given(st.data())
def test_wherever_a_run_stops_it_goes_on_with_the_very_next_trial(data: st.DataObject) -> None:
    outcomes = {
        (block, attempt, runtime): data.draw(st.sampled_from([Outcome.OK, Outcome.NOT_COLD, Outcome.EXITED]))
        for block in range(len(BLOCKS))
        for attempt in range(MAX_ATTEMPTS)
        for runtime in "abc"
    }
    whole = simulate(outcomes)
    stop = data.draw(st.integers(0, len(whole) - 1))
    assert rest(*whole[:stop])[0][0] == whole[stop].trial
