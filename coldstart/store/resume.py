"""Where a stored run goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from coldstart.model.cell import Trial
from coldstart.store.reader import StoredRun


def remaining(run: StoredRun, blocks: Iterable[tuple[Trial, ...]], *, max_attempts: int) -> Iterator[tuple[Trial, ...]]:
    """What is left of ``blocks``, the run's whole schedule, after its last stored sample.

    Samples are stored in the order they were measured, so whatever was planned before the last one was measured, or
    left out on purpose, and is not made up for. In the block that was under way, a trial that was to be tried again
    (`Outcome.is_requeued`, fewer than ``max_attempts`` made) still is, as its next attempt at the block's end.
    """
    last_block = max((sample.trial.block for sample in run.samples), default=-1)
    for block in blocks:
        left = block
        if block and block[0].block <= last_block:
            left = _rest_of(run, block, max_attempts) if block[0].block == last_block else ()
        if left:
            yield left


def _rest_of(run: StoredRun, block: tuple[Trial, ...], max_attempts: int) -> tuple[Trial, ...]:
    """Replay the block: its trials in order, spoilt ones again at its end."""
    outcomes = {
        (sample.trial.cell, sample.trial.side, sample.trial.attempt): sample.outcome
        for sample in run.samples
        if sample.trial.block == block[0].block
    }
    waiting, next_position = deque(block), max(trial.position for trial in block) + 1
    left: list[Trial] = []
    while waiting:
        trial = waiting.popleft()
        outcome = outcomes.get((trial.cell, trial.side, trial.attempt))
        if outcome is None:
            left.append(trial)
            continue
        left.clear()
        if outcome.is_requeued and trial.attempt + 1 < max_attempts:
            waiting.append(msgspec.structs.replace(trial, attempt=trial.attempt + 1, position=next_position))
            next_position += 1
    return tuple(left)
