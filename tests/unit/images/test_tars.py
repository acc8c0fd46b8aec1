"""Headers that no archiver writes: tarfile would read everything at once, or go round for ever."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from coldstart.images import tars


def _tar(*members: tuple[str, bytes, int, bytes]) -> bytes:
    """Members of a name, a type, a size as the header says it, and a content."""
    out = io.BytesIO()
    for name, kind, size, content in members:
        member = tarfile.TarInfo(name)
        member.type, member.size = kind, size
        out.write(member.tobuf(tarfile.GNU_FORMAT))
        out.write(content + bytes(-len(content) % 512))
    return out.getvalue() + bytes(1024)


def _read(path: Path, mode: str) -> None:
    with path.open("rb") as stream, tars.opened(path) if mode == "file" else tars.streamed(stream) as tar:
        list(tars.members(tar))


FILE = ("a", tarfile.REGTYPE, 3, b"abc")


@pytest.mark.parametrize(
    "content",
    [
        _tar(("a", tarfile.REGTYPE, -512, b"")),
        _tar(FILE, ("b", tarfile.REGTYPE, -2048, b"")),
        _tar(FILE, ("././@LongLink", tarfile.GNUTYPE_LONGNAME, 1 << 40, b"x")),
        _tar(FILE, ("p", tarfile.XHDTYPE, 1 << 30, b"x")),
        _tar(("p", tarfile.XHDTYPE, -512, b""), FILE),
        _tar(FILE, ("p", tarfile.XHDTYPE, 14, b"14 size=-1024\n"), ("b", tarfile.REGTYPE, 0, b"")),
        _tar(("p", tarfile.XHDTYPE, 9, b"0 size=1\n"), FILE),
        _tar(FILE)[:300],
        _tar(("a", tarfile.REGTYPE, 1 << 49, b"x")),
        _tar(FILE, ("a", tarfile.REGTYPE, 1 << 62, b"x")),
        _tar(FILE, ("a", tarfile.REGTYPE, 1 << 70, b"x")),
        _tar(FILE, ("p", tarfile.XHDTYPE, 31, b"31 size=99999999999999999999999\n"), ("b", tarfile.REGTYPE, 0, b"")),
    ],
)
@pytest.mark.parametrize("mode", ["file", "stream"])
def test_a_header_that_cannot_be_is_damage(tmp_path: Path, content: bytes, mode: str) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(content)
    with pytest.raises(tars.DAMAGED):
        _read(path, mode)


def test_a_sound_tar_is_read_member_by_member_and_none_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(_tar(FILE, ("b", tarfile.REGTYPE, 1, b"x")))
    with tars.opened(path) as tar:
        assert [(member.name, member.size) for member in tars.members(tar)] == [("a", 3), ("b", 1)]
        assert len(tar.members) <= 1  # type: ignore[attr-defined]  # tarfile's own list
