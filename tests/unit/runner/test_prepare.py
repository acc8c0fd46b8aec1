"""An experiment against a place: what is refused, what is left out, what the manifest says."""

from __future__ import annotations

import datetime as dt
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coldstart.engines.base import Capability
from coldstart.engines.fake import FakeEngine
from coldstart.errors import InvalidEnvironmentError, UnknownNameError, UsageError
from coldstart.model.cell import Network, Tier
from coldstart.model.experiment import Experiment
from coldstart.model.image import Image
from coldstart.model.options import ContainerOptions
from coldstart.model.probe import ProbeSpec
from coldstart.model.run import RegistryFacts, RunManifest, RuntimeFacts
from coldstart.model.sample import Source
from coldstart.plan.overrides import ad_hoc
from coldstart.probes.http import HttpProbe
from coldstart.probes.log import LogProbe
from coldstart.runner import prepare as module
from coldstart.runner.place import Place
from coldstart.runner.prepare import Prepared, command_line, differences, prepare
from coldstart.testbed.surroundings import Surroundings
from tests.unit.factories import make_experiment, make_host, make_image, make_manifest

HTTP, LOG = ProbeSpec.parse("http:8080/"), ProbeSpec.parse("log:ready")


class Unable(FakeEngine):
    """Neither pulls nor lets anybody read its log."""

    capabilities = frozenset({Capability.PRIVATE, Capability.CONTAINER_ADDRESS})


def make_place(engine: FakeEngine | None = None, **fields: Any) -> Place:
    """The fake engine's place."""
    defaults: dict[str, Any] = {
        "engine": engine or FakeEngine(),
        "surroundings": Surroundings(None, None),
        "storage": Path.cwd(),
        "registry": RegistryFacts(address=None, version=None, link="none", cache_state="none"),
        "image_host": None,
        "blobs": None,
    }
    return Place(**{**defaults, **fields})


def make_fake_experiment(**fields: Any) -> Experiment:
    """`make_experiment` on the fake engine."""
    return make_experiment(engine=("fake",), **fields)


def prepared(experiment: Experiment | None = None, place: Place | None = None, **options: Any) -> Prepared:
    return prepare(place or make_place(), experiment or make_fake_experiment(), lambda _: None, **options)


def manifest_of(one: Prepared) -> RunManifest:
    at = dt.datetime(2026, 11, 24, 5, 15, 30, 123456, dt.UTC)
    return one.manifest(run_id="r", seed=7, started_at=at, argv=("coldstart", "run"))


# --- levels ---


@pytest.mark.parametrize(
    ("level", "nearest"),
    [
        ({"runtime": ("rnc",)}, "unknown runtime 'rnc'; did you mean 'runc'"),
        ({"workload": ("helo",)}, "unknown workload 'helo'; did you mean 'hello'"),
        ({"variant": ("alpin",)}, "unknown variant of workload hello 'alpin'; did you mean 'alpine'"),
    ],
)
def test_a_level_nobody_has_is_answered_with_the_nearest(level: dict[str, Any], nearest: str) -> None:
    with pytest.raises(UnknownNameError, match=nearest):
        prepared(make_fake_experiment(**level))


def test_a_runtime_is_one_of_the_places(monkeypatch: pytest.MonkeyPatch) -> None:
    own = (RuntimeFacts(name="youki", path=None, version=None, sha256=None),)
    monkeypatch.setattr(FakeEngine, "runtimes", lambda _engine: own)
    with pytest.raises(UnknownNameError, match="Known: youki"):
        prepared()


# --- probes ---


def test_an_unknown_probe_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'http'"):
        prepared(make_fake_experiment(ready=ProbeSpec.parse("htp:8080/")))


@pytest.mark.parametrize("network", [(Network.NONE,), (Network.BRIDGE, Network.NONE)])
@pytest.mark.parametrize("ready", [None, HTTP, ProbeSpec.parse("tcp:8080")])
def test_a_network_probe_needs_a_network(network: tuple[Network, ...], ready: ProbeSpec | None) -> None:
    with pytest.raises(UsageError, match="use a log or exit probe, or network bridge or host"):
        prepared(make_fake_experiment(network=network, ready=ready))


@pytest.mark.parametrize("ready", [LOG, ProbeSpec.parse("exit")])
def test_without_a_network_a_log_or_exit_probe_will_do(ready: ProbeSpec) -> None:
    network = (Network.NONE,)
    assert prepared(make_fake_experiment(network=network, ready=ready)).experiment.network == network


@pytest.mark.parametrize(("ready", "kind"), [(None, HttpProbe), (LOG, LogProbe)])
def test_an_experiments_probe_goes_before_the_workloads(ready: ProbeSpec | None, kind: type) -> None:
    bench = prepared(make_fake_experiment(ready=ready)).bench("r")
    assert isinstance(bench.subjects["hello", "alpine"].new_probe(), kind)


# --- tiers ---


def provable(*tiers: Tier, engine: FakeEngine | None = None, required: bool = False, **image: Any) -> tuple[Tier, ...]:
    """What remains of the tiers."""
    images = {("hello", "alpine"): make_image(**image)}
    experiment = make_fake_experiment(tier=tiers)
    return module._provable(make_place(engine), experiment, images, lambda _: None, required=required).tier


def test_a_tier_that_cannot_be_proved_is_left_out() -> None:
    assert provable(*Tier) == (Tier.ABSENT, Tier.WARM)


def left_out(*tiers: Tier) -> list[str]:
    """What is said of tiers that are left out."""
    said: list[str] = []
    prepare(make_place(), make_fake_experiment(tier=tiers), said.append)
    return [message for message in said if message.startswith("left out: ")]


def test_a_tier_left_out_is_told_with_the_reason() -> None:
    why = "the engine's layer folders cannot be read here, so their pages can be neither evicted nor counted"
    assert left_out(*Tier) == [f"left out: tier cached: {why}"]


def test_where_all_can_be_proved_nothing_is_left_out() -> None:
    assert left_out(Tier.ABSENT, Tier.WARM) == []


def test_a_tier_that_is_required_is_not_left_out() -> None:
    with pytest.raises(InvalidEnvironmentError, match="cannot be measured on this engine: tier cached: "):
        provable(*Tier, required=True)


def test_required_tiers_that_can_be_proved_remain() -> None:
    assert provable(Tier.WARM, Tier.ABSENT, required=True) == (Tier.WARM, Tier.ABSENT)


def test_where_no_tier_remains_there_is_nothing_to_measure() -> None:
    with pytest.raises(InvalidEnvironmentError, match=r"Leave it out with --tier, or use the testbed"):
        provable(Tier.CACHED)


def test_every_obstacle_is_named() -> None:
    with pytest.raises(InvalidEnvironmentError, match="tier absent: the engine does not pull images; tier cached: "):
        provable(Tier.ABSENT, Tier.CACHED, engine=Unable())


def test_images_that_are_in_no_registry_are_never_absent() -> None:
    assert provable(Tier.ABSENT, Tier.WARM, digest=None) == (Tier.WARM,)


def test_one_image_in_no_registry_keeps_the_tier_from_all() -> None:
    images = {("hello", "alpine"): make_image(), ("hello", "scratch"): make_image(variant="scratch", digest=None)}
    why = module._obstacle(make_place(), Tier.ABSENT, images)
    assert why == "its images were built on this engine and are in no registry to pull them from"


# --- images ---


def test_only_the_experiments_images_are_made() -> None:
    assert set(prepared(make_fake_experiment(variant=("alpine", "scratch"))).images) == {
        ("hello", "alpine"),
        ("hello", "scratch"),
    }


@pytest.mark.parametrize(("reference", "key"), [("app:1", ("app", "1")), ("app", ("app", "image"))])
def test_an_image_of_ones_own_names_workload_and_variant(reference: str, key: tuple[str, str]) -> None:
    experiment = msgspec.structs.replace(ad_hoc(reference, HTTP), engine=("fake",))
    assert {cell.image_key for cell in prepared(experiment).cells} == {key}


def test_cells_are_those_of_the_tiers_that_remain() -> None:
    one = prepared(make_fake_experiment(tier=tuple(Tier), runtime=("runc", "crun")))
    assert [(cell.runtime, cell.tier) for cell in one.cells] == [
        ("runc", Tier.ABSENT),
        ("runc", Tier.WARM),
        ("crun", Tier.ABSENT),
        ("crun", Tier.WARM),
    ]


# --- instruments ---


def test_where_the_engines_log_can_be_read_it_is_a_source() -> None:
    assert [source.facts.name for source in prepared().bench("r").sources] == [Source.ENGINE_LOG, Source.ENGINE_API]


def test_where_it_cannot_the_api_is_the_only_one() -> None:
    one = prepared(make_fake_experiment(tier=(Tier.WARM,)), make_place(Unable()))
    assert [source.facts.name for source in one.bench("r").sources] == [Source.ENGINE_API]


def test_the_bench_has_the_experiments_timeout() -> None:
    assert prepared(make_fake_experiment(timeout_ns=17)).bench("r").timeout_ns == 17


# --- the manifest ---


def test_the_manifest_names_the_runtimes_used_and_no_others() -> None:
    assert [facts.name for facts in manifest_of(prepared()).runtimes] == ["runc"]


def test_the_manifest_has_the_experiment_as_it_is_measured() -> None:
    one = prepared(make_fake_experiment(tier=tuple(Tier)))
    assert manifest_of(one).experiment.tier == (Tier.ABSENT, Tier.WARM)


def test_the_manifest_has_the_places_notes() -> None:
    place = make_place(notes=("engine data on a stick",))
    assert manifest_of(prepared(place=place)).notes == ("engine data on a stick",)


def test_the_manifest_has_what_was_typed() -> None:
    assert manifest_of(prepared()).argv == ("coldstart", "run")


def test_the_manifest_says_when_to_the_second_in_utc() -> None:
    assert manifest_of(prepared()).started_at == "2026-11-24T05:15:30Z"


def test_the_manifest_has_every_source_with_its_bias() -> None:
    one = prepared()
    assert manifest_of(one).sources == tuple(source.facts for source in one.bench("r").sources)


def test_the_manifest_has_every_image() -> None:
    one = prepared(make_fake_experiment(variant=("alpine", "scratch")))
    assert [image.variant for image in manifest_of(one).images] == ["alpine", "scratch"]


def test_the_manifest_survives_json() -> None:
    manifest = manifest_of(prepared())
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=RunManifest) == manifest


def test_the_command_is_stored_without_the_folder_it_lies_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/home/me/.venv/bin/coldstart", "run", "-n", "3"])
    assert command_line() == ("coldstart", "run", "-n", "3")


# --- going on elsewhere ---


def changed(**fields: Any) -> tuple[str, ...]:
    """The differences that these fields of the later manifest make."""
    return differences(make_manifest(), make_manifest(**fields))


def engine(**fields: Any) -> dict[str, Any]:
    return {"engine": msgspec.structs.replace(make_manifest().engine, **fields)}


def registry(**fields: Any) -> dict[str, Any]:
    return {"registry": msgspec.structs.replace(make_manifest().registry, **fields)}


def runtime(**fields: Any) -> RuntimeFacts:
    return msgspec.structs.replace(make_manifest().runtimes[0], **fields)


def test_a_run_goes_on_under_the_manifest_it_has() -> None:
    assert changed() == ()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"host": make_host(host_id="f")}, "its host was 0123456789abcdef, here it is f"),
        (engine(version="29"), "its engine was docker 20.10.24, here it is docker 29"),
        (engine(name="fake"), "its engine was docker 20.10.24, here it is fake 20.10.24"),
        (engine(where="user"), "its engine's place was testbed, here it is user"),
        (engine(storage_driver="vfs"), "its engine's storage was overlay2, here it is vfs"),
        (registry(link="external"), "its registry's link was local link, here it is external"),
        ({"runtimes": (runtime(version="1.2"),)}, "its runtime runc was 1.1.5, here it is 1.2"),
        (
            {"images": (make_image(digest="x"),)},
            f"its manifest of image hello/alpine was {make_image().digest}, here it is x",
        ),
        ({"images": (make_image(image_id="x"),)}, f"its image hello/alpine was {make_image().image_id}, here it is x"),
    ],
)
def test_what_keeps_a_run_from_going_on_is_told(fields: dict[str, Any], told: str) -> None:
    assert changed(**fields) == (told,)


@pytest.mark.parametrize(
    "fields",
    [
        {"host": make_host(kernel="6.2.0")},
        engine(api_version="1.40"),
        registry(version="3"),
        {"argv": ("coldstart", "run", "--resume", "x")},
        {"started_at": "2027-01-01T00:00:00Z"},
        {"coldstart_version": "0.2.0"},
    ],
)
def test_what_may_change_while_a_run_rests_is_no_difference(fields: dict[str, Any]) -> None:
    assert changed(**fields) == ()


def test_of_a_runtime_the_executables_digest_decides_where_it_is_known() -> None:
    begun = make_manifest(runtimes=(runtime(sha256="a"),))
    now = make_manifest(runtimes=(runtime(sha256="b"),))
    assert differences(begun, now) == ("its runtime runc was a, here it is b",)


def test_a_runtime_built_anew_under_its_version_is_the_same_by_its_digest() -> None:
    begun = make_manifest(runtimes=(runtime(sha256="a", version="1"),))
    assert differences(begun, make_manifest(runtimes=(runtime(sha256="a", version="2"),))) == ()


def test_every_difference_is_told() -> None:
    assert len(changed(host=make_host(host_id="f"), **engine(version="29"))) == 2


class InMemory(Surroundings):
    """Storage on which eviction is of no use."""

    def eviction_obstacle(self) -> str | None:
        """It is always so."""
        return "a tmpfs is memory itself"


def test_a_tier_that_the_storage_cannot_have_is_left_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeEngine, "capabilities", FakeEngine.capabilities | {Capability.LAYER_PATHS})
    told: list[str] = []
    place = make_place(surroundings=InMemory(None, None))
    found = prepare(place, make_fake_experiment(tier=(Tier.CACHED, Tier.WARM)), told.append)
    assert found.experiment.tier == (Tier.WARM,)
    assert any(
        text.startswith("left out: tier cached: pages of its layers cannot be put out of memory") for text in told
    )


class Keeping(FakeEngine):
    """An engine with images of its user's."""

    def kept_layers(self, image: Image) -> str | None:
        """Something is kept of every image but scratch."""
        return None if image.variant == "scratch" else f"{image.variant} was in the engine before"


def test_a_tier_whose_image_stays_in_the_engine_is_left_out_by_name() -> None:
    told: list[str] = []
    experiment = make_fake_experiment(tier=(Tier.ABSENT, Tier.WARM))
    found = prepare(make_place(Keeping()), experiment, told.append)
    assert found.experiment.tier == (Tier.WARM,)
    why = "left out: tier absent: alpine was in the engine before, and coldstart removes only what it pulled"
    assert why in told


def test_a_tier_that_is_asked_for_and_whose_image_stays_in_the_engine_is_refused() -> None:
    experiment = make_fake_experiment(tier=(Tier.ABSENT, Tier.WARM))
    with pytest.raises(InvalidEnvironmentError, match="alpine was in the engine before"):
        prepare(make_place(Keeping()), experiment, lambda _: None, required_tiers=True)


def images_of(*variants: str) -> tuple[Image, ...]:
    return tuple(make_image(variant=variant) for variant in variants)


def test_an_image_only_one_of_them_has_is_no_difference() -> None:
    begun, now = make_manifest(images=images_of("a", "b")), make_manifest(images=images_of("b", "c"))
    assert differences(begun, now) == ()


# --- workloads of one's own, and variants that not all have ---


def _own(tmp_path: Path, name: str = "app") -> dict[str, str]:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "Dockerfile").touch()
    (folder / "workload.toml").write_text(
        f'name = "{name}"\ndescription = ""\nready = "log:up"\n'
        '[variants.slim]\ndockerfile = "Dockerfile"\ndescription = ""\n'
    )
    return {name: str(folder)}


def test_a_workload_of_ones_own_is_judged_by_its_own_probe(tmp_path: Path) -> None:
    one = prepared(make_fake_experiment(workload=("app",), variant=("slim",), folders=_own(tmp_path)))
    subject = one.bench("r").subjects["app", "slim"]
    assert isinstance(subject.new_probe(), LogProbe)


def test_the_manifest_holds_the_folder_of_a_workload_of_ones_own(tmp_path: Path) -> None:
    folders = _own(tmp_path)
    one = prepared(make_fake_experiment(workload=("app",), variant=("slim",), folders=folders))
    assert manifest_of(one).experiment.folders == folders


def test_a_variant_that_a_workload_lacks_is_left_out_by_name(tmp_path: Path) -> None:
    said: list[str] = []
    experiment = make_fake_experiment(workload=("app", "hello"), variant=("slim", "alpine"), folders=_own(tmp_path))
    one = prepare(make_place(), experiment, said.append)
    told = ["left out: workload app has no variant alpine", "left out: workload hello has no variant slim"]
    assert said[:2] == told
    assert list(manifest_of(one).notes[-2:]) == told
    assert set(one.images) == {("app", "slim"), ("hello", "alpine")}


# --- a way out ---


@pytest.mark.parametrize("asked", [True, False])
def test_containers_have_a_way_out_if_it_was_asked_for(asked: bool) -> None:
    place = make_place(egress=lambda: nullcontext("out"))
    with prepared(make_fake_experiment(egress=asked), place).bench("r").way_out() as what:
        assert what == ("out" if asked else None)


@pytest.mark.parametrize("private", [True, False])
def test_on_a_users_own_engine_it_is_told_that_a_way_out_changes_nothing(private: bool) -> None:
    engine = FakeEngine()
    told: list[str] = []
    if not private:
        engine.capabilities -= {Capability.PRIVATE}
    prepare(make_place(engine), make_fake_experiment(egress=True), told.append)
    assert any("--egress changes nothing here" in text for text in told) is not private


# --- what is not told ---


@pytest.mark.parametrize(
    ("link", "address"), [("another machine's", "registry-73b07cc3"), ("local link", "198.18.0.2:5000")]
)
def test_of_a_registry_elsewhere_a_hash_is_stored_in_place_of_its_address(link: str, address: str) -> None:
    facts = RegistryFacts(address="198.18.0.2:5000", version=None, link=link, cache_state="unknown")
    one = prepared(place=make_place(registry=facts))
    image = make_image(reference="198.18.0.2:5000/coldstart/hello@sha256:1")
    manifest = manifest_of(replace(one, images={("hello", "alpine"): image}))
    assert manifest.registry.address == address
    assert [stored.reference for stored in manifest.images] == [f"{address}/coldstart/hello@sha256:1"]


# --- images of another kind ---


class Old(FakeEngine):
    """Does not unpack zstd."""

    capabilities = FakeEngine.capabilities - {Capability.ZSTD_LAYERS}


def ad_hoc_prepared(image: Image, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    monkeypatch.setattr(module, "_ad_hoc_image", lambda *_: image)
    return prepared(
        msgspec.structs.replace(ad_hoc("app:1", LOG), engine=("fake",), tier=(Tier.WARM,)), make_place(engine)
    )


def compressed(compression: str) -> Image:
    layers = tuple(msgspec.structs.replace(layer, compression=compression) for layer in make_image().layers)
    return make_image(layers=layers)


def test_layers_the_engine_cannot_unpack_are_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InvalidEnvironmentError, match=r"compressed by zstd, which this engine \(fake 0\) .*gzip"):
        ad_hoc_prepared(compressed("zstd"), Old(), monkeypatch)


@pytest.mark.parametrize(("compression", "engine"), [("zstd", FakeEngine), ("gzip", Old), ("none", Old)])
def test_layers_the_engine_unpacks_are_measured(
    compression: str, engine: type[FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = ad_hoc_prepared(compressed(compression), engine(), monkeypatch)
    assert {layer.compression for image in one.images.values() for layer in image.layers} == {compression}


def test_an_image_of_another_cpu_is_known_to_be_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    one = ad_hoc_prepared(make_image(platform="linux/s390x"), FakeEngine(), monkeypatch)
    assert [subject.emulator is None for subject in one.bench("r").subjects.values()] == [False]


def test_an_image_of_this_cpu_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    one = ad_hoc_prepared(make_image(), FakeEngine(), monkeypatch)
    assert [subject.emulator for subject in one.bench("r").subjects.values()] == [None]


# --- the resolver ---


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({}, ("timeout:0",)),
        ({"egress": True}, ()),
        ({"options": ContainerOptions(dns=("10.0.0.1",))}, ()),
        ({"options": ContainerOptions(dns_options=("ndots:1",))}, ("ndots:1",)),
    ],
)
def test_without_a_way_out_containers_are_given_no_time_for_lookups_unless_they_say_how(
    fields: dict[str, Any], options: tuple[str, ...]
) -> None:
    place = make_place(offline=ContainerOptions(dns_options=("timeout:0",)))
    one = prepared(make_fake_experiment(**fields), place)
    assert one.bench("r").options.dns_options == options
    assert one.experiment.options.dns_options == fields.get("options", ContainerOptions()).dns_options
