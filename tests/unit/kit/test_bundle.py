"""The carried file: what is written is read again, and what was changed on the way is refused, by name."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coldstart.errors import InputFileError, StorageError
from coldstart.kit import bundle
from coldstart.kit.bundle import BLOBS, DEBS, WHEELS, Manifest, Target, read_manifest, unpack, write

BLOB = b"layer " * 1000
BLOB_NAME = f"{BLOBS}/{hashlib.sha256(BLOB).hexdigest()}"
TARGET = Target(architecture="arm64", release="bookworm", python="3.11")
Members = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """A kit of one blob, one wheel and one package."""
    folder = tmp_path / "parts"
    for name, content in {BLOB_NAME: BLOB, "wheels/a-1.whl": b"wheel", "debs/a_1-2_arm64.deb": b"deb"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    manifest = Manifest(coldstart="0.1.0", platform="linux/arm64", images=({"key": "k"},), target=TARGET)
    write(tmp_path / "kit.tar", manifest, folder)
    return tmp_path / "kit.tar"


def _members(path: Path) -> Members:
    with tarfile.open(path) as tar:
        return [(member, (tar.extractfile(member) or io.BytesIO()).read()) for member in tar]


def _rewrite(path: Path, members: Members) -> None:
    with tarfile.open(path, "w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def _say_otherwise(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Rewrite the manifest, with a checksum that fits it: only what it says is wrong then."""
    (manifest, encoded), (checksum, _), *parts = _members(path)
    said = json.loads(encoded)
    change(said)
    encoded = json.dumps(said).encode()
    _rewrite(path, [(manifest, encoded), (checksum, hashlib.sha256(encoded).hexdigest().encode()), *parts])


def test_what_was_written_is_read_again(kit: Path, tmp_path: Path) -> None:
    manifest = unpack(kit, tmp_path / "out", keep=(BLOBS, WHEELS, DEBS))
    assert (manifest.platform, manifest.target, manifest.images) == ("linux/arm64", TARGET, ({"key": "k"},))
    assert {part.name: (tmp_path / "out" / part.name).read_bytes() for part in manifest.parts} == {
        BLOB_NAME: BLOB,
        "wheels/a-1.whl": b"wheel",
        "debs/a_1-2_arm64.deb": b"deb",
    }


def test_the_manifest_comes_first_and_can_be_read_by_any_tar(kit: Path) -> None:
    assert [member.name for member, _ in _members(kit)][:2] == ["manifest.json", "manifest.sha256"]


def test_the_same_parts_give_the_same_bytes(kit: Path, tmp_path: Path) -> None:
    write(tmp_path / "again.tar", read_manifest(kit), tmp_path / "parts")
    assert (tmp_path / "again.tar").read_bytes() == kit.read_bytes()


def test_only_what_is_to_be_kept_is_written(kit: Path, tmp_path: Path) -> None:
    unpack(kit, tmp_path / "out", keep=(WHEELS,))
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["a-1.whl"]


def test_no_half_written_file_is_left(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        write(tmp_path / "nowhere" / "kit.tar", Manifest(coldstart="0", platform="p"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [(BLOBS, WHEELS, DEBS), ()], ids=["kept", "only checked"])
def test_a_flipped_byte_in_any_part_is_told(kit: Path, tmp_path: Path, keep: tuple[str, ...]) -> None:
    whole = kit.read_bytes()
    for content, name in ((BLOB, BLOB_NAME), (b"wheel", "a-1.whl"), (b"deb\0", "a_1-2_arm64.deb")):
        at = whole.index(content + b"\0") if content == b"wheel" else whole.rindex(content)
        kit.write_bytes(whole[:at] + b"X" + whole[at + 1 :])
        with pytest.raises(InputFileError, match=rf"kit.tar: is damaged: .*{name} is not what was saved. Copy it"):
            unpack(kit, tmp_path / "out", keep=keep)


def test_a_flipped_byte_in_the_manifest_is_told(kit: Path) -> None:
    kit.write_bytes(kit.read_bytes().replace(b"bookworm", b"bookwarm", 1))
    with pytest.raises(InputFileError, match="its manifest is not what was saved"):
        read_manifest(kit)


def test_a_file_cut_short_anywhere_is_told(kit: Path, tmp_path: Path) -> None:
    whole = kit.read_bytes()
    for length in range(0, whole.rindex(b"wheel") + 1, 256):
        kit.write_bytes(whole[:length])
        with pytest.raises(InputFileError, match=r"kit\.tar: (is|has|holds)"):
            unpack(kit, tmp_path / "out", keep=())


def test_a_missing_part_is_told(kit: Path, tmp_path: Path) -> None:
    _rewrite(kit, _members(kit)[:-1])
    with pytest.raises(InputFileError, match="missing"):
        unpack(kit, tmp_path / "out", keep=())


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "wheels/b.whl"])
def test_a_member_that_is_not_listed_is_refused_and_not_written(kit: Path, tmp_path: Path, name: str) -> None:
    _rewrite(kit, [*_members(kit), (tarfile.TarInfo(name), b"evil")])
    with pytest.raises(InputFileError, match="which its manifest does not list"):
        unpack(kit, tmp_path / "out", keep=(WHEELS,))
    assert not (tmp_path / "evil").exists()


def test_a_part_that_comes_twice_is_refused(kit: Path, tmp_path: Path) -> None:
    members = _members(kit)
    _rewrite(kit, [*members, members[-1]])
    with pytest.raises(InputFileError, match="does not list"):
        unpack(kit, tmp_path / "out", keep=())


def test_a_link_in_a_parts_place_is_refused(kit: Path, tmp_path: Path) -> None:
    members = _members(kit)
    link = tarfile.TarInfo(members[-1][0].name)
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    _rewrite(kit, [*members[:-1], (link, b"")])
    with pytest.raises(InputFileError, match="is not what was saved"):
        unpack(kit, tmp_path / "out", keep=(WHEELS,))


@pytest.mark.parametrize("name", ["wheels/../../evil", "wheels/..", "/etc/cron.d/evil", "evil", "blobs/sha256/../x"])
def test_a_manifest_that_lists_a_path_elsewhere_is_refused(kit: Path, name: str) -> None:
    _say_otherwise(kit, lambda said: said["parts"][0].update(name=name))
    with pytest.raises(InputFileError, match="manifest lacks or misstates"):
        read_manifest(kit)


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said.pop("platform"),
        lambda said: said["parts"].append(said["parts"][0]),
        lambda said: said["parts"][0].update(colour="red"),
        lambda said: said["parts"][0].update(name=f"{BLOBS}/{'0' * 64}"),
        lambda said: said.update(parts=None),
        lambda said: said.update(parts=[7]),
        lambda said: said["parts"][0].update(name=1),
        lambda said: said["parts"][0].update(sha256=["a"]),
        lambda said: said["parts"][0].update(sha256="A" * 64),
        lambda said: said["parts"][0].update(size_bytes=-1),
        lambda said: said["parts"][0].update(size_bytes=True),
        lambda said: said["parts"][0].update(size_bytes="6000"),
        lambda said: said.update(images={"a": 1}),
        lambda said: said.update(images=["x"]),
        lambda said: said.update(bases=7),
        lambda said: said.update(platform=["linux/arm64"]),
        lambda said: said.update(coldstart="\x1b[2J"),
        lambda said: said.update(coldstart="9" * 100_000),
        lambda said: said.update(target=[1]),
        lambda said: said["target"].update(python=3.11),
        lambda said: said["target"].pop("release"),
    ],
    ids=[
        "a key missing",
        "a part twice",
        "an unknown key",
        "a blob that is not its name",
        "no list",
        "a part that is a number",
        "a name that is a number",
        "a checksum that is a list",
        "a checksum in capitals",
        "a negative size",
        "a size that is true",
        "a size that is text",
        "images that are no list",
        "an image that is text",
        "bases that are a number",
        "a platform that is a list",
        "a version that clears the screen",
        "a version without end",
        "a target that is a list",
        "a Python that is a number",
        "a target without a release",
    ],
)
def test_a_manifest_that_cannot_be_right_is_refused(kit: Path, change: Callable[[dict[str, Any]], object]) -> None:
    _say_otherwise(kit, change)
    with pytest.raises(InputFileError, match="manifest lacks or misstates"):
        read_manifest(kit)


@pytest.mark.parametrize(
    "encoded", [b"[" * 200_000, b'{"format": ' * 100_000, b"9" * 5000, b"\xff\xfe", b'{"format": "coldstart bundle"}']
)
def test_a_manifest_that_is_not_one_is_one_message(kit: Path, encoded: bytes) -> None:
    (manifest, _), (checksum, _), *parts = _members(kit)
    _rewrite(kit, [(manifest, encoded), (checksum, hashlib.sha256(encoded).hexdigest().encode()), *parts])
    with pytest.raises(InputFileError, match=r"kit\.tar: (is|has)"):
        read_manifest(kit)


@pytest.mark.parametrize("size", [-512, -(1 << 20)])
@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_a_member_of_a_negative_size_ends_the_reading(kit: Path, tmp_path: Path, size: int, index: int) -> None:
    out = io.BytesIO()
    for at, (member, content) in enumerate(_members(kit)):
        member.size = size if at == index else len(content)
        out.write(member.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512))
    kit.write_bytes(out.getvalue() + bytes(1024))
    with pytest.raises(InputFileError, match=r"kit\.tar: is"):
        unpack(kit, tmp_path / "out", keep=())


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
@pytest.mark.parametrize("index", [0, 1, 2, 4])
def test_what_is_not_a_file_is_refused_wherever_it_comes(kit: Path, tmp_path: Path, kind: bytes, index: int) -> None:
    members = _members(kit)
    odd = tarfile.TarInfo(members[index][0].name)
    odd.type, odd.linkname = kind, "/etc/passwd"
    _rewrite(kit, [*members[:index], (odd, b""), *members[index + 1 :]])
    with pytest.raises(InputFileError, match=r"kit\.tar: is"):
        unpack(kit, tmp_path / "out", keep=(WHEELS, DEBS, BLOBS))
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_a_newer_format_is_refused_with_the_version_that_wrote_it(kit: Path) -> None:
    _say_otherwise(kit, lambda said: said.update(version=bundle.VERSION + 1, coldstart="9.9"))
    with pytest.raises(InputFileError, match=r"format 2, of coldstart 9\.9; this one reads format 1.*same version"):
        read_manifest(kit)


def test_another_tar_is_no_bundle(tmp_path: Path) -> None:
    _rewrite(tmp_path / "other.tar", [(tarfile.TarInfo("manifest.json"), b"[]")])
    with pytest.raises(InputFileError, match="is not a file of `coldstart images save`"):
        read_manifest(tmp_path / "other.tar")


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b not a tar", b"x" * 5000])
def test_another_file_is_no_bundle(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(InputFileError, match="is not a file of `coldstart images save`"):
        read_manifest(tmp_path / "other")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="No such file"):
        read_manifest(tmp_path / "kit.tar")
