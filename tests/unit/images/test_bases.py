"""Bases: made once, from the source asked for, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.errors import ImageBuildError
from coldstart.images import bases, upstream
from coldstart.images.archive import write_archive
from coldstart.images.bases import Base, BaseRecord, BaseSource, adopt, cached, ensure_base, ensure_bases, folder_name
from coldstart.images.layers import new_layer
from coldstart.images.recipe import Parts, Progress, Recipe
from coldstart.model.image import Provenance

PLATFORM = "linux/amd64"


def _layer(work: Path) -> Path:
    with new_layer(work / "layer.tar") as writer:
        writer.add_file("f", b"x")
    return work / "layer.tar"


class Kitchen:
    """Stands for the package recipe of slim and for upstream's registry; counts what each made."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.failing: set[str] = set()
        self.upstream_platform = PLATFORM

    def from_packages(self, work: Path, platform: str, progress: Progress) -> Parts:
        self.made.append("packages")
        (work / "half-made").touch()
        if "packages" in self.failing:
            raise ImageBuildError("no packages")
        progress("cooking")
        provenance = Provenance(what=f"cooked for {platform}", source="packages", packages=("a=1",))
        return Parts(layers=((_layer(work), "made"),), config={}, provenance=provenance)

    def from_upstream(self, base: upstream.Upstream, archive: Path, *, tag: str, platform: str) -> Provenance:
        del platform
        self.made.append("upstream")
        if "upstream" in self.failing:
            raise ImageBuildError("429 too many requests")
        layers = [(_layer(archive.parent.parent), "made")]
        write_archive(archive, tag=tag, platform=self.upstream_platform, layers=layers, config={})
        return Provenance(what="bought", source=base.reference)


@pytest.fixture
def kitchen(monkeypatch: pytest.MonkeyPatch) -> Kitchen:
    kitchen = Kitchen()
    monkeypatch.setitem(bases._RECIPES, "slim", Recipe("1", kitchen.from_packages))
    monkeypatch.setattr(upstream, "fetch", kitchen.from_upstream)
    monkeypatch.setattr(upstream, "is_reachable", lambda _: True)
    return kitchen


def _slim(cache: Path, source: BaseSource, said: list[str] | None = None) -> Base:
    return ensure_base(cache, "slim", PLATFORM, source, (said if said is not None else []).append)


@pytest.mark.parametrize("source", [BaseSource.UPSTREAM, BaseSource.PACKAGES])
def test_a_forced_source_is_the_one_used(tmp_path: Path, kitchen: Kitchen, source: BaseSource) -> None:
    base = _slim(tmp_path, source)
    assert kitchen.made == [source]
    assert base.is_upstream is (source is BaseSource.UPSTREAM)


def test_auto_is_upstream_where_it_can_be_reached(tmp_path: Path, kitchen: Kitchen) -> None:
    _slim(tmp_path, BaseSource.AUTO)
    assert kitchen.made == ["upstream"]


def test_auto_is_packages_where_upstream_cannot_be_reached(
    tmp_path: Path, kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "is_reachable", lambda _: False)
    _slim(tmp_path, BaseSource.AUTO)
    assert kitchen.made == ["packages"]


def test_auto_falls_back_to_packages_and_says_why(tmp_path: Path, kitchen: Kitchen) -> None:
    kitchen.failing = {"upstream"}
    said: list[str] = []
    assert _slim(tmp_path, BaseSource.AUTO, said).record.provenance.source == "packages"
    assert any("429 too many requests" in line for line in said)


def test_upstream_when_forced_does_not_fall_back(tmp_path: Path, kitchen: Kitchen) -> None:
    kitchen.failing = {"upstream"}
    with pytest.raises(ImageBuildError, match="429"):
        _slim(tmp_path, BaseSource.UPSTREAM)


@pytest.mark.usefixtures("kitchen")
def test_the_second_call_makes_nothing(tmp_path: Path, kitchen: Kitchen) -> None:
    assert _slim(tmp_path, BaseSource.PACKAGES) == _slim(tmp_path, BaseSource.PACKAGES)
    assert kitchen.made == ["packages"]


def test_auto_stays_with_what_is_cached(tmp_path: Path, kitchen: Kitchen) -> None:
    _slim(tmp_path, BaseSource.PACKAGES)
    _slim(tmp_path, BaseSource.AUTO)
    assert kitchen.made == ["packages"]


def test_auto_takes_upstreams_of_two_that_are_cached(tmp_path: Path, kitchen: Kitchen) -> None:
    for source in (BaseSource.PACKAGES, BaseSource.UPSTREAM):
        _slim(tmp_path, source)
    assert _slim(tmp_path, BaseSource.AUTO).is_upstream
    assert kitchen.made == ["packages", "upstream"]


def test_another_recipe_or_platform_is_another_base(
    tmp_path: Path, kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    _slim(tmp_path, BaseSource.PACKAGES)
    assert cached(tmp_path, "slim", "linux/arm64", BaseSource.PACKAGES) is None
    monkeypatch.setitem(bases._RECIPES, "slim", Recipe("2", kitchen.from_packages))
    assert cached(tmp_path, "slim", PLATFORM, BaseSource.PACKAGES) is None


def test_a_failed_recipe_leaves_nothing(tmp_path: Path, kitchen: Kitchen) -> None:
    kitchen.failing = {"packages"}
    with pytest.raises(ImageBuildError, match="no packages"):
        _slim(tmp_path, BaseSource.PACKAGES)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_damaged_record_is_made_again(tmp_path: Path, kitchen: Kitchen) -> None:
    record = _slim(tmp_path, BaseSource.PACKAGES).archive.with_name("base.json")
    record.write_text("{")
    assert _slim(tmp_path, BaseSource.PACKAGES).record.name == "slim"
    assert kitchen.made == ["packages", "packages"]


def test_upstreams_image_for_another_platform_is_refused(tmp_path: Path, kitchen: Kitchen) -> None:
    kitchen.upstream_platform = "linux/s390x"
    with pytest.raises(ImageBuildError, match=r"is for linux/s390x, not for linux/amd64"):
        _slim(tmp_path, BaseSource.UPSTREAM)


def test_a_base_named_twice_is_made_once(tmp_path: Path, kitchen: Kitchen) -> None:
    made = ensure_bases(tmp_path, ["slim", "slim"], PLATFORM, BaseSource.PACKAGES, lambda _: None)
    assert (list(made), kitchen.made) == (["slim"], ["packages"])


def _adopted(cache: Path, image_id: str = "sha256:1", origin: str = "packages") -> Base:
    record = BaseRecord(
        name="slim",
        tag=f"coldstart-base/slim:{origin}",
        image_id=image_id,
        platform=PLATFORM,
        provenance=Provenance(what="slim", source="another machine"),
    )
    return adopt(cache, record)


def test_an_adopted_base_is_known_without_an_archive(tmp_path: Path) -> None:
    base = _adopted(tmp_path)
    assert cached(tmp_path, "slim", PLATFORM, BaseSource.AUTO) == base
    assert not base.archive.exists()


def test_a_base_without_its_archive_is_made_when_something_is_to_be_built_on_it(
    tmp_path: Path, kitchen: Kitchen
) -> None:
    _adopted(tmp_path)
    assert _slim(tmp_path, BaseSource.PACKAGES).archive.is_file()
    assert kitchen.made == ["packages"]


def test_an_adopted_base_takes_the_place_of_another_by_the_same_recipe(tmp_path: Path) -> None:
    _adopted(tmp_path, "sha256:old").archive.touch()
    new = _adopted(tmp_path, "sha256:new")
    assert cached(tmp_path, "slim", PLATFORM, BaseSource.PACKAGES) == new
    assert not new.archive.exists()


def test_adopting_a_base_that_is_here_keeps_its_archive(tmp_path: Path) -> None:
    base = _adopted(tmp_path)
    base.archive.touch()
    assert _adopted(tmp_path) == base
    assert base.archive.exists()


def test_a_base_is_called_as_its_recipe_and_source_are(tmp_path: Path) -> None:
    names = {folder_name(_adopted(tmp_path, image_id).record) for image_id in ("sha256:a", "sha256:b")}
    assert len(names) == 1
    assert folder_name(_adopted(tmp_path, origin="upstream").record) not in names
