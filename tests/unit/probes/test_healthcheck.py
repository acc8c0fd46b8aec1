"""``healthcheck``: the engine's word, and how much later than the truth it may come."""

from __future__ import annotations

import time

import msgspec
import pytest

from coldstart.engines.base import ContainerState, Health
from coldstart.engines.fake import Delays, FakeEngine
from coldstart.probes.base import NotReady, Ready
from tests.unit.probes.test_probes import SECOND_NS, started, wait


class Ward(FakeEngine):
    """A fake engine whose containers' health is what the test says, one word a look, the last for ever."""

    def __init__(self, *told: Health | None) -> None:
        super().__init__(delays=Delays(create_s=0, start_s=0, listen_s=0))
        self._told = list(told)

    def state(self, container_id: str) -> ContainerState:
        health = self._told.pop(0) if len(self._told) > 1 else self._told[0]
        return msgspec.structs.replace(super().state(container_id), health=health)


STARTING, HEALTHY = Health(status="starting"), Health(status="healthy")


def test_it_is_ready_when_the_engine_calls_it_healthy() -> None:
    engine = Ward(STARTING, STARTING, HEALTHY)
    found = wait("healthcheck", engine, started(engine))
    assert (isinstance(found, Ready), found.attempts) == (True, 3)


def test_its_resolution_reaches_back_to_the_beginning_of_the_last_failed_check() -> None:
    failed = msgspec.structs.replace(HEALTHY, failed_wall_ns=time.time_ns() - 30 * SECOND_NS)
    engine = Ward(failed)
    found = wait("healthcheck", engine, started(engine))
    assert isinstance(found, Ready)
    assert 30 * SECOND_NS <= (found.resolution_ns or 0) < 40 * SECOND_NS


def test_without_a_failed_check_its_resolution_reaches_back_to_the_start() -> None:
    engine = Ward(HEALTHY)
    container_id = started(engine)
    time.sleep(0.05)
    found = wait("healthcheck", engine, container_id)
    assert isinstance(found, Ready)
    assert (found.resolution_ns or 0) >= 50_000_000


def test_a_wall_clock_that_was_set_back_leaves_the_interval_of_looking() -> None:
    engine = Ward(msgspec.structs.replace(HEALTHY, failed_wall_ns=time.time_ns() + 3600 * SECOND_NS))
    found = wait("healthcheck", engine, started(engine))
    assert isinstance(found, Ready)
    assert found.resolution_ns == 10_000_000


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
