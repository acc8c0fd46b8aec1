"""Trials of the selftest, one after the other, for as long as anything can come of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from coldstart.model.repeats import Repeats
from coldstart.model.sample import Outcome
from coldstart.truth.workbench import run_blocks
from tests.unit.factories import make_cell


class Bench:
    """Takes the place of a workbench: every start ends in the same way."""

    def __init__(self, outcome: Outcome) -> None:
        self.bench = SimpleNamespace(engine=SimpleNamespace(sweep=lambda: 0))
        self.repeats = Repeats()
        self._outcome = outcome

    def run(self, _arm: object, block: int, position: int) -> Any:
        """A trial of up to three starts."""
        for _ in range(3 if self._outcome.is_requeued else 1):
            self.repeats.note((None, make_cell()), self._outcome, reason="busy")
        return block, position


def run(outcome: Outcome) -> list[Any]:
    arms: Any = [("a", "b", "c")] * 4
    bench: Any = Bench(outcome)
    return list(run_blocks(bench, arms))


def test_every_arm_of_every_block_is_run() -> None:
    assert run(Outcome.OK) == [(block, position) for block in range(4) for position in range(3)]


def test_a_machine_that_is_never_quiet_ends_it_after_a_few_waits() -> None:
    assert run(Outcome.NOT_QUIET) == [(0, 0), (0, 1)]
