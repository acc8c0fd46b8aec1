"""Sources that see processes: what they have in common, whoever tells them of forks, execs and ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from coldstart.model.run import SourceFacts
from coldstart.model.sample import Source
from coldstart.trace.attribute import observe
from coldstart.trace.base import Observation, TrialWindow
from coldstart.trace.tree import Event, Tree
from coldstart.trace.usage import Usage


class EventsLostError(Exception):
    """Some events of a trial are missing, so none of them is used; says how."""


class Watcher(Protocol):
    """Who tells of events. Nothing is watched but between ``start`` and ``stop``."""

    def start(self) -> None:
        """Begin, with nothing left of before."""

    def stop(self) -> None:
        """End."""

    def events(self) -> Iterable[Event]:
        """What was seen in between, in order of time.

        Raises:
            EventsLostError: not all of it.
        """

    def close(self) -> None:
        """Leave nothing in the kernel."""


class ProcessSource:
    """A span source over a watcher. See `coldstart.trace.base.SpanSource`.

    ``daemons`` gives the process numbers whose families do the engine's work; ``usage`` adds what processes took.
    """

    def __init__(
        self, facts: SourceFacts, watcher: Watcher, daemons: Callable[[], tuple[int, ...]], usage: Usage | None = None
    ) -> None:
        self.facts = facts
        self._watcher = watcher
        self._daemons = daemons
        self._usage = usage
        self._known: tuple[int, ...] = ()
        self._roots: dict[int, tuple[int, ...]] = {}

    def begin(self) -> None:
        """Watch, and note the daemons' threads: in this order, since they make new ones at any time."""
        if not self._known or not all(threads(pid) for pid in self._known):  # the first time, or one was started anew
            self._known = self._daemons()
        if self._usage is not None:
            self._usage.begin(self._known)
        self._watcher.start()
        self._roots = {pid: threads(pid) for pid in self._known}

    def end(self, window: TrialWindow) -> Observation:
        """Stop, and say who is who."""
        self._watcher.stop()
        try:
            tree = Tree(self._roots, self._watcher.events())
        except EventsLostError as error:
            return Observation(lost=f"{self.facts.name}: {error}")
        uses = self._usage.end(tree, window) if self._usage is not None else ()
        seen = observe(tree, window, Source(self.facts.name), self.facts.resolution_ns or 0)
        return Observation(
            spans=seen.spans, instants=seen.instants, received_bytes=seen.received_bytes, uses=uses, lost=seen.lost
        )

    def abandon(self) -> None:
        """Stop; what was seen is forgotten at the next start."""
        self._watcher.stop()

    def close(self) -> None:
        """Leave nothing in the kernel."""
        self._watcher.close()
        if self._usage is not None:
            self._usage.close()


def threads(pid: int, proc: Path = Path("/proc")) -> tuple[int, ...]:
    """The task numbers of a process; none if it is gone."""
    try:
        return tuple(int(name) for name in os.listdir(proc / str(pid) / "task"))  # noqa: PTH208  numbers, not paths
    except OSError:
        return ()
