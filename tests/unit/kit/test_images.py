"""Images from one registry into another: recorded there as built, or refused with nothing changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from coldstart.errors import ImageBuildError, InputFileError, InvalidEnvironmentError
from coldstart.images import bases, processes
from coldstart.images.bases import BaseRecord, adopt, cached
from coldstart.images.build import content_key, record, recorded_images
from coldstart.images.catalogue import Variant, Workload
from coldstart.images.host import ImageHost
from coldstart.images.registry import Registry
from coldstart.kit import bundle
from coldstart.kit import images as module
from coldstart.kit.bundle import Manifest, read_manifest
from coldstart.kit.images import Records, SavedImage, blobs_of, load_images, read_images, save_images
from coldstart.model.image import Image, Provenance
from coldstart.model.probe import ProbeSpec
from tests.unit.images.fake_registry import FakeRegistry

PLATFORM = "linux/amd64"
PAIR = ("app", "a")


class Skopeo:
    """Copies between a registry in memory and folders; what it copied is remembered."""

    def __init__(self, server: FakeRegistry) -> None:
        self.server = server
        self.copied: list[str] = []
        self.loses = False

    def run(self, argv: Sequence[str], **_: object) -> str:
        source, destination = argv[-2:]
        self.copied.append(destination)
        if source.startswith("docker://"):
            self._out(source.removeprefix("docker://"), Path(destination.removeprefix("dir:")))
        elif not self.loses:
            self._in(Path(source.removeprefix("dir:")), destination.removeprefix("docker://"))
        return ""

    def _out(self, reference: str, folder: Path) -> None:
        repository, _, digest = reference.partition("/")[2].partition("@")
        content = self.server.manifests[repository, digest]
        described = msgspec.json.decode(content)
        folder.mkdir()
        (folder / "version").write_text("Directory Transport Version: 1.1\n")
        (folder / "manifest.json").write_bytes(content)
        for blob in (described["config"], *described["layers"]):
            (folder / blob["digest"].removeprefix("sha256:")).write_bytes(self.server.blobs[blob["digest"]])

    def _in(self, folder: Path, reference: str) -> None:
        repository, _, tag = reference.partition("/")[2].rpartition(":")
        for path in folder.iterdir():
            if path.name not in {"manifest.json", "version"}:
                self.server.put_blob(path.read_bytes())
        self.server.put_manifest(repository, tag, msgspec.json.decode((folder / "manifest.json").read_bytes()))


class Machine:
    """A registry, a cache and an engine of ``platform``; `module` is patched to see them."""

    def __init__(self, server: FakeRegistry, tmp_path: Path) -> None:
        self.server = server
        self.skopeo = Skopeo(server)
        self.platform = PLATFORM
        self.cache = tmp_path / "cache"
        self.said: list[str] = []

    @property
    def host(self) -> ImageHost:
        address = self.server.address
        return ImageHost(docker_socket="unix:///x", registry_address=address, registry_netns=None, cache=self.cache)

    def forget(self) -> None:
        """From here on it is another machine, that has nothing."""
        shutil.rmtree(self.cache)
        self.server.blobs.clear()
        self.server.manifests.clear()
        self.skopeo.copied.clear()


@pytest.fixture
def machine(registry_server: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(registry_server, tmp_path)

    @contextmanager
    def client(_: str) -> Iterator[None]:
        yield

    monkeypatch.setattr(module, "engine_client", client)
    monkeypatch.setattr(module, "platform_of", lambda _: machine.platform)
    monkeypatch.setattr(processes, "run", machine.skopeo.run)
    return machine


@pytest.fixture
def workloads(tmp_path: Path) -> dict[str, Workload]:
    folder = tmp_path / "app"
    folder.mkdir()
    for name in ("Dockerfile.a", "main.go"):
        (folder / name).write_text(name)
    variants = {"a": Variant(dockerfile="Dockerfile.a", description="", bases=("slim",))}
    return {"app": Workload(name="app", description="", ready=ProbeSpec(kind="exit"), variants=variants, folder=folder)}


def _base_record(image_id: str = "sha256:base") -> BaseRecord:
    return BaseRecord(
        name="slim",
        tag="coldstart-base/slim:packages",
        image_id=image_id,
        platform=PLATFORM,
        provenance=Provenance(what="Debian minbase", source="packages"),
    )


@pytest.fixture
def built(machine: Machine, workloads: dict[str, Workload]) -> Image:
    """app/a, built on the machine; both its layers are the same blob."""
    base = adopt(machine.cache, _base_record())
    tar = b"\0" * 10240
    digest = machine.server.put_image("coldstart/app", "a", [tar, tar])
    registry = Registry(machine.server.address, None)
    image = registry.image("coldstart/app", digest, platform=PLATFORM, names=PAIR, provenance=())
    assert image is not None
    record(machine.host, content_key(workloads["app"], workloads["app"].variant("a"), [base], PLATFORM), image)
    return image


@pytest.fixture
def saved(machine: Machine, built: Image, workloads: dict[str, Workload], tmp_path: Path) -> Path:
    """A bundle of it; the machine is then another."""
    folder = tmp_path / "bundle"
    records = save_images(machine.host, [built], folder, machine.said.append, workloads=workloads)
    path = tmp_path / "images.tar"
    bundle.write(path, records.written_in(Manifest(coldstart="0", platform=PLATFORM)), folder)
    machine.forget()
    return path


def _load(machine: Machine, path: Path, workloads: dict[str, Workload], tmp_path: Path) -> tuple[Image, ...]:
    folder = tmp_path / "unpacked"
    try:
        records = read_images(path, folder, workloads=workloads)
        return load_images(machine.host, path, folder, records, machine.said.append, workloads=workloads)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _rewrite(path: Path, folder: Path, change: Callable[[SavedImage], SavedImage]) -> None:
    """The bundle with another record of its image and the same blobs."""
    manifest = bundle.unpack(path, folder, keep=(bundle.BLOBS,))
    (image,) = msgspec.convert(manifest.images, tuple[SavedImage])
    records = Records((change(image),), msgspec.convert(manifest.bases, tuple[module.SavedBase, ...]))
    bundle.write(path, records.written_in(manifest), folder)


def _there(machine: Machine, workloads: dict[str, Workload]) -> Image | None:
    return recorded_images(machine.host, [PAIR], PLATFORM, workloads=workloads)[PAIR]


def test_a_loaded_image_is_there_as_if_built(
    machine: Machine, built: Image, saved: Path, workloads: dict[str, Workload], tmp_path: Path
) -> None:
    (image,) = _load(machine, saved, workloads, tmp_path)
    assert image == built == _there(machine, workloads)


def test_a_second_load_copies_nothing(
    machine: Machine, saved: Path, workloads: dict[str, Workload], tmp_path: Path
) -> None:
    _load(machine, saved, workloads, tmp_path)
    machine.skopeo.copied.clear()
    _load(machine, saved, workloads, tmp_path)
    assert machine.skopeo.copied == []


def test_a_bundle_holds_each_blob_once_and_nothing_else(built: Image, saved: Path) -> None:
    names = [part.name.rpartition("/")[2] for part in read_manifest(saved).parts]
    assert sorted(names) == sorted({digest.removeprefix("sha256:") for digest in blobs_of(built)})


def test_a_loaded_base_is_known_without_an_archive(
    machine: Machine, saved: Path, workloads: dict[str, Workload], tmp_path: Path
) -> None:
    _load(machine, saved, workloads, tmp_path)
    base = cached(machine.cache, "slim", PLATFORM, bases.BaseSource.AUTO)
    assert base is not None
    assert base.record == _base_record()
    assert not base.archive.exists()


def test_images_for_another_platform_are_refused_and_nothing_is_loaded(
    machine: Machine, saved: Path, workloads: dict[str, Workload], tmp_path: Path
) -> None:
    machine.platform = "linux/arm64"
    with pytest.raises(InputFileError, match=r"images\.tar: is for linux/amd64, and this machine's .* linux/arm64"):
        _load(machine, saved, workloads, tmp_path)
    assert machine.skopeo.copied == []


def test_a_damaged_bundle_loads_nothing(
    machine: Machine, saved: Path, workloads: dict[str, Workload], tmp_path: Path
) -> None:
    saved.write_bytes(saved.read_bytes().replace(b'"rootfs"', b'"rootfz"'))
    with pytest.raises(InputFileError, match="is damaged"):
        _load(machine, saved, workloads, tmp_path)
    assert machine.skopeo.copied == []


def test_images_of_other_sources_are_refused(
    machine: Machine, saved: Path, workloads: dict[str, Workload], tmp_path: Path
) -> None:
    (workloads["app"].folder / "main.go").write_text("changed")
    with pytest.raises(InputFileError, match="app/a was built from other sources than this coldstart's"):
        _load(machine, saved, workloads, tmp_path)


def test_images_this_coldstart_does_not_have_are_refused(machine: Machine, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="app/a was built from other sources"):
        _load(machine, saved, {}, tmp_path)


def test_images_on_bases_of_another_recipe_are_refused(
    machine: Machine, saved: Path, workloads: dict[str, Workload], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(bases._RECIPES, "slim", bases._RECIPES["slim"]._replace(version="another"))
    with pytest.raises(InputFileError, match="other sources"):
        _load(machine, saved, workloads, tmp_path)


def test_a_record_that_names_a_blob_which_is_not_in_the_file_is_refused(
    machine: Machine, saved: Path, workloads: dict[str, Workload], tmp_path: Path
) -> None:
    lacking = "sha256:../../../etc/passwd"
    _rewrite(
        saved,
        tmp_path / "changed",
        lambda one: msgspec.structs.replace(one, image=msgspec.structs.replace(one.image, image_id=lacking)),
    )
    with pytest.raises(InputFileError, match=rf"lacks {lacking} of app/a"):
        _load(machine, saved, workloads, tmp_path)


def test_records_that_are_none_are_refused(workloads: dict[str, Workload], tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    bundle.write(tmp_path / "i.tar", Manifest(coldstart="0", platform="p", images=({"a": 1},)), tmp_path / "none")
    with pytest.raises(InputFileError, match="is damaged: Object missing required field"):
        read_images(tmp_path / "i.tar", tmp_path / "out", workloads=workloads)


def test_records_with_half_a_character_are_refused(workloads: dict[str, Workload], tmp_path: Path) -> None:
    """Python's own reader of JSON takes a lone surrogate for text."""
    manifest = Manifest(coldstart="0", platform="linux/amd64", images=({"key": "\ud800"},))
    (tmp_path / "content").mkdir()
    path = tmp_path / "x.tar"
    bundle.write(path, manifest, tmp_path / "content")
    with pytest.raises(InputFileError, match="is damaged"):
        read_images(path, tmp_path / "out", workloads=workloads)


def test_a_kit_without_images_has_none_to_load(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    bundle.write(tmp_path / "kit.tar", Manifest(coldstart="0", platform="p"), tmp_path / "none")
    with pytest.raises(InputFileError, match=r"holds no images\. Save some with: .* --platform p"):
        read_images(tmp_path / "kit.tar", tmp_path / "out")


def test_a_registry_that_does_not_keep_it_is_told_and_nothing_is_recorded(
    machine: Machine, saved: Path, workloads: dict[str, Workload], tmp_path: Path
) -> None:
    machine.skopeo.loses = True
    with pytest.raises(ImageBuildError, match="the registry does not have it"):
        _load(machine, saved, workloads, tmp_path)
    assert not machine.cache.exists()


def test_a_base_that_comes_first_here_is_told(
    machine: Machine, saved: Path, workloads: dict[str, Workload], tmp_path: Path
) -> None:
    adopt(machine.cache, msgspec.structs.replace(_base_record("sha256:u"), tag="coldstart-base/slim:upstream"))
    _load(machine, saved, workloads, tmp_path)
    assert machine.said[-1] == "app/a: another base comes first here; found with --bases packages"


def test_an_engine_without_a_registry_is_refused(machine: Machine, tmp_path: Path) -> None:
    own = msgspec.structs.replace(machine.host, registry_address=None)
    with pytest.raises(InvalidEnvironmentError, match="run as root"):
        save_images(own, [], tmp_path, machine.said.append)
