"""Absolute budgets: what a run's judgements come to, and that nothing measured is never a pass."""

from __future__ import annotations

from typing import Any

import pytest

from coldstart.analyse.budgets import budget_code
from coldstart.analyse.cells import summarise
from coldstart.analyse.targets import judge, overviews
from coldstart.model.cell import Tier
from coldstart.model.target import Conditions, Statistic, Target
from tests.unit import tidy
from tests.unit.factories import MS, make_cell

WARM, COLD = make_cell(tier=Tier.WARM), make_cell()
STARTS = tidy.starts(WARM, 100, 101, 102, 103, 104, 105, 106, 107)


def budget(limit_ms: float, **fields: Any) -> Target:
    defaults = {
        "id": "ready",
        "claim": "ready in time",
        "metric": "e2e_ns",
        "statistic": Statistic.MEDIAN,
        "applies_to": Conditions(tier=Tier.WARM),
    }
    return Target(**{**defaults, "limit": limit_ms * MS, **fields})


def code(rows: list[dict[str, Any]], *targets: Target) -> tuple[int, str]:
    frame = tidy.frame(rows)
    return budget_code(frame, summarise(frame), overviews(judge(targets, frame, ())))


def test_every_budget_met_is_0() -> None:
    assert code(STARTS, budget(200)) == (0, "every budget is met")


def test_one_missed_is_1_whatever_the_others_are() -> None:
    found = code(STARTS, budget(200), budget(50, id="tight"), budget(103.5, id="unsure"))
    assert found == (1, "tight is missed (1 of 3 judgements)")


def test_an_interval_on_both_sides_of_the_limit_is_3() -> None:
    assert code(STARTS, budget(103.5)) == (3, "ready: undecided")


def test_other_conditions_than_those_of_the_budget_are_3() -> None:
    other = budget(200, applies_to=Conditions(tier=Tier.WARM, engine="containerd"))
    assert code(STARTS, other) == (3, "ready: not like for like")


def test_a_budget_that_nothing_was_measured_for_is_4() -> None:
    found = code(STARTS, budget(200), budget(200, id="cold", applies_to=Conditions(tier=Tier.ABSENT)))
    assert found == (4, "cold: not measured in this run")


def test_what_was_not_measured_comes_before_what_is_undecided() -> None:
    found = code(STARTS, budget(103.5), budget(200, id="cold", applies_to=Conditions(tier=Tier.ABSENT)))
    assert found == (4, "cold: not measured in this run")


def test_a_metric_that_nobody_told_is_4() -> None:
    silent = [{**row, "init_ns": None} for row in STARTS]
    assert code(silent, budget(200, metric="init_ns")) == (4, "ready: not measured in this run")


def test_a_run_of_warm_up_blocks_only_is_4() -> None:
    assert code([{**row, "warmup": True} for row in STARTS], budget(200))[0] == 4


def test_no_budget_at_all_is_4() -> None:
    assert code(STARTS) == (4, "nothing: not measured in this run")


def test_a_start_that_failed_meets_no_budget() -> None:
    found = code([*STARTS, tidy.failed(WARM, 9)], budget(200))
    assert found == (1, f"{WARM.key}: 1 starts failed; a failed start meets no budget")


def test_a_start_that_failed_in_a_cell_without_a_budget_is_no_matter() -> None:
    assert code([*STARTS, tidy.failed(COLD, 0)], budget(200))[0] == 0


def test_a_cell_in_which_every_start_failed_is_1() -> None:
    assert code([tidy.failed(WARM, block) for block in range(3)], budget(200))[0] == 1


@pytest.mark.parametrize(("limit", "expected"), [(200, 4), (50, 1)])
def test_a_contaminated_run_passes_nothing_but_a_miss_stands(limit: float, expected: int) -> None:
    spoilt = [tidy.failed(WARM, 9, "not_quiet") for _ in range(2)]
    assert code([*STARTS, *spoilt], budget(limit))[0] == expected


def test_a_contaminated_run_is_that_before_anything_was_not_measured() -> None:
    spoilt = [tidy.failed(WARM, 9, "not_quiet") for _ in range(2)]
    found = code([*STARTS, *spoilt], budget(200, applies_to=Conditions(tier=Tier.ABSENT)))
    assert found == (4, "the run is contaminated: more than a tenth of its starts had to be repeated")


def test_a_failed_start_stands_in_a_contaminated_run_too() -> None:
    spoilt = [tidy.failed(WARM, 9, outcome) for outcome in ("not_quiet", "not_cold", "exited")]
    assert code([*STARTS, *spoilt], budget(200))[0] == 1


def test_a_start_that_had_to_be_repeated_is_no_failure() -> None:
    assert code([*STARTS, *tidy.starts(WARM, 100, 101), tidy.failed(WARM, 9, "throttled")], budget(200))[0] == 0


def test_a_miss_is_told_before_a_failure() -> None:
    found = code([*STARTS, tidy.failed(WARM, 9)], budget(50))
    assert found == (1, "ready is missed (1 of 1 judgements)")


def test_claims_that_are_only_shown_are_no_budget() -> None:
    for rows in (STARTS, [*STARTS, tidy.failed(WARM, 9)]):
        assert code(rows, budget(1, verdict=False)) == (4, "nothing: not measured in this run")


def test_a_start_that_failed_in_the_denominator_of_a_ratio_meets_no_budget() -> None:
    crun = make_cell(tier=Tier.WARM, runtime="crun")
    ratio = budget(
        1,
        limit=1.5,
        statistic=Statistic.RATIO,
        applies_to=Conditions(runtime="crun"),
        against=Conditions(runtime="runc"),
    )
    rows = [*STARTS, *tidy.starts(crun, *range(90, 98))]
    assert code(rows, ratio)[0] == 0
    assert code([*rows, tidy.failed(WARM, 9)], ratio)[0] == 1
    assert code([*rows, tidy.failed(crun, 9)], ratio)[0] == 1


def test_an_engine_that_was_lost_passes_nothing_and_is_no_failure_of_the_image() -> None:
    found = code([*STARTS, tidy.failed(WARM, 9, "engine_lost")], budget(200))
    assert found == (4, "the engine or the registry was lost in 1 starts")


@pytest.mark.parametrize("outcome", ["unobserved", "harness_failed"])
def test_starts_that_say_nothing_about_the_image_pass_nothing_and_are_no_failure_of_it(outcome: str) -> None:
    found = code([*STARTS, tidy.failed(WARM, 9, outcome)], budget(200))
    assert found == (4, "1 starts were not observed, or coldstart itself failed in them")
