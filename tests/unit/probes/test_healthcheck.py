"""``healthcheck``: the engine's word, and how much later than the truth it may come."""

from __future__ import annotations

import time

import msgspec
import pytest

from coldstart.engines.base import ContainerState, Health
from coldstart.engines.fake import Delays, FakeEngine
from coldstart.model.image import Healthcheck
from coldstart.probes.base import NotReady, Ready
from coldstart.probes.healthcheck import first_check_ns
from tests.unit.probes.test_probes import SECOND_NS, started, wait


class Ward(FakeEngine):
    """A fake engine whose containers' health is what the test says, one word a look, the last for ever."""

    def __init__(self, *told: Health | None, started_wall_ns: int | None = None) -> None:
        super().__init__(delays=Delays(create_s=0, start_s=0, listen_s=0))
        self._told = list(told)
        self._started_wall_ns = started_wall_ns

    def state(self, container_id: str) -> ContainerState:
        health = self._told.pop(0) if len(self._told) > 1 else self._told[0]
        state = super().state(container_id)
        started_wall_ns = state.started_wall_ns if self._started_wall_ns is None else self._started_wall_ns
        return msgspec.structs.replace(state, health=health, started_wall_ns=started_wall_ns)


STARTING, HEALTHY = Health(status="starting"), Health(status="healthy")


def test_it_is_ready_when_the_engine_calls_it_healthy() -> None:
    engine = Ward(STARTING, STARTING, HEALTHY)
    found = wait("healthcheck", engine, started(engine))
    assert (isinstance(found, Ready), found.attempts) == (True, 3)


POLL_NS = 10_000_000


def checked(*, passed_s: int, failed_s: int | None = None, shortest_ns: int = 0) -> Health:
    """A container that is healthy since a check that began at second ``passed_s`` of the engine's clock."""
    failed_wall_ns = None if failed_s is None else failed_s * SECOND_NS
    return Health(
        status="healthy", failed_wall_ns=failed_wall_ns, passed_wall_ns=passed_s * SECOND_NS, shortest_ns=shortest_ns
    )


def resolution_ns(health: Health, started_s: int = 0) -> int | None:
    engine = Ward(health, started_wall_ns=started_s * SECOND_NS)
    found = wait("healthcheck", engine, started(engine))
    assert isinstance(found, Ready)
    return found.resolution_ns


def test_its_resolution_is_from_the_beginning_of_the_last_failed_check_to_that_of_the_one_that_passed() -> None:
    assert resolution_ns(checked(failed_s=30, passed_s=60), started_s=1) == 30 * SECOND_NS + POLL_NS


def test_what_the_shortest_check_took_is_unseen_too_and_what_another_took_longer_is_the_apps() -> None:
    assert resolution_ns(checked(failed_s=1, passed_s=2, shortest_ns=7)) == SECOND_NS + 7 + POLL_NS


def test_without_a_failed_check_its_resolution_reaches_back_to_the_start() -> None:
    assert resolution_ns(checked(passed_s=7), started_s=5) == 2 * SECOND_NS + POLL_NS


def test_an_engines_clock_that_was_set_back_leaves_the_interval_of_looking() -> None:
    assert resolution_ns(checked(failed_s=3600, passed_s=1)) == POLL_NS


def test_where_the_engine_does_not_say_when_it_checked_all_the_time_waited_is_unseen() -> None:
    engine = Ward(STARTING, STARTING, STARTING, HEALTHY)
    begin_ns = time.monotonic_ns()
    found = wait("healthcheck", engine, started(engine))
    assert isinstance(found, Ready)
    assert 3 * POLL_NS <= (found.resolution_ns or 0) <= time.monotonic_ns() - begin_ns


@pytest.mark.parametrize(
    ("health", "reason"),
    [
        (None, "healthcheck: the image has no HEALTHCHECK, so the engine never calls it healthy. Build one in"),
        (Health(status="unhealthy"), "healthcheck: unhealthy: as many checks in a row failed as the image allows"),
        (Health(status="unhealthy", output="a\nb\n"), "asks until --timeout; the last check said: b"),
    ],
)
def test_what_will_not_become_healthy_is_told_at_once(health: Health | None, reason: str) -> None:
    engine = Ward(health)
    found = wait("healthcheck", engine, started(engine), within_ns=60 * SECOND_NS)
    assert isinstance(found, NotReady)
    assert reason in found.reason


def test_at_the_deadline_it_still_starts() -> None:
    engine = Ward(Health(status="starting", output="refused\n"))
    found = wait("healthcheck", engine, started(engine), within_ns=SECOND_NS // 50)
    assert isinstance(found, NotReady)
    assert found.reason == "healthcheck: still starting; the last check said: refused"


def test_a_container_that_ended_is_not_waited_for() -> None:
    engine = Ward(STARTING)
    found = wait("healthcheck", engine, started(engine, variant="exits"), within_ns=60 * SECOND_NS)
    assert isinstance(found, NotReady)
    assert found.state is not None
    assert found.state.exit_code == 3


@pytest.mark.parametrize(("variant", "kind"), [("checked", Ready), ("unhealthy", NotReady), ("alpine", NotReady)])
def test_the_fake_engines_images_are_healthy_by_their_variant(variant: str, kind: type) -> None:
    engine = FakeEngine()
    assert isinstance(wait("healthcheck", engine, started(engine, variant=variant)), kind)


@pytest.mark.parametrize(
    ("check", "api_version", "first_s"),
    [
        (Healthcheck(), "1.51", 30),
        (Healthcheck(interval_ns=2 * SECOND_NS), "1.51", 2),
        (Healthcheck(start_period_ns=1), "1.44", 5),
        (Healthcheck(start_period_ns=1, start_interval_ns=SECOND_NS), "1.44", 1),
        (Healthcheck(start_period_ns=1, start_interval_ns=SECOND_NS), "1.43", 30),
        (Healthcheck(start_interval_ns=SECOND_NS, interval_ns=3 * SECOND_NS), "1.51", 3),
        (Healthcheck(start_period_ns=1), None, 30),
    ],
)
def test_the_first_check_comes_when_dockers_monitor_runs_it(
    check: Healthcheck, api_version: str | None, first_s: int
) -> None:
    """A start period shortens the first interval since Docker 25."""
    assert first_check_ns(check, api_version) == first_s * SECOND_NS
