"""Archives and layouts as people have them, and as nobody should: what is brought, and how the rest is refused."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from coldstart.errors import InputFileError, StorageError
from coldstart.images import imports, processes, workspace
from coldstart.images.oci import digest_of
from tests.archives import Layout, tar_of

ARM, AMD = "linux/arm64", "linux/amd64"
WHERE = "--image ./app"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty layout in a folder."""
    return Layout(tmp_path / "layout:with a colon")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Where it is brought to."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def brought(path: Path, work: Path, platform: str = AMD, *, is_asked: bool = False) -> Any:
    """The manifest of what was brought."""
    folder = imports.bring(path, work, WHERE, platform, is_asked=is_asked)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for descriptor in (manifest["config"], *manifest["layers"]):
        content = (folder / descriptor["digest"].removeprefix("sha256:")).read_bytes()
        assert digest_of(content) == descriptor["digest"]
    return manifest


def refused(path: Path, work: Path, platform: str = AMD, *, is_asked: bool = False) -> str:
    """What is said of it."""
    with pytest.raises(InputFileError) as caught:
        imports.bring(path, work, WHERE, platform, is_asked=is_asked)
    assert str(caught.value).startswith(WHERE)
    return str(caught.value)


# --- layouts ---


def test_a_layouts_manifest_and_layers_are_brought_as_they_are(layout: Layout, work: Path) -> None:
    image = layout.image([b"zstd it is"], layer_type="application/vnd.oci.image.layer.v1.tar+zstd")
    layout.close([image])
    brought(layout.root, work)
    assert digest_of((work / "image" / "manifest.json").read_bytes()) == image["digest"]


@pytest.mark.parametrize("prefix", ["", "./"])
@pytest.mark.parametrize("packed", [lambda content: content, gzip.compress])
def test_a_layout_in_a_tar_is_brought_too(
    layout: Layout, tmp_path: Path, work: Path, prefix: str, packed: Callable[[bytes], bytes]
) -> None:
    image = layout.image([b"layer"])
    layout.close([image])
    path = tmp_path / "app:1.tar"
    path.write_bytes(packed(tar_of(layout.files(), prefix=prefix)))
    assert brought(path, work)["layers"][0]["digest"] == digest_of(b"layer")


def test_of_several_images_the_one_for_the_platform_is_brought(layout: Layout, work: Path) -> None:
    entries = [layout.image([name.encode()], platform=name) for name in (ARM, AMD)]
    attestation = layout.image([b"about it"], platform="unknown/unknown")
    layout.close([*entries, {**attestation, "platform": {"os": "unknown", "architecture": "unknown"}}])
    assert brought(layout.root, work)["layers"][0]["digest"] == digest_of(AMD.encode())


def test_an_index_in_an_index_is_looked_into(layout: Layout, work: Path) -> None:
    layout.close([layout.index([layout.image([b"x"], platform=name) for name in (ARM, AMD)])])
    assert brought(layout.root, work, ARM)["layers"]


def test_one_image_under_two_tags_is_one(layout: Layout, work: Path) -> None:
    image = layout.image([b"x"])
    layout.close([{**image, "annotations": {"org.opencontainers.image.ref.name": tag}} for tag in ("a", "b")])
    assert brought(layout.root, work)["layers"]


def test_several_images_for_the_platform_are_refused_with_the_list(layout: Layout, work: Path) -> None:
    layout.close(
        [
            {**layout.image([tag.encode()]), "annotations": {"org.opencontainers.image.ref.name": tag}}
            for tag in ("first", "second")
        ]
    )
    said = refused(layout.root, work)
    assert "holds 2 images for linux/amd64: first (sha256:" in said
    assert "second (sha256:" in said


@pytest.mark.parametrize("is_asked", [True, False])
def test_an_image_for_another_platform_only_is_refused_by_name(layout: Layout, work: Path, is_asked: bool) -> None:
    layout.close([layout.image([b"x"], platform=ARM)])
    said = refused(layout.root, work, is_asked=is_asked)
    assert "is for linux/arm64, not for linux/amd64" in said
    assert "--platform linux/arm64" in said


def test_an_image_that_the_engine_runs_too_is_brought_unless_another_was_asked_for(layout: Layout, work: Path) -> None:
    layout.close([layout.image([b"x"], platform="linux/386")])
    assert "not for linux/amd64, as --platform asks" in refused(layout.root, work, is_asked=True)
    assert brought(layout.root, work)["layers"]


def test_an_image_that_does_not_say_its_platform_is_taken_at_its_word(layout: Layout, work: Path) -> None:
    layout.close([layout.image([b"x"], platform="linux/")])
    assert brought(layout.root, work)["layers"]


@pytest.mark.parametrize(
    ("config_type", "more", "kind"),
    [
        ("application/vnd.cncf.helm.config.v1+json", {}, "a Helm chart, not a container image"),
        ("application/vnd.wasm.config.v0+json", {}, "a WebAssembly module"),
        ("application/vnd.oci.empty.v1+json", {"artifactType": "text/x.sbom"}, r"an OCI artifact (text/x.sbom)"),
        ("application/vnd.new.thing+json", {}, "an OCI artifact (application/vnd.new.thing+json)"),
        ("application/vnd.oci.image.config.v1+json", {"schemaVersion": 1}, "a manifest of schema 1"),
        ("application/vnd.oci.image.config.v1+json", {"config": None}, "without configuration and layers"),
    ],
)
def test_what_is_no_container_image_is_refused_by_name(
    layout: Layout, work: Path, config_type: str, more: dict[str, Any], kind: str
) -> None:
    layout.close([layout.image([b"x"], config_type=config_type, **more)])
    assert kind in refused(layout.root, work)


def test_a_layout_without_images_is_refused(layout: Layout, work: Path) -> None:
    layout.close([])
    assert "holds no image" in refused(layout.root, work)


def test_a_folder_without_a_layout_is_refused(tmp_path: Path, work: Path) -> None:
    assert "not an OCI layout" in refused(tmp_path, work)


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"[" * 200_000,
        b'{"manifests": ' + b'[{"a":' * 100_000,
        b'{"manifests": [{"digest": "sha256:../../../../etc/shadow", "size": 1}]}',
        b'{"manifests": [{"digest": 7, "size": 1}]}',
        b'{"manifests": [{"digest": "sha256:%s", "size": -1}]}' % (b"a" * 64),
        b'{"manifests": [{"digest": "sha256:%s", "size": 1e400}]}' % (b"a" * 64),
        b'{"manifests": {"a": 1}}',
        b"\xff" * 20,
        b" " * (5 << 20),
    ],
)
def test_an_index_that_cannot_be_is_one_message(layout: Layout, tmp_path: Path, work: Path, index: bytes) -> None:
    layout.close([])
    (layout.root / "index.json").write_bytes(index)
    refused(layout.root, work)
    (tmp_path / "a.tar").write_bytes(tar_of(layout.files()))
    assert "Traceback" not in refused(tmp_path / "a.tar", work)


def test_an_index_that_lists_itself_ends(layout: Layout, work: Path) -> None:
    """By digest none can, but a thousand entries of a thousand entries can be written in a few lines."""
    inner = layout.index([layout.image([b"x"], platform=ARM)])
    layout.close([layout.index([inner] * 900)] * 900)
    assert "is for linux/arm64" in refused(layout.root, work)


def test_indexes_in_indexes_in_indexes_are_refused(layout: Layout, work: Path) -> None:
    entry = layout.image([b"x"])
    for _ in range(4):
        entry = layout.index([entry])
    layout.close([entry])
    assert "indexes in indexes" in refused(layout.root, work)


@pytest.mark.parametrize("content", [b"{}", b""])
def test_a_manifest_that_is_not_what_its_digest_says_is_damage(layout: Layout, work: Path, content: bytes) -> None:
    image = layout.image([b"x"])
    layout.close([image])
    (layout.root / "blobs/sha256" / image["digest"].removeprefix("sha256:")).write_bytes(content)
    assert "is damaged: manifest sha256:" in refused(layout.root, work)


def test_a_blob_that_is_missing_is_named(layout: Layout, work: Path) -> None:
    layout.close([layout.image([b"x"])])
    (layout.root / "blobs/sha256" / digest_of(b"x").removeprefix("sha256:")).unlink()
    assert f"blobs/sha256/{digest_of(b'x').removeprefix('sha256:')} is missing" in refused(layout.root, work)


def test_a_pipe_among_the_blobs_is_not_waited_for(layout: Layout, work: Path) -> None:
    layout.close([layout.image([b"x"])])
    blob = layout.root / "blobs/sha256" / digest_of(b"x").removeprefix("sha256:")
    blob.unlink()
    os.mkfifo(blob)
    assert "is missing" in refused(layout.root, work)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_a_blob_that_is_not_a_file_is_damage(layout: Layout, tmp_path: Path, work: Path, kind: bytes) -> None:
    layout.close([layout.image([b"x"])])
    name = f"blobs/sha256/{digest_of(b'x').removeprefix('sha256:')}"
    path = tmp_path / "a.tar"
    path.write_bytes(tar_of({**layout.files(), name: kind}))
    assert f"{name} is not a file" in refused(path, work)


# --- docker archives ---


class Skopeo:
    """Stands for the tool: remembers what it was asked, and what members the archive has then."""

    def __init__(self) -> None:
        self.calls: list[Sequence[str]] = []
        self.members: list[str] = []
        self.failure = ""

    def __call__(self, argv: Sequence[str], *, cwd: Path, **_: object) -> str:
        self.calls.append(argv)
        if self.failure:
            raise processes.ToolFailedError(f"skopeo failed: {self.failure}", self.failure)
        with tarfile.open(cwd / "saved.tar") as tar:
            self.members = tar.getnames()
        return ""


@pytest.fixture
def skopeo(monkeypatch: pytest.MonkeyPatch) -> Skopeo:
    """No skopeo is run."""
    skopeo = Skopeo()
    monkeypatch.setattr(processes, "run", skopeo)
    return skopeo


def saved(*names: str) -> dict[str, bytes]:
    """The files of ``docker save``."""
    config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": ["sha256:1"]}}).encode()
    manifest = [{"Config": "c.json", "RepoTags": [name], "Layers": ["l/layer.tar"]} for name in names]
    return {"c.json": config, "l/layer.tar": b"x", "manifest.json": json.dumps(manifest).encode()}


@pytest.mark.parametrize("prefix", ["", "./"])
def test_a_docker_archive_is_gzipped_by_skopeo_under_names_it_knows(
    tmp_path: Path, work: Path, skopeo: Skopeo, prefix: str
) -> None:
    path = tmp_path / "app:1.27.tar"
    path.write_bytes(tar_of(saved("app:1"), prefix=prefix))
    assert imports.bring(path, work, WHERE, AMD, is_asked=False) == work / "image"
    assert list(skopeo.calls[0][-3:]) == ["--dest-compress", "docker-archive:saved.tar", "dir:image"]
    assert skopeo.members == ["c.json", "l/layer.tar", "manifest.json"]


def test_what_newer_dockers_save_is_a_layout_where_its_layers_are_compressed(
    layout: Layout, tmp_path: Path, work: Path, skopeo: Skopeo
) -> None:
    layout.close([layout.image([b"gz"], layer_type="application/vnd.oci.image.layer.v1.tar+gzip")])
    path = tmp_path / "a.tar"
    path.write_bytes(tar_of({**layout.files(), **saved("app:1")}))
    assert brought(path, work)["layers"][0]["digest"] == digest_of(b"gz")
    assert skopeo.calls == []


def test_what_newer_dockers_save_is_a_docker_archive_where_its_layers_are_not_compressed(
    layout: Layout, tmp_path: Path, work: Path, skopeo: Skopeo
) -> None:
    layout.close([layout.image([b"tar"], layer_type="application/vnd.oci.image.layer.v1.tar")])
    path = tmp_path / "a.tar"
    path.write_bytes(tar_of({**layout.files(), **saved("app:1")}))
    imports.bring(path, work, WHERE, AMD, is_asked=False)
    assert len(skopeo.calls) == 1


def test_an_archive_of_several_images_is_refused_with_the_list(tmp_path: Path, work: Path) -> None:
    path = tmp_path / "two.tar"
    path.write_bytes(tar_of(saved("app:1", "app:2")))
    assert "holds 2 images: app:1, app:2" in refused(path, work)


@pytest.mark.parametrize(
    "manifest",
    [
        b"{",
        b"[" * 200_000,
        b'[{"Config": 1, "Layers": []}]',
        b'[{"Config": "c.json", "Layers": "all"}]',
        b'[{"Config": "../../etc/passwd", "Layers": []}]',
        b'[{"Config": "/etc/passwd", "Layers": []}]',
        b'[{"Config": "l/layer.tar", "Layers": []}]',
        b"[]",
        b"7",
    ],
)
def test_a_docker_archive_with_an_odd_manifest_is_refused(
    tmp_path: Path, work: Path, skopeo: Skopeo, manifest: bytes
) -> None:
    path = tmp_path / "odd.tar"
    path.write_bytes(tar_of({**saved("app:1"), "manifest.json": manifest}))
    refused(path, work)
    assert skopeo.calls == []


def test_a_member_that_comes_twice_is_refused(tmp_path: Path, work: Path) -> None:
    path = tmp_path / "twice.tar"
    path.write_bytes(_without_end(tar_of(saved("a:1"))) + tar_of({"./manifest.json": b"[]"}))
    assert "holds 'manifest.json' twice" in refused(path, work)


def _without_end(content: bytes) -> bytes:
    end = len(content)
    while content[end - 512 : end] == bytes(512):
        end -= 512
    return content[:end]


def test_an_archive_of_very_many_files_is_not_an_images(
    tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "_MEMBERS_MAX", 3)
    path = tmp_path / "many.tar"
    path.write_bytes(tar_of({str(n): b"" for n in range(4)}))
    assert "holds more than 3 files" in refused(path, work)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk" * 400,
        b"\x1f\x8b junk",
        gzip.compress(b"x" * 9999)[:-12],
        b"BZh9junk",
        b"\xfd7zXZ\x00junk",
        tar_of(saved("a:1"))[:700],
    ],
)
def test_a_damaged_archive_is_named(tmp_path: Path, work: Path, content: bytes) -> None:
    path = tmp_path / "bad.tar"
    path.write_bytes(content)
    refused(path, work)


def test_what_skopeo_says_of_a_damaged_archive_is_passed_on(tmp_path: Path, work: Path, skopeo: Skopeo) -> None:
    path = tmp_path / "bad.tar"
    path.write_bytes(tar_of(saved("a:1")))
    skopeo.failure = "layer l/layer.tar: archive/tar: invalid tar header"
    assert "is damaged: layer l/layer.tar: archive/tar: invalid tar header" in refused(path, work)


def test_an_archive_compressed_by_zstd_is_refused_with_the_remedy(tmp_path: Path, work: Path) -> None:
    path = tmp_path / "app.tar.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(40))
    assert "zstd -d app.tar.zst" in refused(path, work)


def test_a_tar_of_anything_else_is_no_image(tmp_path: Path, work: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(tar_of({"readme": b""}))
    assert "neither a docker archive (docker save) nor an OCI archive" in refused(path, work)


def test_a_full_disk_is_not_a_bad_archive(tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "app.tar.gz"
    path.write_bytes(gzip.compress(tar_of(saved("a:1"))))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(StorageError, match=r"No space left on device\. Make room there"):
        imports.bring(path, work, WHERE, AMD, is_asked=False)


def test_a_full_disk_below_a_work_folder_is_named_whatever_was_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="another COLDSTART_CACHE_DIR"), workspace.work_folder(tmp_path):
        raise OSError(122, "Disk quota exceeded")


@pytest.mark.parametrize(
    ("content", "is_archive"),
    [
        (tar_of({"a": b""}), True),
        (gzip.compress(b""), True),
        (b"\x28\xb5\x2f\xfd", True),
        (b"#!/bin/sh\n" * 90, False),
        (b"", False),
    ],
)
def test_an_archive_is_known_by_how_it_begins(tmp_path: Path, content: bytes, is_archive: bool) -> None:
    (tmp_path / "f").write_bytes(content)
    assert imports.looks_like_an_archive(tmp_path / "f") is is_archive


def test_what_cannot_be_read_is_no_archive(tmp_path: Path) -> None:
    assert not imports.looks_like_an_archive(tmp_path)


# --- pushing ---


def test_a_push_changes_no_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[str]] = []
    monkeypatch.setattr(processes, "run", lambda argv, **_: asked.append(argv))
    imports.push(tmp_path / "image", "docker://r/a:1", tmp_path)
    assert "--preserve-digests" in asked[0]
    assert list(asked[0][-2:]) == ["dir:image", "docker://r/a:1"]
