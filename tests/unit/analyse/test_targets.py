"""Targets: each verdict by its branch, each bad file by its message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coldstart.analyse.judging import treatment
from coldstart.analyse.targets import judge, load_targets, overviews, read_targets
from coldstart.errors import InputFileError, UnknownNameError
from coldstart.model.cell import Tier
from coldstart.model.image import Layer
from coldstart.model.target import Conditions, Statistic, Target, Verdict
from tests.unit.factories import MS, make_cell, make_image
from tests.unit.tidy import failed, frame, row, starts

WARM = make_cell(tier=Tier.WARM)
CRUN = make_cell(tier=Tier.WARM, runtime="crun")


def claim(**fields: Any) -> Target:
    """A mean of at most 100 ms on the warm tier, unless said otherwise."""
    defaults: dict[str, Any] = {
        "id": "claim",
        "section": "1",
        "claim": "starts in 100 ms",
        "metric": "e2e_ns",
        "statistic": Statistic.MEAN,
        "limit": 100 * MS,
        "applies_to": Conditions(tier=Tier.WARM),
    }
    return Target(**{**defaults, **fields})


def ratio(limit: float = 0.75, **fields: Any) -> Target:
    """Crun at most three quarters of runc, on the warm tier."""
    defaults: dict[str, Any] = {
        "statistic": Statistic.RATIO,
        "applies_to": Conditions(runtime="crun", tier=Tier.WARM),
        "against": Conditions(runtime="runc"),
    }
    return claim(limit=limit, **{**defaults, **fields})


def size(**fields: Any) -> Target:
    """Alpine at most three tenths of single-stage."""
    defaults: dict[str, Any] = {
        "statistic": Statistic.SIZE_RATIO,
        "metric": "unpacked_bytes",
        "limit": 0.30,
        "applies_to": Conditions(workload="hello", variant="alpine"),
        "against": Conditions(variant="single-stage"),
    }
    return claim(**{**defaults, **fields})


def image(variant: str, unpacked_bytes: int | None, workload: str = "hello") -> Any:
    layer = Layer(digest="sha256:a", diff_id="sha256:b", compressed_bytes=1, unpacked_bytes=unpacked_bytes)
    return make_image(workload, variant, layers=(layer,))


@pytest.mark.parametrize(
    ("times_ms", "verdict"),
    [
        ([80, 81, 82], Verdict.MET),
        ([180, 181, 182], Verdict.MISSED),
        ([80, 100, 120], Verdict.UNDECIDED),
        ([80], Verdict.UNDECIDED),
        ([100, 100], Verdict.MET),
    ],
    ids=["below", "above", "astride", "no interval", "exactly at the limit"],
)
def test_a_mean_is_judged_by_its_interval(times_ms: list[float], verdict: Verdict) -> None:
    (found,) = judge([claim()], frame(starts(WARM, *times_ms)), ())
    assert found.verdict is verdict


def test_a_mean_is_judged_as_a_mean_and_a_median_as_a_median() -> None:
    table = frame(starts(WARM, *[90] * 19, 500))
    mean, median = judge([claim(), claim(id="m", statistic=Statistic.MEDIAN)], table, ())
    assert (mean.verdict, median.verdict) == (Verdict.UNDECIDED, Verdict.MET)


def test_a_claim_is_judged_in_every_cell_it_is_about() -> None:
    rows = starts(WARM, 80, 80) + starts(CRUN, 180, 180) + starts(make_cell(tier=Tier.ABSENT), 80, 80)
    found = judge([claim()], frame(rows), ())
    assert {(one.cell, one.verdict) for one in found} == {(WARM, Verdict.MET), (CRUN, Verdict.MISSED)}


def test_another_engine_is_not_like_for_like_but_its_figure_is_shown() -> None:
    target = claim(applies_to=Conditions(engine="containerd", runtime="runc", tier=Tier.WARM))
    (found,) = judge([target], frame(starts(WARM, 80, 80)), ())
    assert found.verdict is Verdict.NOT_ALIKE
    assert found.note == "claimed for engine containerd, measured on docker"
    assert found.measured is not None
    assert found.measured.value == 80 * MS


def test_where_the_claimed_engine_was_measured_others_are_left_alone() -> None:
    target = claim(applies_to=Conditions(engine="containerd", tier=Tier.WARM))
    claimed = make_cell(tier=Tier.WARM, engine="containerd")
    (found,) = judge([target], frame(starts(WARM, 80, 80) + starts(claimed, 80, 80)), ())
    assert (found.cell, found.verdict) == (claimed, Verdict.MET)


def test_another_runtime_is_another_claim() -> None:
    target = claim(applies_to=Conditions(runtime="crun", tier=Tier.WARM))
    (found,) = judge([target], frame(starts(WARM, 80, 80)), ())
    assert (found.verdict, found.note) == (
        Verdict.NOT_MEASURED,
        "no cell of this run has runtime crun, tier warm",
    )


def test_a_claim_without_verdict_is_shown_with_its_figure() -> None:
    (found,) = judge([claim(verdict=False)], frame(starts(WARM, 80, 80)), ())
    assert (found.verdict, found.measured is not None) == (Verdict.SHOWN, True)


def test_a_cell_without_timings_says_how_its_trials_ended() -> None:
    (found,) = judge([claim()], frame([failed(WARM), failed(WARM, 1)]), ())
    assert (found.verdict, found.note) == (Verdict.NOT_MEASURED, "no timing: 2 never_ready")


def test_a_failing_cell_beside_a_timed_one_is_not_measured() -> None:
    found = judge([claim()], frame([*starts(CRUN, 80, 80), failed(WARM), failed(WARM, 1)]), ())
    assert [(one.verdict, one.note) for one in found if one.cell == WARM] == [
        (Verdict.NOT_MEASURED, "no timing: 2 never_ready")
    ]


def test_failures_beside_timings_are_named() -> None:
    (found,) = judge([claim()], frame([*starts(WARM, 80, 80), failed(WARM, 2)]), ())
    assert found.note == "1 of 3 starts failed and are not in it"


def test_requeued_trials_are_no_failures() -> None:
    (found,) = judge([claim()], frame([*starts(WARM, 80, 80), failed(WARM, 1, "not_quiet")]), ())
    assert found.note == ""


def test_memory_that_no_source_sees_is_not_measured() -> None:
    (found,) = judge([claim(metric="memory_bytes")], frame(starts(WARM, 80)), ())
    assert (found.verdict, found.note) == (
        Verdict.NOT_MEASURED,
        "no source of this run observes the memory of processes",
    )


def test_memory_that_is_observed_part_by_part_is_said_to_be() -> None:
    """A report with a table of memory must not say that nobody observed any."""
    rows = [{**one, "runtime_peak_rss_bytes": 5_000_000} for one in starts(WARM, 80)]
    (found,) = judge([claim(metric="memory_bytes")], frame(rows), ())
    assert found.verdict is Verdict.NOT_MEASURED
    assert found.note.startswith("the memory of engine, shim and OCI runtime is observed for each of them apart")


@pytest.mark.parametrize(("crun_ms", "verdict"), [(50, Verdict.MET), (95, Verdict.MISSED)], ids=["below", "above"])
def test_a_ratio_is_judged_by_its_paired_interval(crun_ms: float, verdict: Verdict) -> None:
    (found,) = judge([ratio()], frame(starts(WARM, *[100] * 6) + starts(CRUN, *[crun_ms] * 6)), ())
    assert (found.verdict, found.cell, found.against) == (verdict, CRUN, WARM)


def test_a_ratio_of_five_pairs_is_undecided_and_says_why() -> None:
    (found,) = judge([ratio()], frame(starts(WARM, *[100] * 5) + starts(CRUN, *[50] * 5)), ())
    assert (found.verdict, found.note) == (Verdict.UNDECIDED, "n = 5 is too few for an interval")


def test_a_ratio_between_engines_is_never_judged_on_two_cells_of_one_engine() -> None:
    target = ratio(
        applies_to=Conditions(engine="oci", runtime="crun", tier=Tier.WARM),
        against=Conditions(engine="containerd", runtime="runc"),
    )
    (found,) = judge([target], frame(starts(WARM, *[100] * 6) + starts(CRUN, *[50] * 6)), ())
    assert (found.verdict, found.measured) == (Verdict.NOT_MEASURED, None)
    assert found.note == (
        "no two cells of this run are engine oci, runtime crun, tier warm against engine containerd, runtime runc, all "
        "else equal: it has no engine oci and no engine containerd"
    )


def test_a_ratio_between_engines_is_judged_where_both_were_measured() -> None:
    target = ratio(
        applies_to=Conditions(engine="oci", runtime="crun", tier=Tier.WARM),
        against=Conditions(engine="containerd", runtime="runc"),
    )
    ours, theirs = (
        make_cell(tier=Tier.WARM, engine=engine, runtime=runtime)
        for engine, runtime in (("oci", "crun"), ("containerd", "runc"))
    )
    rows = starts(WARM, *[100] * 6) + starts(ours, *[50] * 6) + starts(theirs, *[100] * 6)
    (found,) = judge([target], frame(rows), ())
    assert (found.verdict, found.cell, found.against) == (Verdict.MET, ours, theirs)


@pytest.mark.parametrize("against", [Conditions(runtime="runc"), Conditions(engine="oci", runtime="runc")])
def test_a_ratio_of_two_runtimes_is_judged_on_another_engine_with_the_difference_named(against: Conditions) -> None:
    """The engine is no part of what is compared, whether the denominator repeats it or not."""
    target = ratio(applies_to=Conditions(engine="oci", runtime="crun", tier=Tier.WARM), against=against)
    (found,) = judge([target], frame(starts(WARM, *[100] * 6) + starts(CRUN, *[50] * 6)), ())
    assert (found.verdict, found.note) == (Verdict.MET, "claimed for engine oci, measured on docker")


def test_a_size_ratio_between_workloads_is_never_judged_on_another_workload() -> None:
    target = size(against=Conditions(workload="other", variant="alpine"))
    images = (image("alpine", 1, "redis"), image("alpine", 100, "other"))
    (found,) = judge([target], frame([]), images)
    assert found.verdict is Verdict.NOT_MEASURED


def test_the_articles_comparison_of_engines_is_between_engines() -> None:
    (target,) = (one for one in load_targets("article").target if one.id == "start-crun-to-runc")
    assert treatment(target) == {"engine", "runtime"}


def test_a_ratio_between_tiers_keeps_runtime_and_variant_equal() -> None:
    target = ratio(0.25, applies_to=Conditions(tier=Tier.WARM), against=Conditions(tier=Tier.ABSENT))
    absent = make_cell(tier=Tier.ABSENT)
    rows = starts(WARM, *[100] * 6) + starts(absent, *[900] * 6) + starts(CRUN, *[100] * 6)
    (found,) = judge([target], frame(rows), ())
    assert (found.cell, found.against, found.verdict) == (WARM, absent, Verdict.MET)


def test_a_ratio_without_its_denominator_is_not_measured() -> None:
    (found,) = judge([ratio()], frame(starts(CRUN, *[50] * 6)), ())
    assert (found.verdict, "no two cells" in found.note) == (Verdict.NOT_MEASURED, True)


def test_a_ratio_of_cells_that_share_no_block_is_not_measured() -> None:
    (found,) = judge([ratio()], frame([row(WARM, 0), row(CRUN, 1)]), ())
    assert (found.verdict, found.note) == (Verdict.NOT_MEASURED, "no block timed both")


def test_a_ratio_of_a_phase_that_took_no_time_is_not_measured() -> None:
    (found,) = judge([ratio(metric="pull_ns")], frame([row(WARM), row(CRUN)]), ())
    assert (found.verdict, "positive" in found.note) == (Verdict.NOT_MEASURED, True)


def test_a_ratio_without_verdict_is_shown() -> None:
    (found,) = judge([ratio(verdict=False)], frame(starts(WARM, *[100] * 6) + starts(CRUN, *[50] * 6)), ())
    assert found.verdict is Verdict.SHOWN


@pytest.mark.parametrize(("alpine_bytes", "verdict"), [(30, Verdict.MET), (31, Verdict.MISSED)])
def test_a_size_ratio_is_exact(alpine_bytes: int, verdict: Verdict) -> None:
    (found,) = judge([size()], frame([]), (image("alpine", alpine_bytes), image("single-stage", 100)))
    assert (found.verdict, found.measured and found.measured.value) == (verdict, alpine_bytes / 100)


def test_a_size_ratio_of_another_workload_is_judged_and_the_difference_named() -> None:
    images = (image("alpine", 1, "redis"), image("single-stage", 100, "redis"))
    (found,) = judge([size()], frame([]), images)
    assert (found.verdict, found.note) == (Verdict.MET, "claimed for workload hello, measured on redis")


def test_a_size_of_another_workload_is_not_like_for_like() -> None:
    (found,) = judge([size(statistic=Statistic.SIZE, limit=5, against=None)], frame([]), (image("alpine", 1, "redis"),))
    assert found.verdict is Verdict.NOT_ALIKE


def test_a_size_is_judged_in_bytes() -> None:
    (found,) = judge([size(statistic=Statistic.SIZE, limit=5, against=None)], frame([]), (image("alpine", 6),))
    assert (found.verdict, found.measured and found.measured.value) == (Verdict.MISSED, 6)


@pytest.mark.parametrize("unknown", ["alpine", "single-stage"])
def test_an_image_of_unknown_size_is_not_measured(unknown: str) -> None:
    images = [image(variant, None if variant == unknown else 5) for variant in ("alpine", "single-stage")]
    (found,) = judge([size()], frame([]), images)
    assert (found.verdict, found.note) == (Verdict.NOT_MEASURED, "unpacked_bytes of the image is not known")


def test_an_image_that_is_not_there_is_not_measured() -> None:
    (found,) = judge([size()], frame([]), (image("alpine", 5),))
    assert found.note == "no image of this run has workload hello, variant alpine against variant single-stage"


def test_a_claim_about_another_software_is_not_held_against_our_images() -> None:
    (target,) = (one for one in load_targets("article").target if one.id == "size-k3s")
    (found,) = judge([target], frame([]), (image("alpine", 5),))
    assert found.note == "no image of this run has workload k3s"


def test_an_overview_has_the_verdict_all_cells_share() -> None:
    (found,) = overviews(judge([claim()], frame(starts(WARM, 80, 80) + starts(CRUN, 80, 80)), ()))
    assert (found.verdict, found.count(Verdict.MET)) == (Verdict.MET, 2)


def test_an_overview_of_cells_that_disagree_has_no_verdict() -> None:
    (found,) = overviews(judge([claim()], frame(starts(WARM, 80, 80) + starts(CRUN, 180, 180)), ()))
    assert (found.verdict, found.count(Verdict.MISSED)) == (None, 1)


def test_the_articles_figures_are_those_of_the_article() -> None:
    limits = {target.id: target.limit for target in load_targets("article").target}
    assert limits == {
        "start-conventional": 800 * MS,
        "start-conventional-cached": 800 * MS,
        "start-prewarmed": 200 * MS,
        "start-prewarmed-ratio": 1 - 0.75,
        "start-containerd-runc": 120 * MS,
        "start-crun": 90 * MS,
        "start-crun-to-runc": 1 - 0.25,
        "memory-containerd-runc": 85 * 1024**2,
        "memory-crun": 45 * 1024**2,
        "memory-crun-to-runc": 1 - 0.47,
        "size-multi-stage": 0.3,
        "limit-memory": 512 * 1024**2,
        "limit-memory-cluster": 128 * 1024**2,
        "request-memory-cluster": 64 * 1024**2,
        "size-k3s": 100_000_000,
        "size-k3s-ratio": 0.1,
    }


def test_every_claim_of_the_article_says_what_is_left_unstated() -> None:
    assert [target.id for target in load_targets("article").target if not target.unstated] == []


def test_an_unknown_targets_file_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'article'"):
        load_targets("artikel")


VALID = """title = "t"
about = "a"
[[target]]
id = "x"
section = "1"
claim = "c"
metric = "e2e_ns"
statistic = "mean"
limit = 1
applies_to = {}
"""
SECOND = VALID[VALID.index("[[target]]") :]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "not valid TOML"),
        ('title = "t"\n', "missing required field `target`"),
        (VALID + "colour = 1\n", r"unknown field `colour` - at `\$.target\[0\]`"),
        (VALID.replace("limit = 1", 'limit = "1 ms"'), r"target\[0\] 'x': limit: '1 ms' is not a duration"),
        (VALID.replace('"mean"', '"average"'), r"Invalid enum value 'average' - at `\$.target\[0\].statistic`"),
        (VALID.replace("{}", '{ tier = "hot" }'), r"at `\$.target\[0\].applies_to.tier`"),
        (VALID.replace("limit = 1", "limit = 0"), r"target\[0\] 'x': limit must be positive"),
        (VALID.replace("limit = 1", "limit = nan"), "limit must be positive"),
        (VALID.replace("e2e_ns", "e3e_ns"), "metric 'e3e_ns' is none that mean has"),
        (VALID.replace("e2e_ns", "unpacked_bytes"), "metric 'unpacked_bytes' is none that mean has"),
        (VALID.replace('"mean"', '"ratio"'), "ratio needs 'against'"),
        (VALID + 'against = { tier = "warm" }\n', "'against' belongs to ratios"),
        (VALID + SECOND, r"target\[1\] 'x': the id is used twice"),
    ],
)
def test_a_bad_targets_file_is_refused_with_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputFileError, match=message) as caught:
        read_targets(path)
    assert str(caught.value).startswith(str(path))


def test_a_targets_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputFileError, match="not UTF-8"):
        read_targets(path)


def test_a_targets_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="cannot be read"):
        read_targets(tmp_path / "gone.toml")
