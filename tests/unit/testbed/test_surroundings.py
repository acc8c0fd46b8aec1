"""The machine around a trial: real files, real pages, no engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.errors import TestbedError
from coldstart.model.image import Image, Layer
from coldstart.testbed import surroundings as module
from coldstart.testbed.conditions import Meters
from coldstart.testbed.pagecache import PAGE_BYTES, evict
from coldstart.testbed.quiet import QuietWait
from coldstart.testbed.registry import blob_path
from coldstart.testbed.surroundings import Surroundings
from tests.unit.factories import layer_digest, make_image

CONFIG = layer_digest(98)
LAYERS = (layer_digest(0), layer_digest(1))


def store(storage: Path, *digests: str, size: int = 10) -> None:
    """Put blobs into a registry's storage."""
    for digest in digests:
        path = blob_path(storage, digest)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * size)


class Watched(Surroundings):
    """Notes which files are read."""

    def __init__(self, storage: Path | None) -> None:
        super().__init__(None, storage)
        self.read: list[Path] = []

    def _read(self, path: Path) -> None:
        self.read.append(path)
        super()._read(path)


def test_warming_reads_the_images_configuration_and_layers(tmp_path: Path) -> None:
    store(tmp_path, CONFIG, *LAYERS, layer_digest(7))
    watched = Watched(tmp_path)
    watched.warm_registry(make_image())
    assert watched.read == [blob_path(tmp_path, digest) for digest in (CONFIG, *LAYERS)]


def test_warming_reads_a_layer_that_is_there_twice_once(tmp_path: Path) -> None:
    store(tmp_path, CONFIG, LAYERS[0])
    watched = Watched(tmp_path)
    watched.warm_registry(_image_of(LAYERS[0], LAYERS[0]))
    assert watched.read == [blob_path(tmp_path, digest) for digest in (CONFIG, LAYERS[0])]


def test_warming_passes_over_a_layer_whose_blob_is_not_known(tmp_path: Path) -> None:
    store(tmp_path, CONFIG, LAYERS[0])
    watched = Watched(tmp_path)
    watched.warm_registry(_image_of(None, LAYERS[0]))
    assert watched.read == [blob_path(tmp_path, digest) for digest in (CONFIG, LAYERS[0])]


def _image_of(*digests: str | None) -> Image:
    layers = (Layer(digest=digest, diff_id=layer_digest(50), compressed_bytes=10) for digest in digests)
    return make_image(layers=tuple(layers))


def test_warming_reads_nothing_where_the_registry_is_elsewhere() -> None:
    watched = Watched(None)
    watched.warm_registry(make_image())
    assert watched.read == []


def test_a_warmed_blob_is_in_memory_to_its_end(on_disk: Path) -> None:
    size = 3 << 20
    store(on_disk, CONFIG, *LAYERS, size=size)
    evict([on_disk])
    around = Surroundings(None, on_disk)
    around.warm_registry(make_image())
    assert around.resident_bytes([on_disk]) == 3 * size


def test_a_missing_blob_is_an_error_that_names_the_remedy(tmp_path: Path) -> None:
    store(tmp_path, CONFIG, LAYERS[0])
    with pytest.raises(TestbedError) as caught:
        Surroundings(None, tmp_path).warm_registry(make_image())
    assert str(caught.value) == (
        f"{blob_path(tmp_path, LAYERS[1])}: the registry lacks a blob of an image to measure (No such file or "
        "directory). Build the images anew: coldstart testbed down --purge, then coldstart images build."
    )


def test_the_registrys_cache_is_in_memory_where_its_storage_is_ours(tmp_path: Path) -> None:
    assert Surroundings(None, tmp_path).registry_cache_state == "in memory: blobs are read before each pull"


def test_the_registrys_cache_is_unknown_where_its_storage_is_not_ours() -> None:
    assert Surroundings(None, None).registry_cache_state == "unknown"


class FakeLibrary:
    """A C library that keeps what was to be written back."""

    def __init__(self) -> None:
        self.synced: list[str] = []

    def syncfs(self, descriptor: int) -> int:
        """Keep the descriptor's path."""
        self.synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        return 0


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    """The C library that is asked."""
    library = FakeLibrary()
    monkeypatch.setattr(module, "_libc", library)
    return library


def test_settling_writes_back_what_is_under_the_engines_data(tmp_path: Path, library: FakeLibrary) -> None:
    Surroundings(tmp_path, None).settle()
    assert library.synced == [str(tmp_path)]


def test_settling_writes_back_nothing_where_the_engines_data_are_elsewhere(library: FakeLibrary) -> None:
    Surroundings(None, None).settle()
    assert library.synced == []


def test_settling_leaves_no_descriptor_open(tmp_path: Path) -> None:
    around = Surroundings(tmp_path, None)
    before = sorted(path.name for path in Path("/proc/self/fd").iterdir())
    around.settle()
    assert sorted(path.name for path in Path("/proc/self/fd").iterdir()) == before


def test_what_is_evicted_is_not_in_memory(on_disk: Path) -> None:
    (on_disk / "file").write_bytes(b"x" * PAGE_BYTES)
    around = Surroundings(None, None)
    before = around.resident_bytes([on_disk])
    around.evict([on_disk])
    assert (before, around.resident_bytes([on_disk])) == (PAGE_BYTES, 0)


def test_quiet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = QuietWait(quiet=True, waited_ns=1, busy_fraction=0.0)
    monkeypatch.setattr(module, "wait_until_quiet", lambda **_: quiet)
    assert Surroundings(None, None).wait_until_quiet() is quiet


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The disks whose meters were read; each reading is ten times the one before."""
    devices: list[str | None] = []

    def read_meters(device: str | None) -> Meters:
        devices.append(device)
        unknown = dict.fromkeys(Meters.__struct_fields__)
        return Meters(**{**unknown, "disk_read_bytes": 10 ** len(devices)})

    monkeypatch.setattr(module, "read_meters", read_meters)
    monkeypatch.setattr(module, "disk_of", lambda folder: f"disk of {folder.name}")
    return devices


@pytest.mark.usefixtures("devices")
def test_meters_tell_what_happened_since_they_were_opened(tmp_path: Path) -> None:
    close = Surroundings(tmp_path, None).open_meters()
    assert close().disk_read_bytes == 90


def test_meters_are_those_of_the_disk_under_the_engines_data(tmp_path: Path, devices: list[str | None]) -> None:
    Surroundings(tmp_path / "data", None).open_meters()()
    assert devices == ["disk of data"] * 2


def test_meters_are_of_no_disk_where_the_engines_data_are_elsewhere(devices: list[str | None]) -> None:
    Surroundings(None, None).open_meters()()
    assert devices == [None, None]


def test_what_the_networks_refused_meanwhile_is_a_condition(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    counts = iter([5, 7, None, 9])
    monkeypatch.setattr(module, "refused", lambda networks: next(counts) if list(networks) == [tmp_path] else 0)
    beside = Surroundings(None, None, networks=(tmp_path,))
    assert [beside.open_meters()().refused_packets for _ in range(2)] == [2, None]
    assert Surroundings(None, None).open_meters()().refused_packets is None
