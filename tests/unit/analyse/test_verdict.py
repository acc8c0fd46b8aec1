"""A comparison concluded: which reason comes first, and that nothing measured is never a pass."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from coldstart.analyse.counters import Limit
from coldstart.analyse.verdict import EXIT_CODES, Outcome, Verdict, conclude, images_of
from coldstart.model.cell import CellPair, Side
from coldstart.model.image import Image
from coldstart.model.rule import Rule
from coldstart.model.run import Comparison, RunManifest
from tests.unit.analyse.sides import AA, PAIR, absent, blocks, frame, start
from tests.unit.factories import MS, make_experiment, make_image, make_manifest

MAIN, PR = make_image("hello", "main"), make_image("hello", "pr")
STEADY = [100 + n / 1000 for n in range(10)]
SLOWER = [value * 1.2 for value in STEADY]


def manifest(*pairs: CellPair, **fields: Any) -> RunManifest:
    comparison = Comparison(candidate=make_experiment(), pairs=pairs or (PAIR,), rule=Rule())
    return make_manifest(**{"comparison": comparison, "images": (MAIN, PR), **fields})


def verdict(rows: list[dict[str, Any]], *limits: Limit, of: RunManifest | None = None) -> Verdict:
    return conclude(of or manifest(), frame(rows), limits)


def test_a_candidate_within_what_is_tolerated_is_ok() -> None:
    found = verdict(blocks(PAIR, STEADY, STEADY))
    assert (found.outcome, EXIT_CODES[found.outcome]) == (Outcome.OK, 0)
    assert found.reasons == (f"{PAIR.key}: not slower by more than +5.0%",)
    assert (found.blocks, found.attempts, found.failed, found.requeued, found.source) == (10, 20, 0, 0, "engine")
    assert (found.moved, found.rule, found.run_id) == ({}, Rule(), manifest().run_id)


def test_a_slower_candidate_is_a_regression_with_the_phase_that_moved() -> None:
    rows = blocks(PAIR, STEADY, STEADY)
    for row in rows:
        if row["side"] == "candidate":
            row.update(e2e_ns=row["e2e_ns"] + 20 * MS, readiness_ns=row["readiness_ns"] + 20 * MS)
    found = verdict(rows)
    assert (found.outcome, EXIT_CODES[found.outcome]) == (Outcome.REGRESSION, 1)
    assert {name: phase.column for name, phase in found.moved.items()} == {PAIR.key: "readiness_ns"}


def test_a_phase_that_grew_without_a_regression_did_not_move_anything() -> None:
    rows = blocks(PAIR, STEADY, STEADY)
    for row in rows:
        if row["side"] == "candidate":
            row["readiness_ns"] += 1 * MS
    assert verdict(rows).moved == {}


def test_only_what_was_called_so_is_a_reason() -> None:
    rows = [*blocks(PAIR, STEADY, STEADY), *blocks(absent(), STEADY, SLOWER)]
    found = verdict(rows, of=manifest(PAIR, absent()))
    assert found.reasons == (f"{absent().key}: slower by more than +5.0%",)
    assert list(found.moved) == [absent().key]


def test_what_a_level_tolerates_is_no_regression_there() -> None:
    comparison = Comparison(candidate=make_experiment(), pairs=(PAIR,), rule=Rule(cells={"warm": 0.5}))
    assert verdict(blocks(PAIR, STEADY, SLOWER), of=manifest(comparison=comparison)).outcome is Outcome.OK


def test_a_phase_that_is_gated_regresses_by_itself() -> None:
    rows = blocks(PAIR, STEADY, STEADY)
    for row in rows:
        if row["side"] == "candidate":
            row["readiness_ns"] = round(row["readiness_ns"] * 1.5)
    comparison = Comparison(candidate=make_experiment(), pairs=(PAIR,), rule=Rule(metrics={"readiness": 0.2}))
    found = verdict(rows, of=manifest(comparison=comparison))
    assert found.outcome is Outcome.REGRESSION
    assert found.reasons == (f"{PAIR.key}: readiness: slower by more than +20.0%",)


def test_a_run_of_several_sources_names_them_all() -> None:
    rows = blocks(PAIR, STEADY, STEADY)
    rows[0]["source"] = "trace"
    assert verdict(rows).source == "engine, trace"


def test_too_few_pairs_are_inconclusive() -> None:
    found = verdict(blocks(PAIR, STEADY[:5], SLOWER[:5]))
    assert (found.outcome, EXIT_CODES[found.outcome]) == (Outcome.INCONCLUSIVE, 3)


def test_a_limit_that_is_passed_is_a_regression_whatever_the_times_are() -> None:
    found = verdict(blocks(PAIR, STEADY, STEADY), Limit(counter="layers", text="1"))
    assert found.outcome is Outcome.REGRESSION
    assert found.reasons == ("hello/main → hello/pr: 2 layers, limit 1",)


def test_what_a_limit_comes_to_is_told_with_its_unit() -> None:
    found = verdict(blocks(PAIR, STEADY, STEADY), Limit(counter="pull-bytes", text="1m"))
    assert found.reasons == ("hello/main → hello/pr: 3.00 MB bytes pulled, limit 1.05 MB",)


def test_a_limit_and_the_times_are_both_told() -> None:
    found = verdict(blocks(PAIR, STEADY, SLOWER), Limit(counter="layers", text="1"))
    assert [reason.partition(":")[0] for reason in found.reasons] == ["hello/main → hello/pr", PAIR.key]


def test_a_limit_that_is_met_is_no_reason() -> None:
    found = verdict(blocks(PAIR, STEADY, STEADY), Limit(counter="layers", text="+0"))
    assert (found.outcome, found.counters[0].passed) == (Outcome.OK, True)


def test_a_counter_that_is_not_known_is_never_a_pass() -> None:
    blind = msgspec.structs.replace(PR, digest=None)
    found = verdict(
        blocks(PAIR, STEADY, STEADY), Limit(counter="pull-bytes", text="+5%"), of=manifest(images=(MAIN, blind))
    )
    assert (found.outcome, EXIT_CODES[found.outcome]) == (Outcome.INVALID, 4)
    assert "bytes pulled are not known here" in found.reasons[0]


def test_all_that_is_not_known_is_told() -> None:
    blind = msgspec.structs.replace(PR, digest=None)
    found = verdict([], Limit(counter="pull-bytes", text="+5%"), of=manifest(images=(MAIN, blind)))
    assert [reason.partition(":")[0] for reason in found.reasons] == [PAIR.key, "hello/main → hello/pr"]


def test_a_regression_stands_beside_a_counter_that_is_not_known() -> None:
    blind = msgspec.structs.replace(PR, digest=None)
    limit = Limit(counter="pull-bytes", text="+5%")
    assert verdict(blocks(PAIR, STEADY, SLOWER), limit, of=manifest(images=(MAIN, blind))).outcome is Outcome.REGRESSION


def spoilt(n: int) -> list[dict[str, Any]]:
    return [start(PAIR, Side.BASELINE, 0, None, outcome="not_quiet", attempt=-1 - number) for number in range(n)]


@pytest.mark.parametrize("candidate", [STEADY, SLOWER])
def test_a_disturbed_run_concludes_nothing_from_its_times(candidate: list[float]) -> None:
    found = verdict([*spoilt(3), *blocks(PAIR, STEADY, candidate)])
    assert (found.outcome, EXIT_CODES[found.outcome]) == (Outcome.CONTAMINATED, 4)
    assert found.reasons == ("3 of 23 starts had to be repeated (3 not quiet). The last: synthetic",)
    assert found.requeued == 3


def never_cold(side: Side) -> list[dict[str, Any]]:
    return [start(absent(), side, block, None, outcome="not_cold", reason="its base was there") for block in range(9)]


@pytest.mark.parametrize("side", Side)
def test_a_pair_that_could_not_be_proved_cold_is_named_and_the_machine_is_not_blamed(side: Side) -> None:
    both = manifest(PAIR, absent())
    found = verdict([*blocks(PAIR, STEADY, STEADY), *never_cold(side)], of=both)
    cell = absent().of(side).key
    assert (found.outcome, EXIT_CODES[found.outcome]) == (Outcome.INVALID, 4)
    assert found.reasons == (f"{cell} ({side}) could not be proved cold: its base was there",)


def test_a_pair_that_was_not_asked_for_by_name_and_could_not_be_proved_cold_is_left_out() -> None:
    some = manifest(PAIR, absent())
    assert some.comparison is not None
    some = msgspec.structs.replace(some, comparison=msgspec.structs.replace(some.comparison, every_pair=False))
    found = verdict([*blocks(PAIR, STEADY, STEADY), *never_cold(Side.BASELINE)], of=some)
    assert found.outcome is Outcome.OK
    assert [decision.name for decision in found.decisions] == [PAIR.key]
    assert found.reasons[-1].startswith(f"left out: {absent().baseline.key} (baseline) could not be proved cold")


def test_where_no_pair_could_be_proved_cold_there_is_no_verdict() -> None:
    none = manifest(absent())
    assert none.comparison is not None
    none = msgspec.structs.replace(none, comparison=msgspec.structs.replace(none.comparison, every_pair=False))
    found = verdict(never_cold(Side.CANDIDATE), of=none)
    assert (found.outcome, "could not be proved cold" in found.reasons[0]) == (Outcome.INVALID, True)


def test_a_regression_stands_though_another_pair_could_not_be_proved_cold() -> None:
    found = verdict([*blocks(PAIR, STEADY, SLOWER), *never_cold(Side.BASELINE)], of=manifest(PAIR, absent()))
    assert found.outcome is Outcome.REGRESSION
    assert "left out: " in found.reasons[-1]


def test_failures_of_the_candidate_stand_in_a_disturbed_run_too() -> None:
    found = verdict([*spoilt(3), *blocks(PAIR, [100, 100], [None, None])])
    assert found.outcome is Outcome.REGRESSION
    assert "the candidate failed in 2 blocks" in found.reasons[0]
    assert (found.blocks, found.attempts, found.failed, found.requeued) == (2, 7, 2, 3)


def test_a_limit_stands_in_a_disturbed_run_too() -> None:
    found = verdict([*spoilt(3), *blocks(PAIR, STEADY, STEADY)], Limit(counter="layers", text="1"))
    assert found.outcome is Outcome.REGRESSION


def test_a_limit_stands_where_the_baseline_fails_too() -> None:
    found = verdict(blocks(PAIR, [None, None], [100, 100]), Limit(counter="layers", text="1"))
    assert found.reasons == ("hello/main → hello/pr: 2 layers, limit 1",)


def test_one_failure_of_the_candidate_is_never_ok() -> None:
    assert verdict(blocks(PAIR, [*STEADY, 100], [*STEADY, None])).outcome is Outcome.INCONCLUSIVE


def test_a_disturbed_run_is_that_before_anything_is_unknown() -> None:
    found = verdict([*spoilt(3), *blocks(PAIR, STEADY, STEADY)], of=manifest(PAIR, absent()))
    assert found.outcome is Outcome.CONTAMINATED


def test_a_baseline_that_fails_too_is_invalid_even_in_a_disturbed_run() -> None:
    found = verdict([*spoilt(3), *blocks(PAIR, [None, 100], [None, 100])])
    assert (found.outcome, EXIT_CODES[found.outcome]) == (Outcome.INVALID, 4)


def test_hard_limits_hold_each_sides_own_image_though_both_have_one_name() -> None:
    """Two checkouts of one workload: the candidate's image is not to be compared with itself."""
    larger = msgspec.structs.replace(
        MAIN, layers=tuple(msgspec.structs.replace(layer, compressed_bytes=50_000_000) for layer in MAIN.layers)
    )
    of = manifest(AA, images=(MAIN,))
    assert of.comparison is not None
    of = msgspec.structs.replace(of, comparison=msgspec.structs.replace(of.comparison, images=(larger,)))
    assert images_of(of) == {"hello/main → hello/main": (MAIN, larger)}
    found = verdict(blocks(AA, STEADY, STEADY), Limit(counter="pull-bytes", text="+5%"), of=of)
    assert (found.outcome, [check.passed for check in found.counters]) == (Outcome.REGRESSION, [False])


LIMIT = Limit(counter="pull-bytes", text="+5%")


def old_manifest(pair: CellPair, candidate_runs: int, images: tuple[Image, ...]) -> RunManifest:
    """As version 0.1 stored it: no images of the candidate's own."""
    ours = make_experiment()
    comparison = Comparison(
        candidate=msgspec.structs.replace(ours, runs=candidate_runs), pairs=(pair,), rule=Rule(), images=()
    )
    return manifest(experiment=ours, comparison=comparison, images=images)


def test_an_old_runs_image_is_not_held_against_itself_where_two_experiments_share_its_name() -> None:
    found = verdict(blocks(AA, STEADY, STEADY), LIMIT, of=old_manifest(AA, 77, (MAIN,)))
    assert (found.outcome, [check.passed for check in found.counters]) == (Outcome.INVALID, [None])
    assert found.reasons == ("hello/main → hello/main: bytes pulled are not known here",)


def test_an_old_run_of_two_images_by_two_names_knows_both() -> None:
    assert images_of(old_manifest(PAIR, 77, (MAIN, PR))) == {"hello/main → hello/pr": (MAIN, PR)}


def test_an_old_run_of_one_experiment_had_one_image() -> None:
    assert images_of(old_manifest(AA, make_experiment().runs, (MAIN,))) == {"hello/main": (MAIN, MAIN)}


@pytest.mark.parametrize("images", [(MAIN,), (PR,), ()])
def test_an_image_that_the_manifest_lacks_is_not_known_and_never_a_pass(images: tuple[Image, ...]) -> None:
    found = verdict(blocks(PAIR, STEADY, STEADY), LIMIT, of=manifest(images=images))
    assert (found.outcome, [check.passed for check in found.counters]) == (Outcome.INVALID, [None])


def unseen(side: Side, n: int, outcome: str = "unobserved") -> list[dict[str, Any]]:
    """A hundred blocks, in the last ``n`` of which nobody observed a side's start."""
    rows = repeated(side, 0)
    for row in rows:
        if row["side"] == side.value and row["block"] >= 100 - n:
            row.update(start(PAIR, side, row["block"], None, outcome=outcome))
    return rows


@pytest.mark.parametrize("outcome", ["unobserved", "harness_failed"])
@pytest.mark.parametrize("side", Side)
def test_one_start_that_nobody_observed_is_never_ok(side: Side, outcome: str) -> None:
    found = verdict(unseen(side, 1, outcome))
    assert (found.failed, found.unseen) == (0, 1)
    assert (found.outcome, EXIT_CODES[found.outcome]) == (Outcome.INCONCLUSIVE, 3)
    counts = (1, 0) if side is Side.CANDIDATE else (0, 1)
    (reason,) = found.reasons
    assert reason == (
        f"{PAIR.key}: {counts[0]} of 100 starts of the candidate and {counts[1]} of 100 of the baseline were not "
        "observed, or coldstart itself failed in them: they may have been slower or have failed, so this is never ok"
    )


@pytest.mark.parametrize(("n", "outcome"), [(10, Outcome.INCONCLUSIVE), (11, Outcome.INVALID)])
@pytest.mark.parametrize("side", Side)
def test_more_than_a_tenth_of_a_sides_starts_unseen_leaves_nothing_to_conclude_from(
    side: Side, n: int, outcome: Outcome
) -> None:
    assert verdict(unseen(side, n)).outcome is outcome


def test_an_inconclusive_gate_with_many_unseen_starts_has_nothing_to_conclude_from() -> None:
    rows = [row for row in unseen(Side.CANDIDATE, 50) if row["block"] in {0, 1, 98, 99}]
    assert verdict(rows).outcome is Outcome.INVALID


def test_a_regression_stands_beside_starts_that_nobody_observed() -> None:
    rows = unseen(Side.CANDIDATE, 50)
    for row in rows:
        if row["side"] == "candidate" and row["outcome"] == "ok":
            row["e2e_ns"] = round(row["e2e_ns"] * 1.2)
    assert verdict(rows).outcome is Outcome.REGRESSION


READINESS = Comparison(candidate=make_experiment(), pairs=(PAIR,), rule=Rule(metrics={"readiness": 0.2}))


def without_readiness(side: Side, n: int) -> list[dict[str, Any]]:
    """A hundred blocks, in the last ``n`` of which a side's readiness was not seen."""
    rows = repeated(side, 0)
    return [
        {**row, "readiness_ns": None} if row["side"] == side.value and row["block"] >= 100 - n else row for row in rows
    ]


@pytest.mark.parametrize("side", Side)
def test_a_phase_that_starts_of_one_side_lack_is_never_ok(side: Side) -> None:
    found = verdict(without_readiness(side, 9), of=manifest(comparison=READINESS))
    assert (found.outcome, EXIT_CODES[found.outcome]) == (Outcome.INCONCLUSIVE, 3)
    counts = (9, 0) if side is Side.CANDIDATE else (0, 9)
    (reason,) = found.reasons
    assert reason == (
        f"{PAIR.key}: readiness: {counts[0]} of 100 starts of the candidate and {counts[1]} of 100 of the baseline "
        "lack this phase, more on one side than chance allows (Fisher's exact test, p = 0.0032, level 0.01): the "
        "missing ones may have been slower, so this is never ok"
    )
    assert (found.missing[0].candidate_missing, found.missing[0].baseline_missing) == counts


def test_a_phase_that_as_many_starts_lack_as_chance_allows_is_ok() -> None:
    assert verdict(without_readiness(Side.CANDIDATE, 7), of=manifest(comparison=READINESS)).outcome is Outcome.OK


def test_a_missing_phase_that_nobody_asks_about_does_not_matter() -> None:
    found = verdict(without_readiness(Side.CANDIDATE, 50))
    assert (found.outcome, found.missing) == (Outcome.OK, ())


def test_several_questions_about_phases_share_the_level() -> None:
    rule = Rule(metrics={"readiness": 0.2, "init": 0.2})
    comparison = msgspec.structs.replace(READINESS, rule=rule)
    found = verdict(without_readiness(Side.CANDIDATE, 8), of=manifest(comparison=comparison))
    assert [(one.name, one.level) for one in found.missing] == [
        (f"{PAIR.key}: readiness", 0.005),
        (f"{PAIR.key}: init", 0.005),
    ]
    assert found.outcome is Outcome.OK


def test_a_cell_without_any_pair_is_never_a_pass() -> None:
    found = verdict(blocks(PAIR, STEADY, STEADY), of=manifest(PAIR, absent()))
    assert found.outcome is Outcome.INVALID
    assert found.reasons == (f"{absent().key}: nothing was timed of both sides",)


@pytest.mark.parametrize("limits", [(), (Limit(counter="layers", text="+0"),)])
def test_a_run_without_starts_is_never_a_pass(limits: tuple[Limit, ...]) -> None:
    found = verdict([], *limits)
    assert (found.outcome, found.reasons) == (Outcome.INVALID, (f"{PAIR.key}: nothing was timed of both sides",))
    assert (found.blocks, found.attempts, found.failed) == (0, 0, 0)


def test_a_regression_stands_beside_a_cell_without_any_pair() -> None:
    found = verdict(blocks(PAIR, STEADY, SLOWER), of=manifest(PAIR, absent()))
    assert found.outcome is Outcome.REGRESSION


def test_an_engine_that_was_lost_at_once_is_never_a_pass() -> None:
    rows = [start(PAIR, Side.BASELINE, 0, None, outcome="engine_lost")]
    assert verdict(rows).reasons == ("1 of 1 starts had to be repeated (1 engine lost). The last: synthetic",)
    assert EXIT_CODES[verdict(rows).outcome] == 4


def test_a_run_that_compares_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no two contenders"):
        conclude(make_manifest(), frame([]))
    nothing_to_judge = Comparison(candidate=make_experiment(), pairs=(PAIR,))
    with pytest.raises(ValueError, match="no two contenders"):
        conclude(make_manifest(comparison=nothing_to_judge), frame([]))


def test_one_image_has_one_name_and_two_have_both() -> None:
    assert images_of(manifest()) == {"hello/main → hello/pr": (MAIN, PR)}
    assert images_of(manifest(AA)) == {"hello/main": (MAIN, MAIN)}


def test_a_pair_in_two_tiers_is_one_pair_of_images() -> None:
    assert list(images_of(manifest(PAIR, absent()))) == ["hello/main → hello/pr"]


def test_a_slower_candidate_with_one_failure_concludes_nothing_in_a_disturbed_run() -> None:
    found = verdict([*spoilt(3), *blocks(PAIR, [*STEADY, 100], [*SLOWER, None])])
    assert found.outcome is Outcome.CONTAMINATED


def gated_on_pull() -> RunManifest:
    comparison = Comparison(candidate=make_experiment(), pairs=(PAIR,), rule=Rule(metrics={"pull": 0.2}))
    return manifest(comparison=comparison)


def test_a_phase_that_no_cell_has_is_never_a_pass() -> None:
    found = verdict(blocks(PAIR, STEADY, STEADY), of=gated_on_pull())
    assert (found.outcome, found.reasons) == (Outcome.INVALID, ("pull: no cell of this gate has that phase",))


def test_a_phase_is_judged_by_the_blocks_in_which_both_sides_tell_it() -> None:
    rows = blocks(PAIR, [*STEADY, 100], [*STEADY, 100])
    for row in rows:
        row["pull_ns"] = 150 * MS if row["side"] == "candidate" else 50 * MS
    rows[0]["pull_ns"] = None
    found = verdict(rows, of=gated_on_pull())
    assert found.outcome is Outcome.REGRESSION
    assert [decision.n for decision in found.decisions] == [10, 10]


def test_a_candidate_that_pulls_where_the_baseline_did_not_is_never_a_pass() -> None:
    rows = [{**row, "pull_ns": 50 * MS * (row["side"] == "candidate")} for row in blocks(PAIR, STEADY, STEADY)]
    found = verdict(rows, of=gated_on_pull())
    assert (found.outcome, found.reasons) == (Outcome.INVALID, (f"{PAIR.key}: pull: nothing was timed of both sides",))


def repeated(side: Side, count: int, n: int = 100) -> list[dict[str, Any]]:
    """Blocks of which the first ``count`` had a start of that side that had to be repeated."""
    steady = [100 + block / 1000 for block in range(n)]
    spoilt = [start(PAIR, side, block, None, outcome="throttled") for block in range(count)]
    again = [{**row, "attempt": 1} for row in blocks(PAIR, steady, steady)]
    return [*spoilt, *again]


@pytest.mark.parametrize("side", list(Side))
def test_repeats_that_fall_on_one_side_are_never_ok(side: Side) -> None:
    found = verdict(repeated(side, 9))
    assert (found.outcome, EXIT_CODES[found.outcome]) == (Outcome.INCONCLUSIVE, 3)
    (repeats,) = found.repeats
    counts = (repeats.candidate_repeated, repeats.baseline_repeated)
    assert counts == ((9, 0) if side is Side.CANDIDATE else (0, 9))
    assert (repeats.candidate_starts, repeats.baseline_starts, repeats.level) == (100, 100, 0.01)
    (reason,) = found.reasons
    assert reason == (
        f"{PAIR.key}: {counts[0]} of 100 starts of the candidate and {counts[1]} of 100 of the baseline had to be "
        "repeated, more on one side than chance allows (Fisher's exact test, p = 0.0032, level 0.01): what was "
        "repeated may have been slower, so this is never ok"
    )


def test_as_many_repeats_as_chance_allows_are_ok() -> None:
    assert verdict(repeated(Side.CANDIDATE, 7)).outcome is Outcome.OK
    both = [*repeated(Side.CANDIDATE, 9), *repeated(Side.BASELINE, 9)[:9]]
    assert verdict(both).outcome is Outcome.OK


def test_a_start_that_was_repeated_twice_is_one_that_was_repeated() -> None:
    rows = repeated(Side.CANDIDATE, 4)
    more = [{**row, "attempt": 2} for row in rows[:4]]
    assert verdict([*more, *rows]).repeats[0].candidate_repeated == 4


def test_a_warm_up_that_was_repeated_does_not_count() -> None:
    rows = [{**row, "warmup": row["block"] < 9} for row in repeated(Side.CANDIDATE, 9)]
    assert verdict(rows).repeats[0].candidate_repeated == 0


def test_several_pairs_share_the_level_of_repeats() -> None:
    steady = [100 + block / 1000 for block in range(100)]
    rows = [*repeated(Side.CANDIDATE, 8), *blocks(absent(), steady, steady)]
    found = verdict(rows, of=manifest(PAIR, absent()))
    assert [one.level for one in found.repeats] == [0.005, 0.005]
    assert found.outcome is Outcome.OK


def test_a_regression_stands_whatever_had_to_be_repeated() -> None:
    rows = repeated(Side.BASELINE, 9)
    for row in rows:
        if row["side"] == "candidate":
            row["e2e_ns"] = round(row["e2e_ns"] * 1.2)
    assert verdict(rows).outcome is Outcome.REGRESSION
