"""Images carried from one real testbed to another: found there as built, started there, and refused when damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from coldstart import __version__
from coldstart.errors import InputFileError
from coldstart.images.build import ensure_images, recorded_images
from coldstart.images.host import ImageHost
from coldstart.kit.bundle import Manifest, write
from coldstart.kit.images import load_images, read_images, save_images
from coldstart.model.image import Image
from coldstart.runner.place import image_host
from coldstart.testbed import lifecycle
from coldstart.testbed.config import Testbed, TestbedConfig

pytestmark = pytest.mark.engine

OTHER_ROOT = Path("/var/lib/coldstart-test-other")
WANTED = [("hello", "scratch"), ("hello", "distroless")]


@pytest.fixture(scope="module")
def images(testbed: Testbed, testbed_config: TestbedConfig) -> tuple[Image, ...]:
    """Two images that share no layer but their binary's, built on the tests' testbed."""
    return ensure_images(image_host(testbed, testbed_config.cache), WANTED, lambda _: None)


@pytest.fixture(scope="module")
def saved(
    testbed: Testbed, testbed_config: TestbedConfig, images: tuple[Image, ...], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    records = save_images(image_host(testbed, testbed_config.cache), images, folder / "bundle", lambda _: None)
    manifest = Manifest(coldstart=__version__, platform=images[0].platform)
    write(folder / "images.tar", records.written_in(manifest), folder / "bundle")
    return folder / "images.tar"


@pytest.fixture
def other(testbed_config: TestbedConfig, tmp_path: Path) -> Iterator[tuple[Testbed, ImageHost]]:
    """Another machine, as far as images go: a testbed of its own whose registry and cache are empty."""
    config = TestbedConfig(root=OTHER_ROOT, cache=tmp_path / "cache")
    assert config.root != testbed_config.root
    try:
        testbed = lifecycle.up(config, lambda _: None)
        yield testbed, image_host(testbed, config.cache)
    finally:
        lifecycle.down(config.root, lambda _: None)


def test_carried_images_are_there_as_if_built_and_start(
    other: tuple[Testbed, ImageHost], images: tuple[Image, ...], saved: Path, tmp_path: Path
) -> None:
    testbed, host = other
    records = read_images(saved, tmp_path / "unpacked")
    loaded = load_images(host, saved, tmp_path / "unpacked", records, lambda _: None)
    assert loaded == images
    assert ensure_images(host, WANTED, pytest.fail) == images
    client = docker.APIClient(base_url=testbed.docker_host, version="auto")
    try:
        client.pull(loaded[0].reference)
        container = client.create_container(loaded[0].reference)["Id"]
        client.start(container)
        assert client.inspect_container(container)["State"]["Running"]
        client.remove_container(container, force=True)
    finally:
        client.close()


def test_a_flipped_byte_leaves_the_other_machine_as_it_was(
    other: tuple[Testbed, ImageHost], images: tuple[Image, ...], saved: Path, tmp_path: Path
) -> None:
    content = bytearray(saved.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "damaged.tar"
    damaged.write_bytes(content)
    with pytest.raises(InputFileError, match="is damaged: blobs/sha256/"):
        read_images(damaged, tmp_path / "unpacked")
    assert set(recorded_images(other[1], WANTED, images[0].platform).values()) == {None}
