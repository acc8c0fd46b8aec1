"""When an image is built, and when what is there is what would be built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coldstart.errors import ImageBuildError, NotPublishedError, RegistryUnreachableError, UnknownNameError
from coldstart.images import build as module
from coldstart.images.bases import Base, BaseRecord, BaseSource
from coldstart.images.build import ImageHost, content_key, ensure_images, recorded_images
from coldstart.images.catalogue import Variant, Workload
from coldstart.model.image import Provenance
from coldstart.model.probe import ProbeSpec
from tests.unit.images.fake_registry import FakeRegistry

PLATFORM = "linux/amd64"


def _base(tmp_path: Path, image_id: str = "sha256:1", origin: str = "packages") -> Base:
    record = BaseRecord(
        name="slim",
        tag=f"coldstart-base/slim:{origin}",
        image_id=image_id,
        platform=PLATFORM,
        provenance=Provenance(what="slim", source="s"),
    )
    return Base(record=record, archive=tmp_path / "slim.tar")


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    folder = tmp_path / "app"
    folder.mkdir()
    for name in ("Dockerfile.a", "Dockerfile.b", "main.go"):
        (folder / name).write_text(name)
    variants = {name: Variant(dockerfile=f"Dockerfile.{name}", description="", bases=("slim",)) for name in "ab"}
    return Workload(name="app", description="", ready=ProbeSpec(kind="exit"), variants=variants, folder=folder)


class Workshop:
    """Stands for engine, bases and builder: a push puts an image into the registry, or not."""

    def __init__(self, server: FakeRegistry, base: Base) -> None:
        self.server = server
        self.base: Base = base
        self.built: list[str] = []
        self.wheels: list[Path] = []
        self.loses_pushes = False
        self.egress: list[str] = []
        self.architecture = "amd64"
        self.foreign: str | None = None
        self.tags: list[str] = []

    def build(
        self, workload: Workload, variant: str, bases: Sequence[Base], tag: str, wheels: Sequence[Path] = ()
    ) -> str:
        del bases
        self.tags.append(tag)
        self.wheels = list(wheels)
        self.built.append(f"{workload.name}/{variant}")
        return "sha256:built"

    def push(self, tag: str) -> None:
        repository, _, variant = tag.removeprefix(f"{self.server.address}/").partition(":")
        if not self.loses_pushes:
            self.server.put_image(repository, variant, [], architecture=self.architecture)

    @contextmanager
    def way_out(self) -> Iterator[None]:
        self.egress.append("open")
        yield
        self.egress.append("closed")


@pytest.fixture
def workshop(registry_server: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    workshop = Workshop(registry_server, _base(tmp_path))

    @contextmanager
    def client(_: str) -> Iterator[object]:
        yield workshop

    @contextmanager
    def building(_host: object, _progress: object, foreign: str | None) -> Iterator[Workshop]:
        workshop.foreign = foreign
        yield workshop

    monkeypatch.setattr(module, "engine_client", client)
    monkeypatch.setattr(module, "platform_of", lambda _: PLATFORM)
    monkeypatch.setattr(module, "building", building)
    monkeypatch.setattr(module, "cached", lambda *_: workshop.base)
    monkeypatch.setattr(module, "ensure_bases", lambda _, names, *__: dict.fromkeys(names, workshop.base))
    return workshop


@pytest.fixture
def host(workshop: Workshop, tmp_path: Path) -> ImageHost:
    return ImageHost(
        docker_socket="unix:///x",
        registry_address=workshop.server.address,
        registry_netns=None,
        cache=tmp_path / "cache",
    )


def _ensure(host: ImageHost, workload: Workload, *variants: str, workshop: Workshop | None = None) -> list[str]:
    images = ensure_images(
        host,
        [("app", variant) for variant in variants],
        lambda _: None,
        workloads={"app": workload},
        egress=workshop.way_out if workshop else nullcontext,
    )
    return [image.variant for image in images]


def test_the_key_changes_with_everything_that_decides_the_image(workload: Workload, tmp_path: Path) -> None:
    variant, base = workload.variant("a"), _base(tmp_path)
    keys = [
        content_key(workload, variant, [base], PLATFORM),
        content_key(workload, variant, [base], "linux/arm64"),
        content_key(workload, variant, [_base(tmp_path, "sha256:2")], PLATFORM),
        content_key(workload, workload.variant("b"), [base], PLATFORM),
    ]
    for name in ("main.go", "Dockerfile.a"):
        (workload.folder / name).write_text("changed")
        keys.append(content_key(workload, variant, [base], PLATFORM))
    (workload.folder / "main.go").chmod(0o755)
    keys.append(content_key(workload, variant, [base], PLATFORM))
    assert len(set(keys)) == len(keys)


def test_the_key_does_not_change_with_another_variants_dockerfile(workload: Workload, tmp_path: Path) -> None:
    before = content_key(workload, workload.variant("a"), [_base(tmp_path)], PLATFORM)
    (workload.folder / "Dockerfile.b").write_text("changed")
    assert content_key(workload, workload.variant("a"), [_base(tmp_path)], PLATFORM) == before


def test_images_come_in_the_order_they_were_asked_for(host: ImageHost, workload: Workload) -> None:
    _ensure(host, workload, "b")
    assert _ensure(host, workload, "a", "b", "a") == ["a", "b", "a"]


def test_the_second_call_builds_nothing(host: ImageHost, workload: Workload, workshop: Workshop) -> None:
    for _ in range(2):
        _ensure(host, workload, "a")
    assert workshop.built == ["app/a"]


def test_only_what_is_missing_is_built(host: ImageHost, workload: Workload, workshop: Workshop) -> None:
    _ensure(host, workload, "a")
    _ensure(host, workload, "a", "b")
    assert workshop.built == ["app/a", "app/b"]


def test_an_image_the_registry_lost_is_built_again(host: ImageHost, workload: Workload, workshop: Workshop) -> None:
    _ensure(host, workload, "a")
    workshop.server.manifests.clear()
    _ensure(host, workload, "a")
    assert workshop.built == ["app/a", "app/a"]


def test_a_changed_source_is_built_again(host: ImageHost, workload: Workload, workshop: Workshop) -> None:
    _ensure(host, workload, "a")
    (workload.folder / "main.go").write_text("changed")
    _ensure(host, workload, "a")
    assert workshop.built == ["app/a", "app/a"]


def test_a_damaged_record_is_built_again(host: ImageHost, workload: Workload, workshop: Workshop) -> None:
    _ensure(host, workload, "a")
    for record in (host.cache / "images").iterdir():
        record.write_text("{")
    _ensure(host, workload, "a")
    assert workshop.built == ["app/a", "app/a"]


def test_a_recorded_image_is_referred_to_at_todays_address(
    host: ImageHost, workload: Workload, workshop: Workshop
) -> None:
    _ensure(host, workload, "a")
    moved = msgspec.structs.replace(host, registry_address=workshop.server.address.replace("127.0.0.1", "localhost"))
    image = recorded_images(moved, [("app", "a")], PLATFORM, workloads={"app": workload})["app", "a"]
    assert image is not None
    assert image.reference.startswith("localhost:")


def test_an_image_whose_base_is_not_made_is_not_there(
    host: ImageHost, workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ensure(host, workload, "a")
    monkeypatch.setattr(module, "cached", lambda *_: None)
    assert recorded_images(host, [("app", "a")], PLATFORM, workloads={"app": workload}) == {("app", "a"): None}


def test_a_push_that_did_not_arrive_is_an_error(host: ImageHost, workload: Workload, workshop: Workshop) -> None:
    workshop.loses_pushes = True
    with pytest.raises(ImageBuildError, match="the registry does not have it"):
        _ensure(host, workload, "a")


def test_an_unknown_variant_is_told_before_anything_is_asked(host: ImageHost, workload: Workload) -> None:
    with pytest.raises(UnknownNameError, match="unknown variant 'c'"):
        _ensure(host, workload, "c")


def test_a_registry_that_is_gone_is_told(host: ImageHost, workload: Workload) -> None:
    _ensure(host, workload, "a")
    with pytest.raises(RegistryUnreachableError):
        _ensure(msgspec.structs.replace(host, registry_address="127.0.0.1:9"), workload, "a")


def test_the_way_out_is_open_for_builds_on_upstreams_bases_alone(
    host: ImageHost, workload: Workload, workshop: Workshop, tmp_path: Path
) -> None:
    _ensure(host, workload, "a", workshop=workshop)
    assert workshop.egress == []
    workshop.base = _base(tmp_path, origin=BaseSource.UPSTREAM)
    _ensure(host, workload, "b", workshop=workshop)
    assert workshop.egress == ["open", "closed"]


def test_without_a_registry_the_image_stays_in_the_engine_under_its_name(host: ImageHost, workload: Workload) -> None:
    own = msgspec.structs.replace(host, registry_address=None)
    (image,) = ensure_images(own, [("app", "a")], lambda _: None, workloads={"app": workload})
    assert (image.reference, image.digest, image.image_id) == ("coldstart/app:a", None, "sha256:built")
    assert image.unpacked_bytes is None


def _with_wheels(workload: Workload) -> Workload:
    (workload.folder / "requirements.txt").write_text("a==1 --hash=sha256:0\n")
    needing: Workload = msgspec.structs.replace(workload, wheels=("requirements.txt",))
    return needing


def test_wheels_reach_the_build(
    host: ImageHost, workload: Workload, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[list[Path], str, str]] = []

    def ensure_wheels(_: Path, requirements: list[Path], python: str, platform: str, __: object) -> tuple[Path, ...]:
        asked.append((requirements, python, platform))
        return (Path("a.whl"),)

    monkeypatch.setattr(module, "ensure_wheels", ensure_wheels)
    record = msgspec.structs.replace(workshop.base.record, python="3.11")
    workshop.base = msgspec.structs.replace(workshop.base, record=record)
    _ensure(host, _with_wheels(workload), "a")
    assert asked == [([workload.folder / "requirements.txt"], "3.11", PLATFORM)]
    assert workshop.wheels == [Path("a.whl")]


def test_the_key_changes_with_the_wheels_that_are_asked_for(workload: Workload, tmp_path: Path) -> None:
    variant, base = workload.variant("a"), _base(tmp_path)
    needing = _with_wheels(workload)
    without: Workload = msgspec.structs.replace(needing, wheels=())
    assert content_key(needing, variant, [base], PLATFORM) != content_key(without, variant, [base], PLATFORM)


# --- another platform ---

ARM = "linux/arm64"


def _for_arm(host: ImageHost, workload: Workload, *variants: str, **options: Any) -> list[str]:
    wanted = [("app", variant) for variant in variants]
    images = ensure_images(host, wanted, lambda _: None, workloads={"app": workload}, platform=ARM, **options)
    return [image.variant for image in images]


def test_an_image_for_another_platform_takes_no_name_from_the_engines_own(
    host: ImageHost, workload: Workload, workshop: Workshop
) -> None:
    _ensure(host, workload, "a")
    assert (workshop.foreign, workshop.tags[-1].rpartition("/")[2]) == (None, "app:a")
    workshop.architecture = "arm64"
    assert _for_arm(host, workload, "a") == ["a"]
    assert (workshop.foreign, workshop.tags[-1].rpartition("/")[2]) == (ARM, "app:a-linux-arm64")


def test_images_of_two_platforms_are_recorded_side_by_side(
    host: ImageHost, workload: Workload, workshop: Workshop
) -> None:
    _ensure(host, workload, "a")
    workshop.architecture = "arm64"
    for _ in range(2):
        _for_arm(host, workload, "a")
    _ensure(host, workload, "a")
    assert workshop.built == ["app/a", "app/a"]


def test_an_engine_that_ignores_the_platform_is_found_out(host: ImageHost, workload: Workload) -> None:
    with pytest.raises(ImageBuildError, match="built for linux/arm64 and is for linux/amd64"):
        _for_arm(host, workload, "a")


def test_how_an_engine_names_its_own_platform_is_its_own_affair(
    host: ImageHost, workload: Workload, workshop: Workshop
) -> None:
    workshop.architecture = "386"
    assert _ensure(host, workload, "a") == ["a"]


def _nobody_publishes(monkeypatch: pytest.MonkeyPatch, workshop: Workshop, *missing: str) -> None:
    def ensure_bases(_: object, names: Sequence[str], *__: object) -> dict[str, Base]:
        for name in missing:
            if name in names:
                raise NotPublishedError(f"no {name}")
        return dict.fromkeys(names, workshop.base)

    monkeypatch.setattr(module, "ensure_bases", ensure_bases)


def _with_alpine(workload: Workload) -> Workload:
    alpine: Variant = msgspec.structs.replace(workload.variant("b"), bases=("alpine",))
    changed: Workload = msgspec.structs.replace(workload, variants={**workload.variants, "b": alpine})
    return changed


def test_what_nobody_publishes_parts_for_is_left_out_by_name(
    host: ImageHost, workload: Workload, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    _nobody_publishes(monkeypatch, workshop, "alpine")
    workshop.architecture = "arm64"
    told: list[tuple[tuple[str, str], str]] = []
    done = _for_arm(
        host, _with_alpine(workload), "b", "a", left_out=lambda pair, error: told.append((pair, str(error)))
    )
    assert (done, told, workshop.built) == (["a"], [(("app", "b"), "no alpine")], ["app/a"])


def test_what_was_asked_for_by_name_is_missed(
    host: ImageHost, workload: Workload, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    _nobody_publishes(monkeypatch, workshop, "alpine")
    with pytest.raises(NotPublishedError, match="no alpine"):
        _for_arm(host, _with_alpine(workload), "a", "b")
    assert workshop.built == []


def test_where_nothing_can_be_built_no_builder_is_started(
    host: ImageHost, workload: Workload, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    _nobody_publishes(monkeypatch, workshop, "slim")
    monkeypatch.setattr(module, "building", lambda *_: pytest.fail("started"))
    assert _for_arm(host, workload, "a", left_out=lambda *_: None) == []
