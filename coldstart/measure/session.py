"""A schedule to an iterator of samples: blocks in order, spoilt trials again within their block, an end in time."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

import msgspec

from coldstart.measure.bench import Bench
from coldstart.measure.trial import Stage
from coldstart.model.cell import Cell, Side, Trial
from coldstart.model.sample import Outcome, Sample, SentinelReading

MAX_ATTEMPTS = 3  # a trial that was thrice not cold, not quiet or throttled stays so
HOPELESS = 3  # a cell that failed this often and never succeeded is given up
LOST_IN_A_ROW = 3  # an engine lost this often in a row is not coming back


_Contender = tuple[Side | None, Cell]


class _Record:
    """What the samples so far say about those to come."""

    def __init__(self) -> None:
        self._succeeded: set[_Contender] = set()
        self._failures: Counter[_Contender] = Counter()
        self._lost_in_a_row = 0

    def note(self, sample: Sample) -> None:
        self._lost_in_a_row = self._lost_in_a_row + 1 if sample.outcome is Outcome.ENGINE_LOST else 0
        if sample.outcome is Outcome.OK:
            self._succeeded.add(_contender(sample.trial))
        elif not sample.outcome.is_requeued:
            self._failures[_contender(sample.trial)] += 1

    def is_hopeless(self, trial: Trial) -> bool:
        return _contender(trial) not in self._succeeded and self._failures[_contender(trial)] >= HOPELESS

    @property
    def engine_is_gone(self) -> bool:
        return self._lost_in_a_row >= LOST_IN_A_ROW


def _contender(trial: Trial) -> _Contender:
    return trial.side, trial.cell


def measure(
    bench: Bench,
    blocks: Iterable[tuple[Trial, ...]],
    *,
    sides: Mapping[Side, Bench] | None = None,
    with_sentinel: bool = False,
    deadline_ns: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    announce: Callable[[Trial], None] = lambda _trial: None,
    clock: Callable[[], int] = time.monotonic_ns,
) -> Generator[Sample]:
    """Run the trials of ``blocks``; each sample is yielded as its trial ends, and only then the next one begins.

    ``sides`` gives trials of a side their own subjects and options, on the same engine. ``with_sentinel``, a sentinel
    is read before each block, in a quiet window of its own, and is kept with the block's first sample. ``announce`` is
    told of each trial before it begins, and ``stop`` asked whether to go on. With a deadline (ns of ``clock``) a block
    that would not end in time by the longest block so far is not begun. A cell that failed `HOPELESS` times and never
    succeeded is left out from then on; the run ends early when the engine is gone.
    """
    bench.engine.sweep()
    stage, record = Stage(bench, sides), _Record()
    longest_ns = 0
    with bench.way_out():
        for block in blocks:
            begin_ns = clock()
            if deadline_ns is not None and begin_ns + longest_ns > deadline_ns:
                return
            reading = _sentinel(bench) if with_sentinel else None
            for trial in (queue := _Queue(block)):
                if stop() or record.engine_is_gone:
                    return
                if record.is_hopeless(trial):
                    continue
                announce(trial)
                sample = stage.run(trial)
                record.note(sample)
                if reading is not None:
                    sample, reading = msgspec.structs.replace(sample, sentinel=reading), None
                yield sample
                if sample.outcome.is_requeued:
                    queue.try_again(trial)
            longest_ns = max(longest_ns, clock() - begin_ns)


def _sentinel(bench: Bench) -> SentinelReading:
    bench.surroundings.wait_until_quiet()  # where it does not become quiet, that is what the sentinel will show
    return bench.surroundings.sentinel()


class _Queue:
    """A block's trials; one that was not cold, not quiet or throttled comes again at the end, as its next attempt.

    Whether it does is judged before or apart from its time, so trying again selects nothing.
    """

    def __init__(self, block: tuple[Trial, ...]) -> None:
        self._waiting = deque(block)
        self._next_position = max((trial.position for trial in block), default=-1) + 1

    def __iter__(self) -> Iterator[Trial]:
        while self._waiting:
            yield self._waiting.popleft()

    def try_again(self, trial: Trial) -> None:
        if trial.attempt + 1 < MAX_ATTEMPTS:
            again = msgspec.structs.replace(trial, attempt=trial.attempt + 1, position=self._next_position)
            self._waiting.append(again)
            self._next_position += 1
