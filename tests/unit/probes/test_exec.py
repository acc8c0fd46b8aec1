"""``exec:COMMAND``: one command at a time, for as long as it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest

from coldstart.engines.base import Executed, Timed
from coldstart.engines.fake import Delays, FakeEngine
from coldstart.errors import EngineError, EngineUnreachableError
from coldstart.probes.base import NotReady, Ready
from tests.unit.probes.test_probes import SECOND_NS, started, wait


class Inside(FakeEngine):
    """A fake engine in whose containers commands end as the test says; ``ran`` holds those that were run."""

    def __init__(self, behave: Callable[[int], Executed]) -> None:
        super().__init__(delays=Delays(create_s=0, start_s=0, listen_s=0))
        self.ran: list[tuple[str, ...]] = []
        self.spans_ns: list[tuple[int, int]] = []
        self._behave = behave

    def execute(self, container_id: str, command: Sequence[str]) -> Timed[Executed]:  # noqa: ARG002
        begin_ns = time.monotonic_ns()
        self.ran.append(tuple(command))
        ended = self._behave(len(self.ran))
        self.spans_ns.append((begin_ns, time.monotonic_ns()))
        return Timed(*self.spans_ns[-1], ended)


def code(number: int, output: str = "") -> Callable[[int], Executed]:
    """A command that always ends so."""
    return lambda _count: Executed(number, output)


def third(_count: int) -> Executed:
    """A command that takes 5 ms and succeeds at the third attempt."""
    time.sleep(0.005)
    return Executed(0 if _count == 3 else 1, "")


def test_it_is_ready_at_the_first_exit_code_0() -> None:
    engine = Inside(third)
    found = wait("exec:check", engine, started(engine))
    assert (isinstance(found, Ready), found.attempts) == (True, 3)


def test_its_resolution_is_from_the_last_failures_beginning_to_the_successs_and_one_attempt_besides() -> None:
    engine = Inside(third)
    found = wait("exec:check", engine, started(engine))
    assert isinstance(found, Ready)
    assert found.at_ns >= engine.spans_ns[-1][1]
    assert (found.resolution_ns or 0) >= 15_000_000  # a failed attempt, as long a pause, and the shortest attempt


def test_a_command_that_succeeds_at_once_could_not_see_the_app_while_it_entered() -> None:
    def slow(_count: int) -> Executed:
        time.sleep(0.02)
        return Executed(0, "")

    engine = Inside(slow)
    found = wait("exec:check", engine, started(engine))
    assert isinstance(found, Ready)
    assert (found.resolution_ns or 0) >= 20_000_000


def test_what_an_attempt_takes_longer_than_the_shortest_is_the_apps_own_time() -> None:
    def later(count: int) -> Executed:
        time.sleep(0 if count == 1 else 2.5)
        return Executed(0 if count == 2 else 1, "")

    engine = Inside(later)
    found = wait("exec:check", engine, started(engine), within_ns=30 * SECOND_NS)
    assert isinstance(found, Ready)
    (_, first_ns), (began_ns, _) = engine.spans_ns
    assert (found.resolution_ns or 0) < began_ns - first_ns + 2 * SECOND_NS


def test_attempts_never_overlap_and_leave_the_machine_half_of_the_time() -> None:
    engine = Inside(third)
    wait("exec:check", engine, started(engine))
    for (begin_ns, end_ns), (next_ns, _) in zip(engine.spans_ns, engine.spans_ns[1:], strict=False):
        assert next_ns - end_ns >= end_ns - begin_ns


def test_the_command_is_split_as_a_shell_would() -> None:
    engine = Inside(code(0))
    wait("""exec:sh -c 'a "b c"' d""", engine, started(engine))
    assert engine.ran == [("sh", "-c", 'a "b c"', "d")]


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (code(1), "exec:check: exit code 1"),
        (code(126, "first\nno such file\n"), "exec:check: exit code 126; its last line: no such file"),
        (code(1, "\n\n"), "exec:check: exit code 1"),
    ],
)
def test_a_failure_is_told_with_its_code_and_last_words(behave: Callable[[int], Executed], reason: str) -> None:
    engine = Inside(behave)
    found = wait("exec:check", engine, started(engine), within_ns=SECOND_NS // 50)
    assert isinstance(found, NotReady)
    assert found.reason == reason


def test_a_command_that_hangs_is_left_at_the_deadline() -> None:
    released = threading.Event()

    def hang(_count: int) -> Executed:
        released.wait(30)
        return Executed(0, "")

    engine = Inside(hang)
    found = wait("exec:check", engine, started(engine), within_ns=SECOND_NS // 50)
    released.set()
    assert isinstance(found, NotReady)
    assert (found.reason, found.attempts) == ("exec:check: the command still ran", 1)


def test_what_the_deadline_cuts_short_does_not_hide_what_was_seen_before() -> None:
    released = threading.Event()

    def hang(count: int) -> Executed:
        if count > 1:
            released.wait(30)
        return Executed(7, "")

    engine = Inside(hang)
    found = wait("exec:check", engine, started(engine), within_ns=SECOND_NS // 50)
    released.set()
    assert isinstance(found, NotReady)
    assert found.reason == "exec:check: exit code 7"


def test_a_container_that_ended_is_not_waited_for() -> None:
    engine = FakeEngine()
    found = wait("exec:check", engine, started(engine, variant="exits"), within_ns=60 * SECOND_NS)
    assert isinstance(found, NotReady)
    assert "is not running" in found.reason
    assert found.state is not None
    assert found.state.exit_code == 3


def test_an_engine_that_refuses_a_command_is_asked_again() -> None:
    def refuse(count: int) -> Executed:
        if count == 1:
            raise EngineError("exec: busy")
        return Executed(0, "")

    engine = Inside(refuse)
    found = wait("exec:check", engine, started(engine))
    assert (isinstance(found, Ready), found.attempts) == (True, 2)


def test_an_engine_that_is_gone_is_not_asked_again() -> None:
    def gone(_count: int) -> Executed:
        raise EngineUnreachableError("gone")

    engine = Inside(gone)
    with pytest.raises(EngineUnreachableError):
        wait("exec:check", engine, started(engine))


def test_the_fake_engines_own_app_becomes_ready() -> None:
    engine = FakeEngine()
    assert isinstance(wait("exec:check", engine, started(engine, variant="alpine")), Ready)
