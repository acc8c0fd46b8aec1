"""Quality: sums are checked row by row, trials counted by how they ended."""

from __future__ import annotations

import pytest

from coldstart.analyse.quality import assess
from tests.unit.factories import make_cell
from tests.unit.tidy import failed, frame, row, starts


def test_sums_that_hold_are_checked_and_none_is_broken() -> None:
    found = assess(frame(starts(make_cell(), 100, 200)))
    assert (found.sums_checked, found.sums_broken) == (2, 0)


def test_a_sum_off_by_one_nanosecond_is_broken() -> None:
    found = assess(frame([row(), row(block=1, gap_ns=1)]))
    assert found.sums_broken == 1


def test_parts_of_pull_that_do_not_add_up_are_broken() -> None:
    found = assess(frame([row(pull_download_only_ns=5)]))
    assert (found.parts_checked, found.parts_broken) == (1, 1)


def test_parts_nobody_observed_are_not_checked() -> None:
    assert assess(frame([row(pull_other_ns=None)])).parts_checked == 0


def test_trials_are_counted_by_how_they_ended() -> None:
    spoilt = [failed(outcome="not_cold"), failed(outcome="exited"), failed(outcome="unobserved")]
    found = assess(frame([row(), row(warmup=True), *spoilt]))
    assert (found.attempts, found.ok, found.warmups) == (4, 1, 1)
    assert (found.requeued, found.failed, found.unseen) == (1, 1, 1)


@pytest.mark.parametrize(("requeued", "contaminated"), [(1, False), (2, True)])
def test_more_than_a_tenth_requeued_contaminates_the_run(requeued: int, contaminated: bool) -> None:
    rows = [*starts(make_cell(), *[100] * (10 - requeued)), *[failed(outcome="not_cold")] * requeued]
    assert assess(frame(rows)).contaminated is contaminated


def test_a_run_without_a_trial_is_not_contaminated() -> None:
    assert assess(frame([])).contaminated is False
