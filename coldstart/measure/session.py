"""A schedule to an iterator of samples: blocks in order, spoilt trials again within their block, an end in time."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

import msgspec

from coldstart.measure.bench import Bench
from coldstart.measure.failure import TrialCrashError
from coldstart.measure.trial import Stage
from coldstart.model.cell import Side, Trial
from coldstart.model.repeats import MAX_ATTEMPTS, Contender, Repeats
from coldstart.model.sample import Outcome, Sample, SentinelReading
from coldstart.units import NS_PER_S

HOPELESS = 3  # a cell that failed this often and never succeeded is given up; so is one never cold in so many trials
LOST_IN_A_ROW = 3  # a run whose engine, registry or instruments failed this often in a row comes to nothing
RECOVERY_NS = 15 * NS_PER_S  # for a lost engine or registry to answer again: dockerd starts its containerd anew
_RECOVERY_POLL_S = 0.5


class Prospects:
    """What the samples so far say about those to come; ``at_most`` are those planned, warm-up apart, if it is known.

    ``earlier`` are the stored samples of a run that is resumed; ``at_most`` does not count those. What came several
    times in a row does not go on over the pause: the engine and the machine may have recovered.
    """

    def __init__(self, at_most: int | None = None, *, earlier: Iterable[Sample] = ()) -> None:
        self._repeats = Repeats()
        self._left: int | None = None
        self._succeeded: set[Contender] = set()
        self._failures: defaultdict[Contender, Counter[Outcome]] = defaultdict(Counter)
        self._last: dict[Contender, Sample] = {}
        self._lost_in_a_row = 0
        self._reason: str | None = None
        self.is_gone = False
        for sample in earlier:
            self.note(sample)
        self._repeats.pause()
        self._lost_in_a_row = 0
        self._left = at_most

    def note(self, sample: Sample) -> None:
        """Another sample."""
        trial, contender = sample.trial, _contender(sample.trial)
        self._repeats.note(contender, sample.outcome, reason=sample.reason, warmup=trial.warmup)
        if self._left is not None and not trial.warmup:
            self._left = max(0, self._left - 1) + _is_tried_again(sample)
        lost = sample.outcome.is_lost or sample.outcome is Outcome.HARNESS_FAILED
        self._lost_in_a_row = self._lost_in_a_row + 1 if lost else 0
        self._last[contender], self._reason = sample, sample.reason
        if sample.outcome is Outcome.OK:
            self._succeeded.add(contender)
        elif not sample.outcome.is_requeued:
            self._failures[contender][sample.outcome] += 1

    def is_hopeless(self, trial: Trial) -> bool:
        """Whether the trial's cell is given up on its side: it failed often or was never cold, and never succeeded."""
        return self.gave_up(_contender(trial))

    def gave_up(self, contender: Contender) -> bool:
        """As `is_hopeless`, of a side and cell."""
        if contender in self._succeeded or contender not in self._last:
            return False
        not_cold = self._repeats.not_cold_so_far(contender)
        return self._failures[contender].total() >= HOPELESS or not_cold >= HOPELESS * MAX_ATTEMPTS

    @property
    def is_over(self) -> bool:
        """Whether engine or registry are gone, or were lost several times in a row, or nothing can come of the run."""
        return self._why_over() is not None

    def news(self, sample: Sample) -> str | None:
        """What its latest sample changes for the rest of the run, in a sentence; ``None`` for nothing."""
        if (why := self._why_over()) is not None:
            return f"stopped: {why}"
        return f"left out from here on: {self._left_out(sample)}" if self.is_hopeless(sample.trial) else None

    def already_known(self) -> tuple[str, ...]:
        """What earlier samples change for a run that is resumed, one sentence each."""
        if (why := self._why_over()) is not None:
            return (f"stopped: {why}",)
        given_up = [sample for contender, sample in self._last.items() if self.gave_up(contender)]
        return tuple(f"left out, as before: {self._left_out(sample)}" for sample in given_up)

    def _why_over(self) -> str | None:
        if (why := self._repeats.end(self._left)) is not None:
            return why
        if self.is_gone:
            return f"what was lost did not come back within {RECOVERY_NS / NS_PER_S:g} s: {self._reason}"
        if self._lost_in_a_row >= LOST_IN_A_ROW:
            return f"none of the last {LOST_IN_A_ROW} starts could be measured: {self._reason}"
        return None

    def _left_out(self, last: Sample) -> str:
        name = last.trial.cell.key
        if last.outcome is Outcome.NOT_COLD:
            return f"{name} could not be proved cold: {last.reason}"
        found = self._failures[_contender(last.trial)]
        kinds = ", ".join(f"{count} {outcome.value.replace('_', ' ')}" for outcome, count in found.most_common())
        return f"{name} never succeeded ({kinds}): {last.reason}"


def _is_tried_again(sample: Sample) -> bool:
    return sample.outcome.is_requeued and sample.trial.attempt + 1 < MAX_ATTEMPTS


def _contender(trial: Trial) -> Contender:
    return trial.side, trial.cell


def measure(  # noqa: PLR0913  what is wanted of a run, by name
    bench: Bench,
    blocks: Iterable[tuple[Trial, ...]],
    *,
    sides: Mapping[Side, Bench] | None = None,
    with_sentinel: bool = False,
    deadline_ns: int | None = None,
    prospects: Prospects | None = None,
    stop: Callable[[], bool] = lambda: False,
    announce: Callable[[Trial], None] = lambda _trial: None,
    tell: Callable[[str], None] = lambda _text: None,
    clock: Callable[[], int] = time.monotonic_ns,
) -> Generator[Sample]:
    """Run the trials of ``blocks``; each sample is yielded as its trial ends, and only then the next one begins.

    ``sides`` gives trials of a side their own subjects and options, on the same engine. ``with_sentinel``, a sentinel
    is read before each block, in a quiet window of its own, and is kept with the block's first sample. ``announce`` is
    told of each trial before it begins, and ``stop`` asked whether to go on. With a deadline (ns of ``clock``) a block
    that would not end in time by the longest block so far is not begun, and none goes on after it. A cell that failed
    `HOPELESS` times and never succeeded, or was never cold in as many trials, is left out from then on. The run ends
    early when the engine or the registry is lost and does not come back, or was lost `LOST_IN_A_ROW` times, and when
    nothing can come of it any more (`Repeats.end`), which ``prospects`` know from the starts planned
    and, in a run that is resumed, from those before. ``tell`` hears, in a sentence, what is left out and why the run
    ends.

    Raises:
        Exception: one that nobody foresaw in a trial, after that trial's sample was yielded.
    """
    bench.engine.sweep()
    stage, record = Stage(bench, sides), prospects or Prospects()
    longest_ns = 0
    for text in record.already_known():
        tell(text)
    with bench.way_out():
        for planned in blocks:
            block = tuple(trial for trial in planned if not record.is_hopeless(trial))
            if not block:
                continue
            begin_ns = clock()
            if _is_past(deadline_ns, begin_ns + longest_ns) or record.is_over:
                return
            reading = _sentinel(bench) if with_sentinel else None
            for trial in (queue := _Queue(block)):
                if stop() or _is_past(deadline_ns, clock()) or record.is_over:
                    return
                announce(trial)
                sample, crash = _run(stage, trial)
                record.note(sample)
                if reading is not None:
                    sample, reading = msgspec.structs.replace(sample, sentinel=reading), None
                yield sample
                _recover(bench, record, sample, crash, clock)
                if (news := record.news(sample)) is not None:
                    tell(news)
                elif sample.outcome.is_requeued:
                    queue.try_again(trial)
            longest_ns = max(longest_ns, clock() - begin_ns)


def _run(stage: Stage, trial: Trial) -> tuple[Sample, Exception | None]:
    """The trial's sample, and the exception that nobody foresaw, if one ended it."""
    try:
        return stage.run(trial), None
    except TrialCrashError as error:
        return error.sample, error.cause


def _is_past(deadline_ns: int | None, at_ns: int) -> bool:
    return deadline_ns is not None and at_ns > deadline_ns


def _recover(
    bench: Bench, record: Prospects, sample: Sample, crash: Exception | None, clock: Callable[[], int]
) -> None:
    """After a stored sample: raise what nobody foresaw, and wait for what was lost to answer again."""
    if crash is not None:
        raise crash
    if not sample.outcome.is_lost:
        return
    until_ns = clock() + RECOVERY_NS
    while bench.engine.lost() is not None or bench.registry_lost() is not None:
        if clock() > until_ns:
            record.is_gone = True
            return
        time.sleep(_RECOVERY_POLL_S)


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
