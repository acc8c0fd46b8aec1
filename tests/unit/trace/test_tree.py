"""The family tree of an engine's processes: who is in it, as what, and until when."""

from __future__ import annotations

from coldstart.trace.tree import Process
from tests.unit.factories import MS
from tests.unit.trace.recording import CONTAINERD, DOCKERD, DOCKERDS_THREAD, STRANGER, Recording


def found(recording: Recording, pid: int) -> Process:
    process = recording.tree.process(pid)
    assert process is not None
    return process


def test_the_daemons_are_the_roots_in_their_order() -> None:
    assert [root.pid for root in Recording().tree.roots] == [DOCKERD, CONTAINERD]


def test_a_daemon_whose_threads_are_unknown_is_in_the_tree_by_its_own_number() -> None:
    assert found(Recording(roots={DOCKERD: ()}), DOCKERD).tasks == {DOCKERD}


def test_what_a_thread_forks_is_its_processs_child() -> None:
    recording = Recording()
    recording.fork(1, DOCKERDS_THREAD, 50)
    assert [process.pid for process in found(recording, 50).ancestry()] == [50, DOCKERD]


def test_what_a_thread_made_later_forks_is_its_processs_child_too() -> None:
    recording = Recording()
    recording.fork(1, DOCKERDS_THREAD, 12, is_thread=True)
    recording.fork(2, 12, 50)
    assert [child.pid for child in found(recording, DOCKERD).children] == [50]


def test_a_thread_is_no_child() -> None:
    recording = Recording()
    recording.fork(1, DOCKERD, 12, is_thread=True)
    assert (found(recording, 12).pid, found(recording, DOCKERD).children) == (DOCKERD, [])


def test_what_a_stranger_forks_is_outside() -> None:
    recording = Recording()
    recording.fork(1, STRANGER, 50)
    assert recording.tree.process(50) is None


def test_events_of_strangers_are_passed_over() -> None:
    recording = Recording()
    recording.exec(1, STRANGER)
    recording.listen(2, STRANGER)
    recording.receive(3, STRANGER, 7)
    recording.exit(4, STRANGER)
    roots = recording.tree.roots
    assert [(root.execs, root.listens, root.receives, root.exit_ns) for root in roots] == [([], [], [], None)] * 2


def test_a_process_became_a_program_at_its_first_exec() -> None:
    recording = Recording()
    recording.fork(1, DOCKERD, 50)
    recording.exec(2, 50, "/bin/sh")
    recording.exec(3, 50, "/app")
    assert (found(recording, 50).exec_ns, [e.path for e in found(recording, 50).execs]) == (2 * MS, ["/bin/sh", "/app"])


def test_a_process_that_only_was_forked_is_no_program() -> None:
    recording = Recording()
    recording.fork(1, DOCKERD, 50)
    assert found(recording, 50).exec_ns is None


def test_sockets_are_the_processs_whose_thread_used_them() -> None:
    recording = Recording()
    recording.listen(1, DOCKERDS_THREAD, 80)
    recording.receive(2, DOCKERDS_THREAD, 7)
    root = found(recording, DOCKERD)
    assert ([found.port for found in root.listens], [found.received_bytes for found in root.receives]) == ([80], [7])


def test_a_process_lives_while_any_of_its_threads_does() -> None:
    recording = Recording()
    recording.exit(1, DOCKERD)
    assert found(recording, DOCKERDS_THREAD).exit_ns is None


def test_a_process_lives_on_in_a_thread_made_later() -> None:
    recording = Recording()
    recording.fork(1, DOCKERD, 50)
    recording.fork(2, 50, 51, is_thread=True)
    recording.exit(3, 50)
    assert found(recording, 51).exit_ns is None


def test_a_process_ends_with_its_last_thread_whichever_that_is() -> None:
    recording = Recording()
    recording.exit(1, DOCKERD)
    recording.exit(2, DOCKERDS_THREAD)
    assert recording.tree.roots[0].exit_ns == 2 * MS


def test_a_thread_that_ended_is_still_one_that_was() -> None:
    recording = Recording()
    recording.fork(1, DOCKERD, 50)
    recording.fork(2, 50, 51, is_thread=True)
    recording.exit(3, 51)
    assert (found(recording, 50).tasks, found(recording, 50).ever) == ({50}, {50, 51})


def test_a_process_that_ended_is_not_found_by_its_number() -> None:
    recording = Recording()
    recording.fork(1, DOCKERD, 50)
    recording.exit(2, 50)
    assert recording.tree.process(50) is None


def test_a_number_used_again_in_the_tree_is_another_process() -> None:
    recording = Recording()
    recording.run(DOCKERD, 50, "/first", 2, 3)
    recording.run(CONTAINERD, 50, "/second", 5)
    process = found(recording, 50)
    assert ([p.pid for p in process.ancestry()], [e.path for e in process.execs]) == ([50, CONTAINERD], ["/second"])


def test_a_number_used_again_by_a_stranger_is_no_longer_the_trees() -> None:
    """Its end may be told late, since CPUs tell independently."""
    recording = Recording()
    recording.run(DOCKERD, 50, "/ours", 2)
    recording.run(STRANGER, 50, "/theirs", 5)
    (ours,) = recording.tree.roots[0].children
    assert (recording.tree.process(50), [e.path for e in ours.execs]) == (None, ["/ours"])


def test_a_family_is_a_process_and_all_that_descend_from_it() -> None:
    recording = Recording()
    recording.fork(1, DOCKERD, 50)
    recording.fork(2, 50, 51)
    recording.fork(3, 51, 52)
    recording.fork(4, DOCKERD, 60)
    assert sorted(process.pid for process in found(recording, 50).family()) == [50, 51, 52]
