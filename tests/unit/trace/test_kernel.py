"""The kernel's trace as a watcher."""

from __future__ import annotations

import pytest

from coldstart.model.sample import Source
from coldstart.trace import kernel
from coldstart.trace.kernel import TraceWatcher
from coldstart.trace.tree import Exit
from coldstart.trace.watch import EventsLostError


class Buffer:
    """A tracing instance whose buffer holds one end."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.dropped = 0

    def start(self) -> None:
        self.asked.append("start")

    def stop(self) -> None:
        self.asked.append("stop")

    def close(self) -> None:
        self.asked.append("close")

    def lost(self) -> int:
        return self.dropped

    def read(self) -> str:
        return "# tracer: nop\n  sh-12   [000] .....  1.000001: sched_process_exit: comm=sh pid=12 prio=120\n"


@pytest.fixture
def buffer(monkeypatch: pytest.MonkeyPatch) -> Buffer:
    """The instance that a watcher makes."""
    made = Buffer()
    monkeypatch.setattr(kernel, "Instance", lambda: made)
    return made


def test_a_watcher_is_its_instance_started_stopped_and_closed(buffer: Buffer) -> None:
    watcher = TraceWatcher()
    watcher.start()
    watcher.stop()
    watcher.close()
    assert buffer.asked == ["start", "stop", "close"]


@pytest.mark.usefixtures("buffer")
def test_events_are_the_buffers() -> None:
    assert list(TraceWatcher().events()) == [Exit(1_000_001_000, 12)]


def test_a_buffer_that_lost_events_gives_none(buffer: Buffer) -> None:
    buffer.dropped = 7
    with pytest.raises(EventsLostError, match="overran: 7 events were lost"):
        TraceWatcher().events()


def test_the_source_is_the_trace_of_those_daemons(buffer: Buffer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "open_usage", lambda: None)
    asked: list[str] = []

    def daemons() -> tuple[int, ...]:
        asked.append("daemons")
        return ()

    source = kernel.open_source(daemons)
    source.begin()
    source.close()
    assert (source.facts.name, asked, buffer.asked) == (Source.TRACE, ["daemons"], ["start", "close"])
