"""What a registry's manifests and blobs become: pinned images with every size."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from typing import Any

import pytest

from coldstart.errors import ImageBuildError, InputFileError, RegistryUnreachableError
from coldstart.images import oci
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


@pytest.mark.parametrize("which", ["layer", "config"])
def test_a_registry_that_ends_in_the_middle_of_a_blob_is_not_a_damaged_image(
    registry_server: FakeRegistry, which: str
) -> None:
    layer = _layer(5000)
    digest = registry_server.put_image("c/w", "v", [layer])
    config = json.loads(registry_server.manifests["c/w", digest])["config"]["digest"]
    registry_server.cut = registry_server.put_blob(layer) if which == "layer" else config
    with pytest.raises(RegistryUnreachableError, match="broke off its answer"):
        _read(registry_server)


def test_a_blob_is_whole_or_an_error(registry_server: FakeRegistry) -> None:
    digest = registry_server.put_blob(b"0123456789")
    registry = Registry(registry_server.address, None)
    assert registry.blob("c/w", digest) == b"0123456789"
    registry_server.cut = digest
    with pytest.raises(RegistryUnreachableError, match="broke off its answer"):
        registry.blob("c/w", digest)


def test_an_image_for_another_platform_says_so(registry_server: FakeRegistry) -> None:
    registry_server.put_image("c/w", "v", [_layer(1)], architecture="arm", variant="v7")
    image = _read(registry_server)
    assert image is not None
    assert image.platform == "linux/arm/v7"


def _index(server: FakeRegistry, *architectures: str) -> None:
    entries: list[object] = [
        {"digest": "sha256:" + "0" * 64, "size": 1, "platform": {"os": "unknown", "architecture": "unknown"}}
    ]
    for architecture in architectures:
        digest = server.put_image("c/w", architecture, [_layer(1)], architecture=architecture)
        size = len(server.manifests["c/w", digest])
        entries.append({"digest": digest, "size": size, "platform": {"os": "linux", "architecture": architecture}})
    server.put_manifest("c/w", "v", {"manifests": entries})


def test_of_an_index_our_platforms_image_is_taken(registry_server: FakeRegistry) -> None:
    _index(registry_server, "s390x", "amd64")
    image = _read(registry_server)
    assert image is not None
    assert image.platform == "linux/amd64"


def test_an_index_without_our_platform_is_refused_with_those_it_has(registry_server: FakeRegistry) -> None:
    _index(registry_server, "s390x", "riscv64")
    with pytest.raises(InputFileError, match=r"c/w:v: is for linux/riscv64, linux/s390x, not for linux/amd64"):
        _read(registry_server)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"config": {"digest": "../../etc/passwd", "size": 1}, "layers": []}',
        b'{"config": {"digest": "sha256:%s", "size": -1}, "layers": []}' % (b"0" * 64),
        b'{"config": 7}',
        b'{"layers": {}}',
        b"\xff\xfe",
    ],
)
def test_an_answer_that_no_registry_gives_is_one_message(registry_server: FakeRegistry, body: bytes) -> None:
    registry_server.manifests["c/w", "v"] = body
    with pytest.raises(RegistryUnreachableError, match="not as a registry"):
        _read(registry_server)


def test_an_answer_without_end_is_not_read_to_its_end(registry_server: FakeRegistry) -> None:
    registry_server.manifests["c/w", "v"] = b" " * (oci.DOCUMENT_MAX_BYTES + 1)
    with pytest.raises(RegistryUnreachableError, match="answers with more than"):
        _read(registry_server)


def test_layers_and_their_diff_ids_have_to_be_as_many(registry_server: FakeRegistry) -> None:
    registry_server.put_image("c/w", "v", [_layer(1)])
    manifest = json.loads(registry_server.manifests["c/w", "v"])
    manifest["layers"] *= 2
    registry_server.put_manifest("c/w", "v", manifest)
    with pytest.raises(ImageBuildError, match="another number of layers"):
        _read(registry_server)


def test_a_layers_compression_is_what_its_content_says(registry_server: FakeRegistry) -> None:
    registry_server.put_image("c/w", "v", [_layer(1), gzip.decompress(_layer(2)), b"\x28\xb5\x2f\xfd0000"])
    image = _read(registry_server)
    assert image is not None
    assert [layer.compression for layer in image.layers] == ["gzip", "none", "zstd"]


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
