"""Layers: reproducible when written, exact when counted."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from coldstart.images.layers import EPOCH_S, LayerCounts, count, new_layer, plain_name, split
from coldstart.model.image import GZIP, UNCOMPRESSED, ZSTD


def _tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mtime = kind, link, EPOCH_S + 1000
    return member


@pytest.fixture
def mixed(tmp_path: Path) -> bytes:
    """A folder, two files of 3 and 5 bytes, a hard and a symbolic link: 5 members, 8 bytes."""
    return _tar(
        tmp_path / "mixed.tar",
        (_member("./d", tarfile.DIRTYPE), b""),
        (_member("./d/a"), b"abc"),
        (_member("./b"), b"12345"),
        (_member("./hard", tarfile.LNKTYPE, "./b"), b""),
        (_member("./soft", tarfile.SYMTYPE, "b"), b""),
    ).read_bytes()


def test_a_layers_bytes_are_its_files_and_its_files_are_its_members(mixed: bytes) -> None:
    assert count(io.BytesIO(mixed)) == LayerCounts(UNCOMPRESSED, 8, 5)


def test_a_gzipped_layer_counts_as_its_content_does(mixed: bytes) -> None:
    assert count(io.BytesIO(gzip.compress(mixed))) == LayerCounts(GZIP, 8, 5)


def test_a_zstd_layer_is_unknown_and_not_zero() -> None:
    assert count(io.BytesIO(b"\x28\xb5\x2f\xfd" + bytes(20))) == LayerCounts(ZSTD, None, None)


def test_a_truncated_layer_is_an_error(mixed: bytes) -> None:
    with pytest.raises((EOFError, tarfile.TarError)):
        count(io.BytesIO(gzip.compress(mixed)[:-30]))


def test_the_same_content_gives_the_same_layer(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with new_layer(tmp_path / name) as writer:
            writer.add_folder("d", mode=0o700, owner=65532)
            writer.add_file("d/f", b"x")
            writer.add_link("l", "d/f")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_second_member_of_one_name_is_dropped(tmp_path: Path) -> None:
    with new_layer(tmp_path / "layer") as writer:
        writer.add_file("./f", b"first")
        writer.add_file("f", b"second")
    with tarfile.open(tmp_path / "layer") as tar:
        content = tar.extractfile("f")
        assert content is not None
        assert (tar.getnames(), content.read()) == (["f"], b"first")


def test_a_hard_link_follows_its_target_into_the_layer(tmp_path: Path) -> None:
    source = _tar(tmp_path / "source", (_member("./go/a"), b"x"), (_member("./bin/a", tarfile.LNKTYPE, "./go/a"), b""))
    with new_layer(tmp_path / "go") as go, new_layer(tmp_path / "rest") as rest:
        split(source, lambda member: go if plain_name(member.name).startswith("go/") else rest)
    with tarfile.open(tmp_path / "go") as tar:
        assert [(member.name, member.linkname) for member in tar] == [("go/a", ""), ("bin/a", "go/a")]


def test_dropped_members_stay_out_and_times_are_no_later_than_the_epoch(tmp_path: Path) -> None:
    source = _tar(tmp_path / "source", (_member("./keep"), b"x"), (_member("./drop"), b"y"))
    with new_layer(tmp_path / "layer") as writer:
        split(source, lambda member: None if member.name.endswith("drop") else writer)
    with tarfile.open(tmp_path / "layer") as tar:
        assert [(member.name, member.mtime) for member in tar] == [("keep", EPOCH_S)]


@pytest.mark.parametrize(("name", "plain"), [("./", ""), ("./a/b/", "a/b"), ("/a", "a"), ("a", "a")])
def test_names_lose_what_tars_put_around_them(name: str, plain: str) -> None:
    assert plain_name(name) == plain
