"""How a probe polls, by a clock that the test moves: which part of a start it could not see."""

from __future__ import annotations

import pytest

from coldstart.engines.fake import FakeEngine
from coldstart.probes.base import POLL_NS, NotReady, Ready, poll
from tests.unit.factories import MS
from tests.unit.probes.test_probes import started


class Polling:
    """Attempts that take so many ms each, the last of which succeeds, on a clock of their own."""

    def __init__(self, *attempts_ms: float, duty: float = 1.0) -> None:
        self.now_ns = 0
        self._lengths_ns = [round(length * MS) for length in attempts_ms]
        self._duty = duty
        self._left = len(attempts_ms)

    def ready(self, deadline_ms: float = 10_000) -> Ready | NotReady:
        """What the polling finds."""
        engine = FakeEngine()
        return poll(
            self._attempt,
            engine,
            started(engine),
            round(deadline_ms * MS),
            0,
            duty=self._duty,
            clock=lambda: self.now_ns,
            sleep=self._sleep,
        )

    def _attempt(self) -> str | None:
        self._left -= 1
        self.now_ns += self._lengths_ns.pop(0)
        return None if self._left == 0 else "not yet"

    def _sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@pytest.mark.parametrize("answer_ms", [1, 20, 400, 4000])
def test_what_an_app_takes_to_answer_is_no_part_of_the_resolution(answer_ms: float) -> None:
    found = Polling(0.1, 0.1, answer_ms).ready()
    assert isinstance(found, Ready)
    assert (found.resolution_ns, found.at_ns, found.attempts) == (POLL_NS, round((2 + answer_ms) * MS), 3)


def test_an_app_that_became_ready_while_an_attempt_failed_is_seen_by_the_next_one_only() -> None:
    found = Polling(0.1, 30, 5).ready()
    assert isinstance(found, Ready)
    assert found.resolution_ns == 30 * MS


def test_the_pause_after_a_long_attempt_is_part_of_the_resolution() -> None:
    found = Polling(30, 5, duty=0.5).ready()
    assert isinstance(found, Ready)
    assert found.resolution_ns == 60 * MS


def test_a_first_attempt_that_succeeds_leaves_nothing_unseen() -> None:
    found = Polling(7).ready()
    assert isinstance(found, Ready)
    assert (found.resolution_ns, found.at_ns) == (0, 7 * MS)


def test_what_passes_before_the_first_attempt_is_unseen() -> None:
    polling = Polling(7)
    polling.now_ns = 3 * MS
    found = polling.ready()
    assert isinstance(found, Ready)
    assert found.resolution_ns == 3 * MS


def test_at_the_deadline_polling_ends() -> None:
    found = Polling(*[1] * 50).ready(deadline_ms=5)
    assert isinstance(found, NotReady)
    assert (found.attempts, found.reason) == (5, "not yet")
