"""One stored run judged against another, and imported times against others: what is paired, refused and counted."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from coldstart.analyse.counters import Limit
from coldstart.analyse.stored import Measured, conclude_runs, conclude_times
from coldstart.analyse.verdict import EXIT_CODES, Outcome, Verdict
from coldstart.errors import UsageError
from coldstart.model.cell import Cell, Tier
from coldstart.model.options import ContainerOptions
from coldstart.model.probe import ProbeSpec
from coldstart.model.rule import Rule
from coldstart.store.imported import Times
from tests.unit import tidy
from tests.unit.analyse.sides import frame
from tests.unit.factories import MS, make_cell, make_experiment, make_host, make_image, make_manifest

WARM = make_cell(tier=Tier.WARM)
COLD = make_cell(tier=Tier.ABSENT)
STEADY = [100 + n / 1000 for n in range(10)]
SLOWER = [value * 1.2 for value in STEADY]


def rows(values_ms: list[float], cell: Cell = WARM, **fields: Any) -> list[dict[str, Any]]:
    said = {"attempt": 0, "probe_resolution_ns": 1 * MS, **fields}
    return [tidy.row(cell, block, round(value * MS), **said) for block, value in enumerate(values_ms)]


def failed(block: int, cell: Cell = WARM, outcome: str = "never_ready") -> dict[str, Any]:
    return tidy.failed(cell, block, outcome, attempt=0)


def measured(table: list[dict[str, Any]], **fields: Any) -> Measured:
    return Measured(manifest=make_manifest(**fields), frame=frame(table))


def verdict(baseline: Measured, candidate: Measured, *limits: Limit, rule: Rule | None = None) -> Verdict:
    return conclude_runs(baseline, candidate, rule or Rule(), limits)


def test_a_run_that_is_not_slower_is_ok_and_labelled_unpaired() -> None:
    found = verdict(measured(rows(STEADY), run_id="one"), measured(rows(STEADY), run_id="two"))
    assert (found.outcome, EXIT_CODES[found.outcome], found.paired) == (Outcome.OK, 0, False)
    assert (found.run_id, found.source, found.blocks) == ("two against one", "engine", 0)
    assert (found.attempts, found.failed, found.requeued) == (20, 0, 0)
    assert found.reasons == (f"{WARM.key}: not slower by more than +5.0%",)
    assert {effect.paired for effect in found.effects} == {False}


def test_a_slower_run_is_a_regression_with_the_phase_that_moved() -> None:
    slower = rows(STEADY)
    for row in slower:
        row.update(e2e_ns=row["e2e_ns"] + 20 * MS, readiness_ns=row["readiness_ns"] + 20 * MS)
    found = verdict(measured(rows(STEADY)), measured(slower))
    assert (found.outcome, EXIT_CODES[found.outcome]) == (Outcome.REGRESSION, 1)
    assert {name: phase.column for name, phase in found.moved.items()} == {WARM.key: "readiness_ns"}


def test_the_first_run_is_the_baseline() -> None:
    found = verdict(measured(rows(SLOWER)), measured(rows(STEADY)))
    assert found.outcome is Outcome.OK
    assert found.decisions[0].ratio is not None
    assert found.decisions[0].ratio.value == pytest.approx(1 / 1.2, rel=0.01)


def test_warm_up_starts_do_not_count() -> None:
    warmups = rows(SLOWER, warmup=True)
    found = verdict(measured(rows(STEADY)), measured([*warmups, *rows(STEADY)]))
    assert (found.outcome, found.attempts) == (Outcome.OK, 20)


def test_a_cell_that_the_candidate_lacks_is_never_a_pass() -> None:
    found = verdict(measured([*rows(STEADY), *rows(STEADY, COLD)]), measured(rows(STEADY)))
    assert (found.outcome, EXIT_CODES[found.outcome]) == (Outcome.INVALID, 4)
    assert found.reasons == (f"{COLD.key}: nothing was timed of both sides",)


def test_a_cell_that_only_the_candidate_has_is_passed_over() -> None:
    found = verdict(measured(rows(STEADY)), measured([*rows(STEADY), *rows(SLOWER, COLD)]))
    assert (found.outcome, [one.name for one in found.decisions]) == (Outcome.OK, [WARM.key])


def test_runs_with_no_cell_in_common_are_never_a_pass() -> None:
    assert verdict(measured(rows(STEADY)), measured(rows(STEADY, COLD))).outcome is Outcome.INVALID


def test_two_failures_of_the_candidate_are_a_regression_and_spoilt_starts_are_none() -> None:
    fails = [failed(20), failed(21)]
    found = verdict(measured(rows(STEADY)), measured([*rows(STEADY), *fails]))
    assert (found.outcome, found.failed) == (Outcome.REGRESSION, 2)
    found = verdict(measured(rows(STEADY)), measured([*rows(STEADY), failed(20, outcome="not_quiet")]))
    assert (found.outcome, found.failed, found.requeued) == (Outcome.OK, 0, 1)


@pytest.mark.parametrize(("starts", "outcome"), [(10, Outcome.INCONCLUSIVE), (9, Outcome.INVALID)])
def test_a_start_that_nobody_observed_is_never_ok(starts: int, outcome: Outcome) -> None:
    """One of ten is not more than a tenth, one of nine is."""
    unseen = failed(20, outcome="unobserved")
    found = verdict(measured(rows(STEADY)), measured([*rows(STEADY[: starts - 1]), unseen]))
    assert (found.outcome, found.repeats[0].candidate_unseen, found.failed, found.unseen) == (outcome, 1, 0, 1)


def test_a_limit_on_an_image_that_the_candidates_manifest_lacks_is_never_a_pass() -> None:
    here = measured(rows(STEADY), images=(make_image(WARM.workload, WARM.variant),))
    lacking = measured(rows(STEADY), images=())
    for baseline, candidate in ((here, lacking), (lacking, here)):
        found = verdict(baseline, candidate, Limit(counter="pull-bytes", text="+5%"))
        assert (found.outcome, [check.passed for check in found.counters]) == (Outcome.INVALID, [None])


def test_a_run_with_too_many_repeated_starts_is_contaminated_and_names_its_side() -> None:
    spoilt = [failed(20, outcome="not_quiet"), failed(21, outcome="not_cold"), failed(22, outcome="throttled")]
    found = verdict(measured([*rows(STEADY), *spoilt]), measured(rows(STEADY)))
    assert (found.outcome, EXIT_CODES[found.outcome]) == (Outcome.CONTAMINATED, 4)
    assert found.reasons == (
        "baseline: 3 of 13 starts had to be repeated (1 not quiet, 1 not cold, 1 throttled). The last: synthetic",
    )
    assert (found.contamination.requeued, found.contamination.attempts) == (3, 23)


def test_phases_are_gated_where_a_side_has_them() -> None:
    rule = Rule(max_slowdown=10, metrics={"readiness": 0.5})
    slow = [{**row, "readiness_ns": row["readiness_ns"] * 2} for row in rows(STEADY)]
    found = verdict(measured(rows(STEADY)), measured(slow), rule=rule)
    assert [one.name for one in found.decisions] == [WARM.key, f"{WARM.key}: readiness"]
    assert (found.outcome, found.decisions[1].tolerated) == (Outcome.REGRESSION, 0.5)


def test_a_phase_that_starts_of_one_run_lack_is_never_ok() -> None:
    steady = [100 + n / 1000 for n in range(60)]
    lacking = [{**row, "readiness_ns": None} if row["block"] < 30 else row for row in rows(steady)]
    found = verdict(measured(rows(steady)), measured(lacking), rule=Rule(metrics={"readiness": 0.5}))
    assert (found.outcome, found.missing[0].candidate_missing) == (Outcome.INCONCLUSIVE, 30)


def test_a_phase_that_no_cell_has_is_never_a_pass() -> None:
    silent = rows(STEADY, init_ns=None)
    found = verdict(measured(silent), measured(silent), rule=Rule(metrics={"init": 0.5}))
    assert (found.outcome, found.reasons) == (Outcome.INVALID, ("init: no cell of this gate has that phase",))


def test_a_phase_that_only_pulls_have_is_refused_where_nobody_pulls() -> None:
    with pytest.raises(UsageError, match="only starts of tier absent pull"):
        verdict(measured(rows(STEADY)), measured(rows(STEADY)), rule=Rule(metrics={"pull": 0.5}))


def test_a_cells_own_tolerance_and_the_floor_are_kept() -> None:
    found = verdict(measured(rows(STEADY)), measured(rows(SLOWER)), rule=Rule(cells={"warm": 0.4}))
    assert (found.outcome, found.decisions[0].tolerated) == (Outcome.OK, 0.4)
    coarse, fine = rows(STEADY, probe_resolution_ns=10 * MS), rows(STEADY)
    found = verdict(measured(coarse), measured(fine))
    assert found.decisions[0].tolerated == pytest.approx(0.2, rel=0.01)
    assert (found.outcome, "cannot resolve +5.0%" in found.reasons[0]) == (Outcome.INCONCLUSIVE, True)
    assert verdict(measured(fine), measured(coarse)).outcome is Outcome.OK


def test_hard_limits_hold_the_images_of_both_runs_against_one_another() -> None:
    layers = make_image().layers
    before, after = ({"images": (make_image(layers=layers * times),)} for times in (1, 2))
    limit = Limit(counter="files", text="+5%")
    found = verdict(measured(rows(STEADY), **before), measured(rows(STEADY), **after), limit)
    assert (found.outcome, found.counters[0].baseline, found.counters[0].candidate) == (Outcome.REGRESSION, 42, 84)


def test_runs_of_one_image_each_are_held_against_one_another_whatever_the_images_are_called() -> None:
    main, pr = make_cell(tier=Tier.WARM, variant="main"), make_cell(tier=Tier.WARM, variant="pr")
    sides = [
        measured(
            rows(STEADY, cell),
            experiment=make_experiment(image=f"app:{cell.variant}", workload=(cell.workload,), variant=(cell.variant,)),
            images=(make_image(variant=cell.variant),),
        )
        for cell in (main, pr)
    ]
    found = verdict(sides[0], sides[1], Limit(counter="layers", text="+0"))
    assert (found.outcome, found.decisions[0].name) == (Outcome.OK, found.effects[0].pair.key)
    assert (found.effects[0].pair.baseline, found.effects[0].pair.candidate) == (main, pr)
    assert len(found.counters) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"host": make_host(host_id="another")}, "different hosts"),
        ({"experiment": make_experiment(name="other")}, r"different experiments \(name: .*, other\)"),
        ({"experiment": make_experiment(ready=ProbeSpec.parse("exit"))}, "different experiments .ready"),
        ({"experiment": make_experiment(timeout_ns=1)}, "different experiments .timeout_ns"),
        ({"experiment": make_experiment(egress=True)}, "different experiments .egress"),
        ({"experiment": make_experiment(options=ContainerOptions(cpus=0.5))}, "different experiments .options"),
    ],
)
def test_another_host_or_experiment_is_refused_with_the_remedy(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        verdict(measured(rows(STEADY)), measured(rows(STEADY), **fields))
    assert "coldstart gate --baseline" in str(refused.value)


def test_another_source_is_refused() -> None:
    with pytest.raises(UsageError, match=r"different sources \(engine; trace\)"):
        verdict(measured(rows(STEADY)), measured(rows(STEADY, source="trace")))


# --- imported times ---


def times(values_ms: list[float], failures: int = 0) -> Times:
    return Times(values_ns=tuple(value * MS for value in values_ms), failed=failures)


def imported(baseline: dict[str, Times], candidate: dict[str, Times]) -> Verdict:
    return conclude_times(baseline, candidate, Rule(), names=("main.csv", "pr.csv"))


def test_imported_times_are_judged_by_their_names() -> None:
    found = imported({"a": times(STEADY), "b": times(STEADY)}, {"b": times(SLOWER), "a": times(STEADY)})
    assert [(one.name, one.call.value) for one in found.decisions] == [("a", "ok"), ("b", "regression")]
    assert (found.run_id, found.source, found.paired, found.attempts) == (
        "pr.csv against main.csv",
        "imported",
        False,
        40,
    )
    assert (found.outcome, found.effects, found.counters, found.blocks) == (Outcome.REGRESSION, (), (), 0)


def test_of_files_with_one_name_each_the_names_need_not_agree() -> None:
    found = imported({"run app:main": times(STEADY)}, {"run app:pr": times(STEADY)})
    assert (found.outcome, found.decisions[0].name) == (Outcome.OK, "run app:main")


def test_a_name_that_the_candidate_lacks_is_never_a_pass() -> None:
    found = imported({"a": times(STEADY), "b": times(STEADY)}, {"a": times(STEADY), "c": times(STEADY)})
    assert (found.outcome, found.reasons) == (Outcome.INVALID, ("b: nothing was timed of both sides",))


def test_imported_failures_count() -> None:
    found = imported({"a": times(STEADY)}, {"a": times(STEADY, failures=2)})
    assert (found.outcome, found.failed, found.attempts) == (Outcome.REGRESSION, 2, 22)


def test_the_verdict_can_be_written_as_json() -> None:
    found = imported({"a": times(STEADY)}, {"a": times(STEADY)})
    assert msgspec.json.decode(msgspec.json.encode(found))["paired"] is False


def test_repeats_of_one_run_more_than_of_the_other_are_never_ok() -> None:
    steady = [100 + start / 1000 for start in range(100)]
    spoilt = [failed(block, outcome="throttled") for block in range(9)]
    found = verdict(measured(rows(steady)), measured([*spoilt, *rows(steady)]))
    assert (found.outcome, "Fisher's exact test" in found.reasons[0]) == (Outcome.INCONCLUSIVE, True)
