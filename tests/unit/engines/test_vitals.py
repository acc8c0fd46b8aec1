"""What of an engine died, hangs, or was started anew."""

from __future__ import annotations

import pytest

from coldstart.engines.vitals import Vitals
from coldstart.errors import EngineUnreachableError

DOCKERD, CONTAINERD, NEW = 5, 6, 9


class Daemons:
    """Two daemons, and what is wrong with them."""

    def __init__(self) -> None:
        self.pids: tuple[int, ...] = (DOCKERD, CONTAINERD)
        self.conditions: dict[int, str] = {}
        self.answers = True

    def ping(self) -> None:
        """Fails while nobody answers."""
        if not self.answers:
            raise EngineUnreachableError("unix:///x: no answer.")

    def vitals(self) -> Vitals:
        """The look at them."""
        return Vitals(lambda: self.pids, self.ping, "Start it.", self.conditions.get)


@pytest.fixture
def daemons() -> Daemons:
    """Both live."""
    return Daemons()


def test_of_daemons_that_live_and_answer_nothing_is_lost(daemons: Daemons) -> None:
    assert daemons.vitals().lost() is None


def test_an_engine_that_does_not_answer_is_named_by_the_daemon_that_is_to_blame(daemons: Daemons) -> None:
    vitals = daemons.vitals()
    daemons.answers, daemons.conditions = False, {}
    assert vitals.lost() == "unix:///x: no answer. Start it."


def test_a_daemon_that_is_stopped_is_named_with_its_process(daemons: Daemons) -> None:
    vitals = daemons.vitals()
    daemons.conditions[DOCKERD] = "is stopped"
    daemons.answers = False
    assert vitals.lost() == "dockerd (process 5) is stopped. Start it."


def test_a_containerd_that_is_gone_is_named_though_dockerd_answers_and_as_long_as_it_is_gone(daemons: Daemons) -> None:
    vitals = daemons.vitals()
    daemons.pids, daemons.conditions[CONTAINERD] = (DOCKERD,), "is gone"
    assert [vitals.lost(), vitals.lost()] == ["containerd (process 6) is gone. Start it."] * 2


def test_a_daemon_that_was_started_anew_is_told_once(daemons: Daemons) -> None:
    vitals = daemons.vitals()
    daemons.pids, daemons.conditions[CONTAINERD] = (DOCKERD, NEW), "is gone"
    assert vitals.lost() == "containerd (process 6) is gone. It was started anew meanwhile."
    assert vitals.lost() is None


def test_an_engine_whose_processes_cannot_be_seen_is_only_asked(daemons: Daemons) -> None:
    daemons.pids = ()
    vitals = daemons.vitals()
    assert vitals.lost() is None
    daemons.answers = False
    assert vitals.lost() == "unix:///x: no answer. Start it."
