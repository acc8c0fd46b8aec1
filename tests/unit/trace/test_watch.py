"""What every source that sees processes does, whoever tells it of them."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from coldstart.model.run import SourceFacts
from coldstart.model.sample import Phase, ProcessUse, Source
from coldstart.trace.base import Observation, TrialWindow
from coldstart.trace.tree import Event, Tree
from coldstart.trace.usage import Usage
from coldstart.trace.watch import EventsLostError, ProcessSource, threads
from tests.unit.factories import MS
from tests.unit.trace.recording import Recording, window

FACTS = SourceFacts(name=Source.PROC, resolution_ns=77, bias="none")


class Told:
    """A watcher that tells what the test says; whatever it and its company are asked is written down."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.asked: list[str] = []
        self.told = tuple(events)
        self.lost: str | None = None

    def start(self) -> None:
        self.asked.append("start")

    def stop(self) -> None:
        self.asked.append("stop")

    def events(self) -> Iterable[Event]:
        self.asked.append("events")
        if self.lost is not None:
            raise EventsLostError(self.lost)
        return self.told

    def close(self) -> None:
        self.asked.append("close")


class Uses(Usage):
    """Use that is made up."""

    def __init__(self, watcher: Told) -> None:
        super().__init__(None)
        self._asked = watcher.asked
        self.made_up = ProcessUse(role="shim", name="x", source="proc")

    def begin(self, daemons: tuple[int, ...]) -> None:
        self._asked.append(f"use of {daemons}")

    def end(self, tree: Tree, window: TrialWindow) -> tuple[ProcessUse, ...]:  # noqa: ARG002  the answer is the test's
        self._asked.append("used")
        return (self.made_up,)

    def close(self) -> None:
        self._asked.append("close use")


class Daemons:
    """Whoever is asked for the daemons, and how often."""

    def __init__(self, *pids: int) -> None:
        self.pids = pids
        self.times = 0

    def __call__(self) -> tuple[int, ...]:
        self.times += 1
        return self.pids


@pytest.fixture
def mortal() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends when its input does."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def source(watcher: Told, *daemons: int, usage: Usage | None = None) -> ProcessSource:
    return ProcessSource(FACTS, watcher, Daemons(*(daemons or (os.getpid(),))), usage)


def test_daemons_that_live_are_asked_for_once(mortal: subprocess.Popen[bytes]) -> None:
    daemons = Daemons(os.getpid(), mortal.pid)
    watching = ProcessSource(FACTS, Told(), daemons)
    for _ in range(3):
        watching.begin()
    assert daemons.times == 1


def test_daemons_are_asked_for_again_when_one_is_gone(mortal: subprocess.Popen[bytes]) -> None:
    daemons = Daemons(os.getpid(), mortal.pid)
    watching = ProcessSource(FACTS, Told(), daemons)
    watching.begin()
    end(mortal)
    watching.begin()
    assert daemons.times == 2


def test_daemons_are_asked_for_again_while_there_are_none() -> None:
    daemons = Daemons()
    watching = ProcessSource(FACTS, Told(), daemons)
    watching.begin()
    watching.begin()
    assert daemons.times == 2


def test_a_daemon_that_was_started_anew_is_the_one_that_is_watched(mortal: subprocess.Popen[bytes]) -> None:
    recording = Recording(roots={os.getpid(): ()})
    recording.run(os.getpid(), 2**22, "/usr/bin/shim", 9)
    recording.fork(25, 2**22, 2**22 + 1)
    daemons = Daemons(mortal.pid)
    watching = ProcessSource(FACTS, Told(recording.events), daemons)
    watching.begin()
    end(mortal)
    daemons.pids = (os.getpid(),)
    watching.begin()
    assert [span.phase for span in watching.end(window(2**22 + 1)).spans] == [Phase.INIT_ENGINE]


def test_what_a_daemons_thread_of_before_the_trial_forks_is_the_daemons() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    assert thread.native_id is not None
    recording = Recording(roots={})
    recording.run(thread.native_id, 2**22, "/usr/bin/shim", 9)
    recording.fork(25, 2**22, 2**22 + 1)
    watching = source(Told(recording.events))
    watching.begin()
    done.set()
    thread.join()
    assert watching.end(window(2**22 + 1)).spans


def test_use_is_noted_before_the_watching_starts() -> None:
    watcher = Told()
    source(watcher, os.getpid(), usage=Uses(watcher)).begin()
    assert watcher.asked == [f"use of ({os.getpid()},)", "start"]


def test_at_the_end_watching_stops_before_events_are_read() -> None:
    watcher = Told()
    watching = source(watcher, usage=Uses(watcher))
    watching.begin()
    watcher.asked.clear()
    watching.end(window())
    assert watcher.asked == ["stop", "events", "used"]


def test_what_was_seen_is_told_in_the_sources_name_with_its_resolution_and_the_use() -> None:
    recording = Recording(roots={os.getpid(): ()})
    recording.run(os.getpid(), 2**22, "/usr/bin/shim", 9)
    recording.fork(25, 2**22, 2**22 + 1)
    watcher = Told(recording.events)
    uses = Uses(watcher)
    watching = source(watcher, usage=uses)
    watching.begin()
    seen = watching.end(window(2**22 + 1))
    assert [(s.source, s.error_ns, s.end_ns) for s in seen.spans] == [(Source.PROC, 77, 9 * MS)]
    assert (seen.uses, seen.lost) == ((uses.made_up,), None)


def test_what_a_pull_received_and_when_the_app_listened_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Observation(received_bytes=7, instants=())
    monkeypatch.setattr("coldstart.trace.watch.observe", lambda *_: seen)
    watching = source(Told())
    watching.begin()
    assert watching.end(window()) == seen


def test_a_source_without_a_resolution_has_no_error_of_its_own() -> None:
    recording = Recording(roots={os.getpid(): ()})
    recording.run(os.getpid(), 2**22, "/usr/bin/shim", 9)
    recording.fork(25, 2**22, 2**22 + 1)
    facts = SourceFacts(name=Source.PROC, resolution_ns=None, bias="none")
    watching = ProcessSource(facts, Told(recording.events), Daemons(os.getpid()))
    watching.begin()
    assert [span.error_ns for span in watching.end(window(2**22 + 1)).spans] == [0]


def test_lost_events_are_told_and_nothing_else_is() -> None:
    watcher = Told(Recording().events)
    watcher.lost = "7 events"
    watching = source(watcher, usage=Uses(watcher))
    watching.begin()
    assert watching.end(window()) == Observation(lost="proc: 7 events")


def test_abandoning_stops_and_reads_nothing() -> None:
    watcher = Told()
    watching = source(watcher, usage=Uses(watcher))
    watching.begin()
    watcher.asked.clear()
    watching.abandon()
    assert watcher.asked == ["stop"]


def test_close_leaves_neither_the_watcher_nor_the_use_in_the_kernel() -> None:
    watcher = Told()
    source(watcher, usage=Uses(watcher)).close()
    assert watcher.asked == ["close", "close use"]


def test_close_without_use_is_fine() -> None:
    watcher = Told()
    source(watcher).close()
    assert watcher.asked == ["close"]


def test_threads_are_the_numbers_of_a_processs_tasks(tmp_path: Path) -> None:
    for number in ("10", "11"):
        (tmp_path / "10" / "task" / number).mkdir(parents=True)
    assert sorted(threads(10, tmp_path)) == [10, 11]


def test_a_process_that_is_gone_has_no_threads(tmp_path: Path) -> None:
    assert threads(10, tmp_path) == ()
