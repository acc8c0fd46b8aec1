"""Which sources watch a run, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coldstart.engines.base import Capability
from coldstart.engines.fake import FakeEngine
from coldstart.errors import InvalidEnvironmentError
from coldstart.model.run import SourceFacts
from coldstart.runner import sources
from coldstart.runner.sources import CHOICES, Chosen, choose
from coldstart.trace.base import Observation, SpanSource, TrialWindow, WatchingUnavailableError


class Watched(FakeEngine):
    """A fake engine whose daemons can be seen."""

    def __init__(self, *pids: int) -> None:
        super().__init__()
        self.pids = pids

    def daemons(self) -> tuple[int, ...]:
        return self.pids


class Watching:
    """A source that is to be had."""

    def __init__(self, name: str, daemons: Callable[[], tuple[int, ...]]) -> None:
        self.facts = SourceFacts(name=name, resolution_ns=1, bias=f"the bias of {name}")
        self.daemons = daemons

    def begin(self) -> None:
        """Do nothing."""

    def end(self, window: TrialWindow) -> Observation:  # noqa: ARG002  it sees nothing
        return Observation()

    def abandon(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine with every source but those in it, which give the reason they are not to be had for."""
    obstacles: dict[str, str] = {}

    def opener(name: str) -> Callable[[Callable[[], tuple[int, ...]]], SpanSource]:
        def open_source(daemons: Callable[[], tuple[int, ...]]) -> SpanSource:
            if name in obstacles:
                raise WatchingUnavailableError(obstacles[name])
            return Watching(name, daemons)

        return open_source

    for name in sources._KERNEL:
        monkeypatch.setitem(sources._KERNEL, name, opener(name))
    return obstacles


def chosen(wanted: str, *pids: int) -> tuple[Chosen, list[str]]:
    said: list[str] = []
    return choose(Watched(*(pids or (1,))), wanted, said.append), said


def names(found: Chosen) -> list[str]:
    return [source.facts.name for source in found.sources]


def test_what_may_be_asked_for_is_the_best_or_any_by_name() -> None:
    assert CHOICES == ("auto", "trace", "proc", "engine")


def test_auto_takes_the_trace_and_the_engines_own() -> None:
    found, said = chosen("auto")
    assert (names(found), found.profile) == (["trace", "engine_log", "engine_api"], "trace")
    assert said == ["phases from source trace: the bias of trace"]


def test_auto_takes_the_next_best_where_the_best_is_not_to_be_had(machine: dict[str, str]) -> None:
    machine["trace"] = "no tracefs here"
    found, _ = chosen("auto")
    assert (names(found), found.profile) == (["proc", "engine_log", "engine_api"], "proc")


def test_auto_takes_the_engines_own_last_and_tells_by_name_why(machine: dict[str, str]) -> None:
    machine.update(trace="no tracefs here", proc="no connector")
    found, said = chosen("auto")
    assert (names(found), found.profile) == (["engine_log", "engine_api"], "engine")
    assert said[0].startswith("phases from source engine (trace: no tracefs here; proc: no connector): ")
    assert len(said) == 1


def test_the_engines_own_is_told_with_its_bias() -> None:
    _, said = chosen("engine")
    assert said == [f"phases from source engine: {chosen('engine')[0].sources[-1].facts.bias}"]


@pytest.mark.parametrize("name", ["trace", "proc"])
def test_a_source_that_is_asked_for_is_had_with_the_engines_own(name: str) -> None:
    found, _ = chosen(name)
    assert (names(found), found.profile) == ([name, "engine_log", "engine_api"], name)


def test_the_engines_own_alone_can_be_asked_for() -> None:
    found, _ = chosen("engine")
    assert (names(found), found.profile) == (["engine_log", "engine_api"], "engine")


@pytest.mark.parametrize("name", ["trace", "proc"])
def test_a_source_that_is_asked_for_and_not_to_be_had_is_an_error(machine: dict[str, str], name: str) -> None:
    machine[name] = "there is none"
    with pytest.raises(InvalidEnvironmentError, match=rf"^--source {name}: there is none\. Leave it out"):
        chosen(name)


def test_an_engine_without_a_readable_log_gives_its_api_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watched, "capabilities", FakeEngine.capabilities - {Capability.LAYER_LOG})
    assert names(chosen("engine")[0]) == ["engine_api"]


def test_a_source_watches_the_engines_daemons_as_they_are_when_it_asks() -> None:
    engine = Watched(1)
    source = choose(engine, "trace", lambda _: None).sources[0]
    assert isinstance(source, Watching)
    engine.pids = (2, 3)
    assert source.daemons() == (2, 3)


def test_an_engine_whose_daemons_cannot_be_seen_is_not_watched() -> None:
    said: list[str] = []
    found = choose(FakeEngine(), "auto", said.append)
    why = "the engine's processes cannot be seen from here"
    assert (found.profile, f"(trace: {why}; proc: {why})" in said[0]) == ("engine", True)


def test_watching_an_engine_whose_daemons_cannot_be_seen_is_an_error_where_it_is_asked_for() -> None:
    with pytest.raises(InvalidEnvironmentError, match="--source proc: the engine's processes cannot be seen from here"):
        choose(FakeEngine(), "proc", lambda _: None)
