"""What starts that had to be repeated say of a run."""

from __future__ import annotations

import pytest

from coldstart.model.cell import Cell, Side, Tier
from coldstart.model.repeats import Repeats, repeats_of
from coldstart.model.sample import Outcome
from tests.unit.factories import make_cell, make_sample, make_trial

ABSENT, WARM = make_cell(tier=Tier.ABSENT), make_cell(tier=Tier.WARM)


def repeats(*outcomes: Outcome, cell: Cell = WARM, found: Repeats | None = None) -> Repeats:
    """Starts of the cell, one after the other."""
    found = found or Repeats()
    for outcome in outcomes:
        found.note((None, cell), outcome, reason=f"why {outcome}")
    return found


@pytest.mark.parametrize(("spoilt", "contaminated"), [(0, False), (1, False), (2, True)])
def test_a_run_is_contaminated_if_more_than_a_tenth_was_repeated(spoilt: int, contaminated: bool) -> None:
    found = repeats(*[Outcome.OK] * (10 - spoilt), *[Outcome.NOT_QUIET] * spoilt)
    assert (found.attempts, found.requeued, found.is_contaminated) == (10, spoilt, contaminated)


def test_failures_contaminate_nothing() -> None:
    assert not repeats(*[Outcome.EXITED] * 9).is_contaminated


def test_a_run_without_starts_is_not_contaminated() -> None:
    assert (Repeats().is_contaminated, Repeats().disturbance, Repeats().end(100)) == (False, "", None)


def test_starts_of_a_warm_up_are_not_counted() -> None:
    warmup = make_sample(make_trial(cell=WARM, warmup=True), outcome=Outcome.THROTTLED)
    assert (repeats_of([warmup]).attempts, repeats_of([warmup]).requeued) == (0, 0)


def test_a_cell_is_never_cold_from_three_attempts_on_and_is_not_counted() -> None:
    assert repeats(*[Outcome.NOT_COLD] * 2).never_cold == {}
    found = repeats(*[Outcome.NOT_COLD] * 3, cell=ABSENT, found=repeats(Outcome.OK))
    assert found.never_cold == {(None, ABSENT): "why not_cold"}
    assert (found.attempts, found.requeued, found.is_contaminated) == (1, 0, False)


@pytest.mark.parametrize("once", [Outcome.OK, Outcome.THROTTLED, Outcome.EXITED])
def test_a_cell_that_was_cold_once_or_failed_otherwise_is_counted(once: Outcome) -> None:
    found = repeats(*[Outcome.NOT_COLD] * 3, once, *[Outcome.NOT_COLD] * 3)
    assert (found.never_cold, found.attempts) == ({}, 7)


@pytest.mark.parametrize("other", [Outcome.NOT_QUIET, Outcome.ENGINE_LOST])
def test_what_ended_before_the_proof_says_nothing_of_it(other: Outcome) -> None:
    assert repeats(other, *[Outcome.NOT_COLD] * 3).never_cold != {}


def test_the_two_sides_of_one_cell_are_told_apart() -> None:
    found = Repeats()
    for _ in range(3):
        found.note((Side.BASELINE, ABSENT), Outcome.NOT_COLD)
        found.note((Side.CANDIDATE, ABSENT), Outcome.OK)
    assert set(found.never_cold) == {(Side.BASELINE, ABSENT)}
    assert found.attempts == 3


def test_nothing_comes_of_a_run_whose_first_six_starts_found_no_quiet_machine() -> None:
    assert repeats(*[Outcome.NOT_QUIET] * 5).end(None) is None
    assert repeats(*[Outcome.NOT_QUIET, Outcome.THROTTLED, Outcome.CLOCK_MOVED] * 2).end(None) is not None


@pytest.mark.parametrize("good", [[Outcome.OK], [Outcome.EXITED]])
def test_a_machine_that_was_fit_once_may_become_so_again(good: list[Outcome]) -> None:
    assert repeats(*good, *[Outcome.NOT_QUIET] * 5).end(None) is None


def test_nothing_comes_of_a_run_whose_starts_are_mostly_repeated() -> None:
    good, bad = [Outcome.OK] * 9, [Outcome.NOT_QUIET]
    assert repeats(*good, *bad * 10).end(None) is None  # 19 starts say little
    assert repeats(*good, Outcome.OK, *bad * 10).end(None) is None  # half of them
    assert (repeats(*good, *bad * 11).end(None) or "").startswith("most starts have to be repeated: 11 of 20")


def test_nothing_comes_of_a_run_that_stays_contaminated_however_the_rest_goes() -> None:
    found = repeats(Outcome.OK, *[Outcome.NOT_QUIET] * 6)
    assert found.end(53) is None  # 6 of 60
    assert (found.end(52) or "").startswith("too many starts had to be repeated")
    assert found.end(None) is None


def test_a_short_run_goes_on_after_a_few_repeats() -> None:
    assert repeats(Outcome.OK, *[Outcome.NOT_QUIET] * 5).end(0) is None


def test_a_cell_that_was_not_cold_so_far_ends_no_run() -> None:
    found = repeats(Outcome.OK, found=repeats(*[Outcome.NOT_COLD] * 30, cell=ABSENT))
    assert found.end(10) is None


def test_what_disturbs_is_counted_by_kind_with_the_cell_and_the_last_reason() -> None:
    found = repeats(Outcome.OK, Outcome.NOT_COLD, found=repeats(Outcome.NOT_QUIET, Outcome.NOT_QUIET, cell=ABSENT))
    assert found.disturbance == (
        f"3 of 4 starts had to be repeated (2 not quiet, 1 not cold, 2 of them of {ABSENT.key}). The last: why not_cold"
    )
