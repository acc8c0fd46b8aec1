"""An app that answers later in the candidate, from the probe to the verdict: regression or inconclusive, never ok."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from coldstart.analyse.contest import series_of
from coldstart.analyse.gate import Call, Decision, judge
from coldstart.engines.base import Executed, Health, Timed
from coldstart.engines.fake import Delays, FakeEngine
from coldstart.model.cell import Side
from coldstart.model.rule import Rule
from coldstart.probes.base import Ready, poll
from tests.unit.analyse.sides import PAIR, frame, start
from tests.unit.factories import MS
from tests.unit.probes.test_healthcheck import Ward
from tests.unit.probes.test_probes import started, wait

SECOND_NS = 1_000_000_000


class App:
    """An app that listens after so many ms, on a clock of its own, and takes so long to answer its first caller."""

    def __init__(self, listens_ms: float, answers_ms: float) -> None:
        self.now_ns = 0
        self._listens_ns, self._answers_ns = round(listens_ms * MS), round(answers_ms * MS)

    def ready(self) -> Ready:
        """When and how exactly a probe sees it."""
        engine = FakeEngine()
        clock, sleep = (lambda: self.now_ns), self._sleep
        found = poll(self._attempt, engine, started(engine), 60 * SECOND_NS, 0, clock=clock, sleep=sleep)
        assert isinstance(found, Ready)
        return found

    def _attempt(self) -> str | None:
        is_listening = self.now_ns >= self._listens_ns
        self.now_ns += self._answers_ns if is_listening else 50_000
        return None if is_listening else "refused"

    def _sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


def decided(readies: Mapping[Side, Sequence[tuple[float, int | None]]], **metrics: float) -> Decision:
    """The call on starts that took so many ms with such a resolution."""
    rows = [
        start(PAIR, side, block, e2e_ms, probe_resolution_ns=resolution_ns)
        for side, ends in readies.items()
        for block, (e2e_ms, resolution_ns) in enumerate(ends)
    ]
    rule = Rule(metrics=metrics)
    return judge(series_of(frame(rows), [PAIR], rule), rule)[-1]


def answering(later_ms: float, n: int = 160) -> dict[Side, list[tuple[float, int | None]]]:
    """Starts of 183 ms, the candidate's first answer so much later."""
    rng = np.random.default_rng(11)
    found: dict[Side, list[tuple[float, int | None]]] = {}
    for side, more_ms in zip(Side, (0.0, later_ms), strict=True):
        readies = [App(40 + rng.normal(0, 4), 2 + more_ms).ready() for _ in range(n)]
        found[side] = [(141 + ready.at_ns / MS, ready.resolution_ns) for ready in readies]
    return found


@pytest.mark.parametrize("later_ms", [20, 50, 100, 200, 500, 2000])
def test_a_slower_first_answer_is_a_regression(later_ms: float) -> None:
    assert decided(answering(later_ms)).call is Call.REGRESSION


@pytest.mark.parametrize("later_ms", [100, 2000])
def test_a_slower_first_answer_is_a_regression_of_readiness_too(later_ms: float) -> None:
    decision = decided(answering(later_ms), readiness=0.2)
    assert (decision.name, decision.call) == (f"{PAIR.key}: readiness", Call.REGRESSION)


def test_an_equally_slow_first_answer_is_ok() -> None:
    assert decided(answering(0)).call is Call.OK


class Inside(FakeEngine):
    """A fake engine whose commands take so long and succeed."""

    def __init__(self, takes_ms: float) -> None:
        super().__init__(delays=Delays(create_s=0, start_s=0, listen_s=0))
        self._takes_s = takes_ms / 1000

    def execute(self, container_id: str, command: Sequence[str]) -> Timed[Executed]:  # noqa: ARG002
        begin_ns = time.monotonic_ns()
        time.sleep(self._takes_s)
        return Timed(begin_ns, time.monotonic_ns(), Executed(0, ""))


def resolution_of(kind: str, engine: FakeEngine) -> int | None:
    found = wait(kind, engine, started(engine))
    assert isinstance(found, Ready)
    return found.resolution_ns


def around(e2e_ms: float, resolution_ns: int | None, n: int = 40) -> list[tuple[float, int | None]]:
    return [(e2e_ms * (1 + 0.01 * np.sin(block)), resolution_ns) for block in range(n)]


@pytest.mark.parametrize(("later_ms", "call"), [(100, Call.INCONCLUSIVE), (300, Call.REGRESSION)])
def test_a_command_that_takes_longer_in_the_candidate_is_never_ok(later_ms: float, call: Call) -> None:
    quick, slow = (resolution_of("exec:check", Inside(takes_ms)) for takes_ms in (60, 60 + later_ms))
    decision = decided({Side.BASELINE: around(450, quick), Side.CANDIDATE: around(450 + later_ms, slow)})
    assert decision.call is call
    assert call is Call.REGRESSION or "this probe cannot resolve +5.0%" in decision.reason


@pytest.mark.parametrize(
    ("to_ms", "call"), [(2000, Call.INCONCLUSIVE), (6000, Call.INCONCLUSIVE), (9000, Call.REGRESSION)]
)
def test_a_first_health_check_that_passes_is_never_ok(to_ms: int, call: Call) -> None:
    def passed(after_ms: int) -> dict[str, Any]:
        engine = Ward(Health(status="healthy", passed_wall_ns=after_ms * MS, shortest_ns=50 * MS), started_wall_ns=0)
        return {"resolution_ns": resolution_of("healthcheck", engine)}

    decision = decided(
        {Side.BASELINE: around(2100, **passed(2000)), Side.CANDIDATE: around(to_ms + 100, **passed(to_ms))}
    )
    assert decision.call is call


def test_a_coarse_probe_says_nothing_of_phases_that_end_before_it_looks() -> None:
    slow = 400 * MS
    rows = [
        start(PAIR, side, block, 500 + block / 10, probe_resolution_ns=slow, create_ns=create_ms * MS + block)
        for side, create_ms in zip(Side, (30, 300), strict=True)
        for block in range(20)
    ]
    rule = Rule(metrics={"create": 0.2})
    assert judge(series_of(frame(rows), [PAIR], rule), rule)[1].call is Call.REGRESSION
