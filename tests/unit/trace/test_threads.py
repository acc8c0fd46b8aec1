"""Threads that become programs, and threads made while the watching begins."""

from __future__ import annotations

import threading

from coldstart.trace.attribute import find_ended_start
from coldstart.trace.base import InstantKind
from coldstart.trace.tree import Process
from tests.unit.factories import MS
from tests.unit.trace.recording import Recording, window
from tests.unit.trace.test_attribute import instants, observed
from tests.unit.trace.test_watch import Told, source


def threaded_exec(recording: Recording, init: int) -> None:
    """What kernel 6.18 told of a process whose other thread called exec: its first task ends, then becomes the program.

    fork 6400→6413 (thread), exit 6400, exec pid=6400 old_pid=6413, exit 6400. Of 6413 no end is ever told.
    """
    recording.fork(82, init, 170, is_thread=True)
    recording.exit(83, init)
    recording.exec(84, init, "/server")


def test_an_entrypoint_one_of_whose_threads_becomes_a_server_is_still_the_entrypoint() -> None:
    recording = Recording()
    init = recording.runc()
    threaded_exec(recording, init)
    assert instants(observed(recording, window(init))) == {InstantKind.ENTRYPOINT_EXEC: 80, InstantKind.LISTENING: 90}


def test_a_process_one_of_whose_threads_became_another_program_ends_with_it() -> None:
    recording = Recording()
    init = recording.runc()
    process = recording.tree.process(init)
    assert isinstance(process, Process)
    threaded_exec(recording, init)
    recording.exit(95, init)
    (found,) = (p for root in recording.tree.roots for p in root.family() if p.pid == init)
    assert found.exit_ns == 95_000_000


def test_a_process_whose_first_thread_ended_is_still_found_by_its_number() -> None:
    recording = Recording()
    init = recording.runc()
    recording.fork(81, init, 170, is_thread=True)
    recording.exit(85, init)
    assert recording.tree.process(init) is not None


def test_a_daemons_thread_that_is_made_while_the_watching_begins_is_the_daemons() -> None:
    """Go's runtime makes threads whenever it likes; with taskstats to drain, in between is a millisecond or more."""
    recording = Recording(roots={})
    done = threading.Event()
    late = threading.Thread(target=done.wait)

    class Late(Told):
        def start(self) -> None:
            late.start()  # just before the kernel begins to tell
            super().start()

    watcher = Late()
    watching = source(watcher)
    watching.begin()
    done.set()
    late.join()
    assert late.native_id is not None
    recording.run(late.native_id, 2**22, "/usr/bin/shim", 9)
    recording.fork(25, 2**22, 2**22 + 1)
    watcher.told = recording.events
    assert watching.end(window(2**22 + 1)).spans


def test_a_start_that_has_ended_with_its_shim_is_found_by_what_it_was() -> None:
    recording = Recording()
    init = recording.runc(at_ms=10)
    recording.exit(110, init, 101)
    found = find_ended_start(recording.tree, 10 * MS)
    assert found is not None
    assert (found.init.pid, found.shim.pid) == (init, 101)
    assert (found.create and found.create.pid, found.start and found.start.pid) == (102, 109)


def test_a_start_that_was_launched_before_is_another_one() -> None:
    recording = Recording()
    recording.exit(95, recording.runc())
    assert find_ended_start(recording.tree, 50 * MS) is None
