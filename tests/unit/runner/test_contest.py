"""Two contenders on the fake engine: their cells, images, options and manifest."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest

from coldstart.engines import fake
from coldstart.errors import UsageError
from coldstart.images.bases import BaseSource
from coldstart.model.cell import CellPair, Side, Tier
from coldstart.model.image import Image
from coldstart.model.options import ContainerOptions
from coldstart.model.probe import ProbeSpec
from coldstart.model.rule import Rule
from coldstart.plan.overrides import ad_hoc
from coldstart.runner import contest as contest_module
from coldstart.runner import prepare as prepare_module
from coldstart.runner.contest import Contest, prepare_contest
from coldstart.runner.prepare import Prepared
from tests.unit.factories import make_cell
from tests.unit.runner.test_prepare import make_fake_experiment, make_place

HTTP = ProbeSpec.parse("http:8080/")


def contest(baseline: dict[str, Any] | None = None, candidate: dict[str, Any] | None = None) -> Contest:
    ours, theirs = (make_fake_experiment(**(fields or {})) for fields in (baseline, candidate))
    return prepare_contest(make_place(), ours, theirs, lambda _: None)


def test_both_sides_are_measured_on_the_same_instruments() -> None:
    made = contest(candidate={"variant": ("scratch",)})
    assert made.candidate.chosen is made.baseline.chosen
    bench, sides = made.bench("r"), made.sides("r")
    assert set(sides) == {Side.CANDIDATE}
    assert sides[Side.CANDIDATE].sources is bench.sources
    assert sides[Side.CANDIDATE].engine is bench.engine


def test_layers_of_one_content_that_were_packed_otherwise_are_told_and_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local Docker keeps layers unpacked: saved from there, they were compressed by another program."""
    ours = fake.image("app", "main")
    packed = tuple(msgspec.structs.replace(layer, digest=f"sha256:{n:064}") for n, layer in enumerate(ours.layers))
    images = iter([ours, msgspec.structs.replace(ours, variant="pr", layers=packed)])
    monkeypatch.setattr(prepare_module, "_ad_hoc_image", lambda *_: next(images))
    said: list[str] = []
    first, second = (msgspec.structs.replace(ad_hoc(f"app:{tag}", HTTP), engine=("fake",)) for tag in ("main", "pr"))
    made = prepare_contest(make_place(), first, second, said.append)
    (note,) = made.notes
    assert "2 layers of the same content are packed otherwise (app:main, the fake engine" in note
    assert note in said
    at = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
    assert note in made.manifest(run_id="r", seed=1, started_at=at, argv=()).notes


def test_images_whose_layers_are_the_same_blobs_need_no_note() -> None:
    assert contest(candidate={"runtime": ("crun",)}).notes == ()


def test_a_way_out_for_one_side_only_is_refused() -> None:
    with pytest.raises(UsageError, match="egress is said of one of the two only"):
        contest({"egress": True}, {"variant": ("scratch",)})


def test_each_side_has_its_own_images_and_options() -> None:
    options = ContainerOptions(env=("A=1",))
    made = contest(candidate={"variant": ("scratch",), "options": options, "timeout_ns": 5})
    bench, theirs = made.bench("r"), made.sides("r")[Side.CANDIDATE]
    assert (list(bench.subjects), list(theirs.subjects)) == ([("hello", "alpine")], [("hello", "scratch")])
    assert (bench.options, theirs.options, theirs.timeout_ns) == (ContainerOptions(), options, 5)


def test_the_manifest_has_both_experiments_their_pairs_runtimes_and_images() -> None:
    made = contest(candidate={"variant": ("scratch",), "runtime": ("crun",)})
    at = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
    manifest = made.manifest(run_id="r", seed=1, started_at=at, argv=("coldstart",), rule=Rule(alpha=0.02))
    assert manifest.comparison is not None
    assert manifest.comparison.candidate.variant == ("scratch",)
    assert manifest.comparison.rule == Rule(alpha=0.02)
    (pair,) = manifest.comparison.pairs
    assert pair == CellPair(
        baseline=make_cell(engine="fake"), candidate=make_cell(engine="fake", variant="scratch", runtime="crun")
    )
    assert [facts.name for facts in manifest.runtimes] == ["runc", "crun"]
    assert [(image.workload, image.variant) for image in manifest.images] == [("hello", "alpine"), ("hello", "scratch")]


def test_what_both_have_is_listed_once() -> None:
    made = contest()
    at = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
    manifest = made.manifest(run_id="r", seed=1, started_at=at, argv=())
    assert (len(manifest.runtimes), len(manifest.images)) == (1, 1)
    assert manifest.comparison is not None
    assert manifest.comparison.rule is None


def test_a_tier_that_one_side_cannot_prove_is_left_out_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    real = prepare_module.prepare

    def prepare(*arguments: Any, **options: Any) -> Prepared:
        made = real(*arguments, **options)
        if options.get("chosen") is None:
            return made
        narrowed = msgspec.structs.replace(made.experiment, tier=(Tier.WARM,))
        return Prepared(experiment=narrowed, place=made.place, images=made.images, chosen=made.chosen)

    monkeypatch.setattr(contest_module, "prepare", prepare)
    both = {"tier": (Tier.ABSENT, Tier.WARM)}
    made = contest(both, both)
    assert [pair.baseline.tier for pair in made.pairs] == [Tier.WARM]


def test_cells_that_do_not_go_together_are_refused_and_the_instruments_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Prepared] = []

    def close(self: Prepared) -> None:
        closed.append(self)

    monkeypatch.setattr(Prepared, "close", close)
    with pytest.raises(UsageError, match="the candidate 2"):
        contest(candidate={"runtime": ("runc", "crun")})
    assert len(closed) == 1


@pytest.mark.parametrize(("same", "variant"), [(True, "image"), (False, "image-candidate")])
def test_two_images_of_one_name_are_told_apart_by_their_content(
    monkeypatch: pytest.MonkeyPatch, same: bool, variant: str
) -> None:
    real = fake.image

    def image(name: str, _variant: str) -> Any:
        made = real("app", "image")
        return made if same or name == "old" else msgspec.structs.replace(made, image_id="sha256:" + "f" * 64)

    monkeypatch.setattr(fake, "image", image)
    ours, theirs = (ad_hoc(name, HTTP) for name in ("old", "new"))
    ours, theirs = (msgspec.structs.replace(one, engine=("fake",), tier=(Tier.WARM,)) for one in (ours, theirs))
    made = prepare_contest(make_place(), ours, theirs, lambda _: None)
    (pair,) = made.pairs
    assert (pair.baseline.image_key, pair.candidate.image_key) == (("app", "image"), ("app", variant))
    assert list(made.candidate.images) == [("app", variant)]
    assert set(made.sides("r")[Side.CANDIDATE].subjects) == {("app", variant)}


def test_one_name_for_two_images_keeps_both_in_the_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `gate main.toml pr.toml` has it: one workload name, in two checkouts."""
    real, made = fake.image, list[Image]()

    def image(workload: str, variant: str) -> Image:
        found = msgspec.structs.replace(real(workload, variant), digest=f"sha256:{len(made):064}")
        made.append(found)
        return found

    monkeypatch.setattr(fake, "image", image)
    manifest = contest().manifest(run_id="r", seed=1, started_at=dt.datetime(2026, 11, 24, tzinfo=dt.UTC), argv=())
    key = (made[0].workload, made[0].variant)
    assert [manifest.images_of(side)[key] for side in Side] == made
    assert manifest.images_of(None)[key] == made[0]
    assert manifest.all_images == tuple(made)


def test_a_contest_that_is_closed_closes_its_instruments(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Prepared] = []

    def close(self: Prepared) -> None:
        closed.append(self)

    monkeypatch.setattr(Prepared, "close", close)
    made = contest()
    made.close()
    assert closed == [made.baseline]


def test_sides_without_a_common_tier_are_refused_for_that() -> None:
    with pytest.raises(UsageError, match="have to have the same tier"):
        contest({"tier": (Tier.ABSENT,)}, {"tier": (Tier.WARM,)})


def test_several_images_a_side_are_paired_in_their_order() -> None:
    both = {"variant": ("alpine", "scratch")}
    assert [pair.candidate.variant for pair in contest(both, both).pairs] == ["alpine", "scratch"]


def test_an_image_of_another_name_keeps_its_own() -> None:
    ours, theirs = (
        msgspec.structs.replace(ad_hoc(name, HTTP), engine=("fake",), tier=(Tier.WARM,)) for name in ("old", "new")
    )
    made = prepare_contest(make_place(), ours, theirs, lambda _: None)
    assert [list(side.images) for side in (made.baseline, made.candidate)] == [[("old", "image")], [("new", "image")]]


def test_both_sides_are_prepared_as_was_said_and_the_second_on_the_firsts_instruments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[dict[str, Any]] = []
    real = prepare_module.prepare

    def prepare(*arguments: Any, **options: Any) -> Prepared:
        said.append(options)
        return real(*arguments, **options)

    monkeypatch.setattr(contest_module, "prepare", prepare)
    experiment = make_fake_experiment()
    options: dict[str, Any] = {"required_tiers": True, "bases": BaseSource.UPSTREAM, "platform": "linux/arm64"}
    made = prepare_contest(make_place(), experiment, experiment, lambda _: None, source="engine", **options)
    assert said == [{**options, "source": "engine"}, {**options, "chosen": made.baseline.chosen}]
