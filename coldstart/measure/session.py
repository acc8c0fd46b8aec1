"""A schedule to an iterator of samples: blocks in order, spoilt trials again within their block, an end in time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import msgspec

from coldstart.measure.bench import Bench
from coldstart.measure.trial import Stage
from coldstart.model.cell import Trial
from coldstart.model.sample import Outcome, Sample

MAX_ATTEMPTS = 3  # a trial that was thrice not cold or not quiet stays so
_LOST_IN_A_ROW = 3  # an engine lost this often in a row is not coming back


def measure(
    bench: Bench,
    blocks: Iterable[tuple[Trial, ...]],
    *,
    deadline_ns: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    announce: Callable[[Trial], None] = lambda _trial: None,
    clock: Callable[[], int] = time.monotonic_ns,
) -> Iterator[Sample]:
    """Run the trials of ``blocks``; each sample is yielded as its trial ends, and only then the next one begins.

    A trial that was not cold or not quiet is tried again at the end of its block, with the next attempt's number: that
    is judged before or apart from its time, so trying again selects nothing. Between trials ``stop`` and the
    deadline (ns of ``clock``) are asked; with a deadline, a block that would not end in time by the longest block so
    far is not begun. ``announce`` is told of each trial before it begins. Ends early when the engine is lost for good.
    """
    stage = Stage(bench)
    bench.engine.sweep()
    longest_ns = 0
    lost = 0
    for block in blocks:
        begin_ns = clock()
        if deadline_ns is not None and begin_ns + longest_ns > deadline_ns:
            return
        waiting = deque(block)
        positions = max((trial.position for trial in block), default=-1) + 1
        while waiting:
            if stop():
                return
            trial = waiting.popleft()
            announce(trial)
            sample = stage.run(trial)
            yield sample
            lost = lost + 1 if sample.outcome is Outcome.ENGINE_LOST else 0
            if lost == _LOST_IN_A_ROW:
                return
            if sample.outcome.is_requeued and trial.attempt + 1 < MAX_ATTEMPTS:
                waiting.append(msgspec.structs.replace(trial, attempt=trial.attempt + 1, position=positions))
                positions += 1
        longest_ns = max(longest_ns, clock() - begin_ns)
