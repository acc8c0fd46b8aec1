"""Folders in which root keeps what it will trust: whether another user could replace what is in them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_GIVE = "Give it to root, or choose another folder."


def why_not_private(folder: Path) -> str | None:
    """Who else could replace what is kept in ``folder``, with the remedy; ``None`` if nobody could.

    The folder itself must be a real one, of a trusted user, that nobody else may write to. The same holds for the
    folders above it, of which those with the sticky bit, such as /tmp, may be written to. Those that do not exist yet
    are passed over.
    """
    path = Path(os.path.abspath(folder))  # noqa: PTH100  links are looked at, too
    found = _lstat(path)
    if found is not None and stat.S_ISLNK(found.st_mode):
        return f"{path} is a link. Name the folder that it leads to, or choose another one."
    if found is not None and found.st_uid not in _trusted_users():
        return f"{path} belongs to another user (ID {found.st_uid}), who could replace what is in it. {_GIVE}"
    if found is not None and found.st_mode & 0o022:
        return f"{path} can be written to by other users: chmod go-w {path}, or choose another folder."
    real = Path(os.path.realpath(path.parent))
    for above in dict.fromkeys((*path.parents, real, *real.parents)):
        if why := _why_not_safe(above, path.name):
            return why
    return None


def _why_not_safe(above: Path, name: str) -> str | None:
    """Who could put something else in the place of ``name`` below ``above``; of a link, who could change it."""
    found = _lstat(above)
    if found is None:
        return None
    if found.st_uid not in _trusted_users():
        return f"{above} belongs to another user (ID {found.st_uid}), who could replace {name} below it. {_GIVE}"
    if stat.S_ISLNK(found.st_mode) or not found.st_mode & 0o022 or found.st_mode & stat.S_ISVTX:
        return None
    who = "everybody" if found.st_mode & stat.S_IWOTH else f"its group (ID {found.st_gid})"
    return (
        f"{above} can be written to by {who}, who could replace {name} below it: chmod go-w {above}, or choose "
        "another folder."
    )


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _trusted_users() -> set[int]:
    """Root, ourselves, and who called sudo: they need no file to become root."""
    caller = os.environ.get("SUDO_UID", "")
    return {0, os.geteuid(), *([int(caller)] if caller.isdecimal() and os.geteuid() == 0 else [])}
