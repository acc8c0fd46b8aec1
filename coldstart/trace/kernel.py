"""The kernel's trace as a source: the exact instants of programs, sockets and ends, and who is whose."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from coldstart.model.run import SourceFacts
from coldstart.model.sample import Source
from coldstart.trace.tracefs import Instance, parse
from coldstart.trace.tree import Event
from coldstart.trace.usage import open_usage
from coldstart.trace.watch import EventsLostError, ProcessSource

FACTS = SourceFacts(
    name=Source.TRACE,
    resolution_ns=1_000,  # the text has six decimals
    bias="none known: the kernel's own instants, on the clock everything else is measured with, read up to 1 µs early",
)


class TraceWatcher:
    """See `coldstart.trace.watch.Watcher`."""

    def __init__(self) -> None:
        """Make a tracing instance.

        Raises:
            WatchingUnavailableError: this machine cannot trace.
        """
        self._instance = Instance()

    def start(self) -> None:
        """Empty the buffer and enable the events."""
        self._instance.start()

    def stop(self) -> None:
        """Disable the events."""
        self._instance.stop()

    def events(self) -> Iterable[Event]:
        """Read the buffer."""
        lost = self._instance.lost()
        if lost:
            raise EventsLostError(f"the trace buffer overran: {lost} events were lost")
        return parse(self._instance.read())

    def close(self) -> None:
        """Remove the instance."""
        self._instance.close()


def open_source(daemons: Callable[[], tuple[int, ...]]) -> ProcessSource:
    """The kernel's trace of these daemons' families.

    Raises:
        WatchingUnavailableError: this machine cannot trace.
    """
    return ProcessSource(FACTS, TraceWatcher(), daemons, open_usage())
