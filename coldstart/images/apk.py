"""Alpine's database of installed packages (``/lib/apk/db/installed``): which package owns which file, and how.

Format: https://wiki.alpinelinux.org/wiki/Apk_spec, section *Installed Database V2*.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping

import msgspec

_CONSTRAINT = re.compile(r"[<>=~].*")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A folder or file of a package; ``checksum`` is ``None`` for folders and for files packed without one."""

    path: str
    is_folder: bool
    uid: int = 0
    gid: int = 0
    mode: int | None = None
    checksum: str | None = None


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """An installed package; ``text`` is its paragraph as found."""

    name: str
    version: str
    architecture: str
    checksum: str
    depends: tuple[str, ...]
    provides: tuple[str, ...]
    entries: tuple[Entry, ...]
    text: str


def parse(database: str) -> dict[str, Package]:
    """Packages by name."""
    packages = [_package(paragraph) for paragraph in database.split("\n\n") if paragraph.strip()]
    return {package.name: package for package in packages}


def closure(packages: Mapping[str, Package], roots: Iterable[str]) -> dict[str, Package]:
    """``roots`` and all they depend on, by name; a root that is not installed is left out.

    Versions are not compared: what is installed satisfied them once.
    """
    providers = {provided: name for name, package in packages.items() for provided in package.provides}
    kept: dict[str, Package] = {}
    wanted = [name for name in roots if name in packages]
    while wanted:
        name = wanted.pop()
        if name in kept:
            continue
        kept[name] = packages[name]
        for needed in packages[name].depends:
            provider = needed if needed in packages else providers.get(needed)
            if provider is not None:
                wanted.append(provider)
    return dict(sorted(kept.items()))


def checksum(content: bytes) -> str:
    """``content``'s checksum as the database writes it."""
    return "Q1" + base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode()


def as_packaged(content: bytes, expected: str) -> bytes | None:
    """The longest leading lines of ``content`` that are the packaged file; ``None`` if no prefix is.

    Accounts that other packages added to ``/etc/passwd`` and the like were appended: without them it is the
    packaged file again, and the checksum proves it.
    """
    lines = content.splitlines(keepends=True)
    for count in range(len(lines), -1, -1):
        candidate = b"".join(lines[:count])
        if checksum(candidate) == expected:
            return candidate
    return None


def _package(paragraph: str) -> Package:
    fields: dict[str, str] = {}
    entries: list[Entry] = []
    folder = ""
    for line in paragraph.strip().splitlines():
        key, _, value = line.partition(":")
        if key == "F":
            folder = value
            entries.append(Entry(path=value, is_folder=True))
        elif key == "R":
            entries.append(Entry(path=f"{folder}/{value}" if folder else value, is_folder=False))
        elif key in {"a", "M"}:
            uid, gid, mode = value.split(":")[:3]
            entries[-1] = msgspec.structs.replace(entries[-1], uid=int(uid), gid=int(gid), mode=int(mode, 8))
        elif key == "Z":
            entries[-1] = msgspec.structs.replace(entries[-1], checksum=value)
        else:
            fields[key] = value
    return Package(
        name=fields["P"],
        version=fields["V"],
        architecture=fields.get("A", ""),
        checksum=fields.get("C", ""),
        depends=_names(fields.get("D", "")),
        provides=_names(fields.get("p", "")),
        entries=tuple(entries),
        text=paragraph.strip(),
    )


def _names(value: str) -> tuple[str, ...]:
    """Names without version constraints; conflicts (``!name``) are no dependencies."""
    return tuple(_CONSTRAINT.sub("", word) for word in value.split() if not word.startswith("!"))
