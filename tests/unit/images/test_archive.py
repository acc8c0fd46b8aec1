"""Docker archives by hand: the same parts give the same image, damage is told."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from coldstart.errors import ImageBuildError
from coldstart.images.archive import read_archive, write_archive
from coldstart.images.layers import new_layer


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    with new_layer(tmp_path / "layer.tar") as writer:
        writer.add_file("f", b"x")
    return tmp_path / "layer.tar"


def _write(path: Path, layer: Path, platform: str = "linux/arm/v7") -> str:
    return write_archive(path, tag="t:1", platform=platform, layers=[(layer, "made")], config={"Cmd": ["f"]})


def test_an_archive_says_its_id_and_its_platform_when_read_back(tmp_path: Path, layer: Path) -> None:
    image_id = _write(tmp_path / "a", layer)
    assert read_archive(tmp_path / "a") == (image_id, "linux/arm/v7")


def test_an_archives_diff_ids_are_its_layers_digests(tmp_path: Path, layer: Path) -> None:
    image_id = _write(tmp_path / "a", layer)
    with tarfile.open(tmp_path / "a") as tar:
        config = tar.extractfile(f"{image_id.removeprefix('sha256:')}.json")
        assert config is not None
        diff_ids = json.load(config)["rootfs"]["diff_ids"]
    assert diff_ids == [f"sha256:{hashlib.sha256(layer.read_bytes()).hexdigest()}"]


def test_the_same_layers_give_the_same_image(tmp_path: Path, layer: Path) -> None:
    assert _write(tmp_path / "a", layer) == _write(tmp_path / "b", layer)


def test_another_platform_is_another_image(tmp_path: Path, layer: Path) -> None:
    assert _write(tmp_path / "a", layer) != _write(tmp_path / "b", layer, "linux/arm64")


def test_what_is_no_archive_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "bad.tar"
    path.write_bytes(b"junk" * 300)
    with pytest.raises(ImageBuildError, match=r"bad\.tar: not a docker archive.*build again"):
        read_archive(path)


def test_a_tar_without_a_manifest_is_no_docker_archive(layer: Path) -> None:
    with pytest.raises(ImageBuildError, match="not a docker archive"):
        read_archive(layer)
