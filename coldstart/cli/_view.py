"""What a run shows while it goes on: one live line on a terminal, plain lines elsewhere; all of it on stderr."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Protocol

from coldstart.cli._console import stderr_console
from coldstart.model.cell import Trial
from coldstart.model.repeats import MAX_ATTEMPTS
from coldstart.model.sample import Outcome, Sample
from coldstart.model.timeline import phases_of
from coldstart.units import NS_PER_S, format_ns

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


_WIDE = 100  # columns from which on there is room for a bar
_LEFT_WIDTH = len("59 min 59 s left")
_OTHERS_WIDTH = len("1000/1000 59 min 59 s left 10 failed last 999 ms ") + 2  # what stands beside the cell's name


class View(Protocol):
    """How a run is shown."""

    def say(self, text: str) -> None:
        """A message."""

    def begin(self, total: int, done: int) -> None:
        """Measuring begins: trials in all, and those of an earlier part of the run."""

    def announce(self, trial: Trial) -> None:
        """A trial begins."""

    def ended(self, sample: Sample) -> None:
        """A trial has ended."""

    def close(self) -> None:
        """Nothing more will be shown."""


def open_view() -> View:
    """The live view if stderr is a terminal, else plain lines."""
    return LiveView() if sys.stderr.isatty() else PlainView()


class Tally:
    """Counts of a run so far, and the time it still takes."""

    def __init__(self, total: int, done: int) -> None:
        self.total = total
        self.done = done
        self.outcomes: Counter[Outcome] = Counter()
        self._begin_ns = time.monotonic_ns()
        self._begun_with = done
        self._warnings: set[str] = set()

    def note(self, sample: Sample) -> None:
        """Count a sample; one that will be tried again is no progress."""
        self.outcomes[sample.outcome] += 1
        if not sample.outcome.is_requeued or sample.trial.attempt + 1 >= MAX_ATTEMPTS:
            self.done += 1

    def fresh_warnings(self, sample: Sample) -> tuple[str, ...]:
        """Sentences for what the engine warned of, each once in a run."""
        fresh = [warning for warning in sample.warnings if warning not in self._warnings]
        self._warnings.update(fresh)
        return tuple(f"the engine warns: {warning}" for warning in fresh)

    @property
    def left_ns(self) -> int | None:
        """By the mean pace so far; ``None`` before there is one."""
        finished = self.done - self._begun_with
        if finished <= 0:
            return None
        return (time.monotonic_ns() - self._begin_ns) // finished * max(0, self.total - self.done)

    @property
    def spoilt(self) -> str:
        """What did not go well, in a few words; empty if all did."""
        requeued = sum(count for outcome, count in self.outcomes.items() if outcome.is_requeued)
        failed = sum(self.outcomes.values()) - requeued - self.outcomes[Outcome.OK]
        words = [f"{failed} failed"] if failed else []
        words += [
            f"{self.outcomes[outcome]} {outcome.replace('_', ' ')}"
            for outcome in Outcome
            if outcome.is_requeued and self.outcomes[outcome]
        ]
        return ", ".join(words)


class PlainView:
    """A line a sample."""

    def __init__(self) -> None:
        self._tally = Tally(0, 0)

    def say(self, text: str) -> None:
        """A line."""
        print(text, file=sys.stderr, flush=True)

    def begin(self, total: int, done: int) -> None:
        """Count from here."""
        self._tally = Tally(total, done)

    def announce(self, trial: Trial) -> None:
        """A log wants no line that is only about to become true."""

    def ended(self, sample: Sample) -> None:
        """The sample, and how far the run is."""
        self._tally.note(sample)
        for warning in self._tally.fresh_warnings(sample):
            self.say(warning)
        width = len(str(self._tally.total))
        left = self._tally.left_ns
        remaining = "" if left is None or not left else f"  [{format_left(left)} left]"
        self.say(
            f"[{self._tally.done:>{width}}/{self._tally.total}] block {sample.trial.block}  "
            f"{sample.trial.cell.key}  {describe(sample)}{remaining}"
        )

    def close(self) -> None:
        """Lines need no end."""


class LiveView:
    """One line that is drawn anew: cell, block, bar, time left, last result, counts."""

    def __init__(self) -> None:
        self._console = stderr_console()
        self._tally = Tally(0, 0)
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def say(self, text: str) -> None:
        """A line above the live one."""
        self._console.print(text, markup=False, highlight=False)

    def begin(self, total: int, done: int) -> None:
        """Draw the live line."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415  as above
        from rich.table import Column  # noqa: PLC0415

        self._tally = Tally(total, done)
        # What a narrow terminal has no room for is cut from the right: how far, how long and what went wrong stay.
        self._progress = Progress(
            *([BarColumn(bar_width=20)] if self._console.width >= _WIDE else []),
            MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=len(f"{total}/{total}"))),
            TextColumn("{task.fields[left]}", style="cyan", table_column=Column(no_wrap=True, min_width=_LEFT_WIDTH)),
            TextColumn("{task.fields[spoilt]}", style="yellow", markup=False, table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[last]}", style="dim", markup=False, table_column=Column(no_wrap=True)),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            console=self._console,
            redirect_stdout=False,  # what else is printed meanwhile stays plain text, not decoded as styles
            redirect_stderr=False,
        )
        self._progress.start()
        self._task = self._progress.add_task("", total=total, completed=done, left="", last="", spoilt="")

    def announce(self, trial: Trial) -> None:
        """Name the cell and its block."""
        if self._progress is not None and self._task is not None:
            cell = trial.cell
            warmup = " (warm-up)" if trial.warmup else ""
            named = f"block {trial.block}{warmup}: {cell.runtime} {cell.workload}/{cell.variant} {cell.tier}"
            room = max(0, self._console.width - _OTHERS_WIDTH)
            self._progress.update(self._task, description=named if len(named) <= room else f"{named[:room]}…")

    def ended(self, sample: Sample) -> None:
        """Move the bar; a failure also leaves a line."""
        self._tally.note(sample)
        for warning in self._tally.fresh_warnings(sample):
            self.say(warning)
        if sample.outcome is not Outcome.OK:
            self.say(f"{sample.trial.cell.key}: {describe(sample)}")
        phases = phases_of(sample)
        if self._progress is not None and self._task is not None:
            left = self._tally.left_ns
            self._progress.update(
                self._task,
                completed=self._tally.done,
                left="" if left is None else f"{format_left(left)} left",
                last=f"last {format_ns(phases.e2e_ns)}" if phases is not None else "",
                spoilt=self._tally.spoilt,
            )

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._progress is not None:
            self._progress.stop()


def describe(sample: Sample) -> str:
    """A sample in a few words: its times, or what became of it."""
    phases = phases_of(sample)
    if phases is None:
        return f"{sample.outcome.replace('_', ' ')}: {sample.reason}"
    parts = [f"pull {format_ns(phases.pull_ns)}"] if phases.pull_ns else []
    parts += [f"init {format_ns(phases.init_ns)}", f"ready {format_ns(phases.readiness_ns)}"]
    return f"{format_ns(phases.e2e_ns)} ({', '.join(parts)})"


def format_left(left_ns: int) -> str:
    """Minutes and seconds, or hours and minutes: nobody waits by the millisecond."""
    minutes, seconds = divmod(left_ns // NS_PER_S, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
