"""What a registry's manifests and blobs become: pinned images with every size."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import Any

import pytest

from coldstart.errors import ImageBuildError, RegistryUnreachableError
from coldstart.images.registry import Registry, healthcheck_of
from coldstart.model.image import Healthcheck, Image
from tests.unit.images.fake_registry import FakeRegistry


def _layer(*sizes: int) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for index, size in enumerate(sizes):
            member = tarfile.TarInfo(str(index))
            member.size = size
            tar.addfile(member, io.BytesIO(bytes(size)))
    return gzip.compress(plain.getvalue())


def _read(server: FakeRegistry, reference: str = "v") -> Image | None:
    registry = Registry(server.address, None)
    return registry.image("c/w", reference, platform="linux/amd64", names=("w", "v"), provenance=())


def test_an_image_is_pinned_by_its_manifests_digest(registry_server: FakeRegistry) -> None:
    digest = registry_server.put_image("c/w", "v", [_layer(10)])
    image = _read(registry_server)
    assert image is not None
    assert image.reference == f"{registry_server.address}/c/w@{digest}"
    assert image.digest == digest


def test_an_images_sizes_are_its_blobs_and_its_files(registry_server: FakeRegistry) -> None:
    layers = [_layer(10, 20), _layer(5)]
    registry_server.put_image("c/w", "v", layers)
    image = _read(registry_server)
    assert image is not None
    assert image.compressed_bytes == sum(map(len, layers))
    assert (image.unpacked_bytes, image.files) == (35, 3)
    assert image.config_bytes is not None
    assert image.blob_bytes == sum(map(len, layers)) + image.config_bytes


def test_a_layer_two_images_share_is_read_once(registry_server: FakeRegistry) -> None:
    registry = Registry(registry_server.address, None)
    layer = _layer(1)
    for tag in ("a", "b"):
        registry_server.put_image("c/w", tag, [layer], tag=tag)
        registry.image("c/w", tag, platform="linux/amd64", names=("w", tag), provenance=())
    digest = registry_server.put_blob(layer)
    assert [path.endswith(digest) for path in registry_server.requests].count(True) == 1


def test_a_zstd_layers_content_is_unknown(registry_server: FakeRegistry) -> None:
    registry_server.put_image("c/w", "v", [b"\x28\xb5\x2f\xfd0000"])
    image = _read(registry_server)
    assert image is not None
    assert (image.compressed_bytes, image.unpacked_bytes, image.files) == (8, None, None)


def test_a_damaged_layer_is_named(registry_server: FakeRegistry) -> None:
    registry_server.put_image("c/w", "v", [_layer(5000)[:-20]])
    with pytest.raises(ImageBuildError, match=r"layer sha256:\w+ is damaged"):
        _read(registry_server)


def test_an_image_for_another_platform_says_so(registry_server: FakeRegistry) -> None:
    registry_server.put_image("c/w", "v", [_layer(1)], architecture="arm", variant="v7")
    image = _read(registry_server)
    assert image is not None
    assert image.platform == "linux/arm/v7"


@pytest.mark.parametrize(("ours", "chosen"), [("amd64", "amd64"), ("riscv64", "s390x")])
def test_of_an_index_our_platforms_image_is_taken_else_the_first(
    registry_server: FakeRegistry, ours: str, chosen: str
) -> None:
    entries = [{"digest": "sha256:" + "0" * 64, "platform": {"os": "unknown", "architecture": "unknown"}}]
    for architecture in ("s390x", ours):
        digest = registry_server.put_image("c/w", architecture, [_layer(1)], architecture=architecture)
        if architecture in {"s390x", "amd64"}:
            entries.append({"digest": digest, "platform": {"os": "linux", "architecture": architecture}})
    registry_server.put_manifest("c/w", "v", {"manifests": entries})
    image = _read(registry_server)
    assert image is not None
    assert image.platform == f"linux/{chosen}"


def test_a_reference_it_does_not_have_is_none(registry_server: FakeRegistry) -> None:
    assert _read(registry_server, "missing") is None


def test_no_answer_is_an_unreachable_registry() -> None:
    with pytest.raises(RegistryUnreachableError, match=r"127\.0\.0\.1:9"):
        Registry("127.0.0.1:9", None).manifest("c/w", "v")


def test_a_web_page_is_no_registry(registry_server: FakeRegistry) -> None:
    registry_server.manifests["c/w", "v"] = b"<html>"
    with pytest.raises(RegistryUnreachableError, match="not as a registry"):
        Registry(registry_server.address, None).manifest("c/w", "v")


def test_a_blob_the_manifest_names_and_nobody_has_is_told(registry_server: FakeRegistry) -> None:
    registry_server.put_image("c/w", "v", [_layer(1)])
    registry_server.blobs.clear()
    with pytest.raises(RegistryUnreachableError, match="answers 404"):
        _read(registry_server)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, Healthcheck(is_set=False)),
        ({"Healthcheck": None}, Healthcheck(is_set=False)),
        ({"Healthcheck": {"Test": ["NONE"]}}, Healthcheck(is_set=False)),
        ({"Healthcheck": {"Test": ["CMD", "x"]}}, Healthcheck()),
        (
            {"Healthcheck": {"Test": ["CMD", "x"], "Interval": 5, "StartPeriod": 6, "StartInterval": 7}},
            Healthcheck(interval_ns=5, start_period_ns=6, start_interval_ns=7),
        ),
    ],
)
def test_an_images_healthcheck_is_read_of_its_configuration(config: dict[str, Any], expected: Healthcheck) -> None:
    assert healthcheck_of(config) == expected
