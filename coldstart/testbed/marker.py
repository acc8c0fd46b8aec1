"""Which folders are ours: nothing without our marker in it is ever removed."""

from __future__ import annotations

import glob
import shutil
import stat
import tempfile
from pathlib import Path

import msgspec

from coldstart.decoding import UNREADABLE
from coldstart.errors import TestbedError
from coldstart.opening import read_regular
from coldstart.private import why_not_private
from coldstart.testbed import mounts
from coldstart.testbed.config import decode_path, write_record

MARKER = ".coldstart-testbed.json"
FOLDER_MODE = 0o711
"""Others may reach a file in it whose name they know, such as the state; they cannot open the folder, nor lock it."""
_LEFTOVERS = {f".{MARKER}.new", "lost+found"}  # of a claim that was killed; of a new ext4


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What a marked folder is for, and what undoing it needs.

    ``made`` tells a folder we created from an empty one we were given. ``data_root`` is an engine's data folder
    outside the root; ``controllers`` are those that a cgroup2 mount gave its children before us. ``mode`` is the
    permissions of a folder that we were given, before we took those of others to read it.
    """

    id: str
    made: bool
    mode: int | None = None
    data_root: Path | None = None
    controllers: dict[str, tuple[str, ...]] = {}


def read_claim(folder: Path) -> Claim | None:
    """The folder's marker; ``None`` if it has none, or is no folder.

    Raises:
        TestbedError: the marker cannot be read.
    """
    try:
        return msgspec.json.decode(read_regular(folder / MARKER), type=Claim, dec_hook=decode_path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UNREADABLE as error:
        raise TestbedError(f"{folder / MARKER}: {error}. Look at {folder} and remove it by hand.") from error


def check_claimable(folder: Path, owner: str) -> None:
    """Make sure that ``folder`` is absent, empty, or the same owner's.

    Raises:
        TestbedError: it holds what is not ours.
    """
    if folder.is_symlink():
        raise TestbedError(f"{folder} is a link. Name the folder that it leads to, or choose another one.")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise TestbedError(f"{folder} is not a folder.")
    claim = read_claim(folder)
    if claim is not None and claim.id != owner:
        raise TestbedError(f"{folder} belongs to another testbed ({claim.id}). Choose another folder.")
    if claim is None and {entry.name for entry in folder.iterdir()} - _LEFTOVERS:
        raise TestbedError(
            f"{folder} is not empty and has no marker of ours, so it is left alone. "
            "Choose another folder, or empty it yourself."
        )


def check_private(folder: Path) -> None:
    """Make sure that nobody else can replace what root keeps in ``folder``, whether it is there yet or not.

    Raises:
        TestbedError: it is a link or another user's, or others may write to it or to a folder above it.
    """
    if why := why_not_private(folder):
        raise TestbedError(why)


def claim_folder(folder: Path, owner: str, marker_mode: int = 0o644) -> Claim:
    """Make ``folder`` the owner's: at no instant does it exist, made by us, without its marker.

    Raises:
        TestbedError: it holds what is not ours, or others could replace what is in it.
    """
    check_private(folder)
    check_claimable(folder, owner)
    claim = read_claim(folder)
    if claim is not None:
        _close_to_others(folder)
        return claim
    if folder.exists():
        claim = Claim(id=owner, made=False, mode=stat.S_IMODE(folder.stat().st_mode))
        write(folder, claim, marker_mode)
        _close_to_others(folder)
        return claim
    return _made(folder, Claim(id=owner, made=True), marker_mode)


def _made(folder: Path, claim: Claim, marker_mode: int) -> Claim:
    """Make the folder beside its place, under a name that nobody can have prepared, and rename it into place."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    check_private(folder)  # of the folders that were just made, too
    fresh = Path(tempfile.mkdtemp(prefix=f"{_fresh(folder)}-", dir=folder.parent))
    try:
        fresh.chmod(FOLDER_MODE)
        write(fresh, claim, marker_mode)
        fresh.rename(folder)
    except OSError as error:
        _discard(fresh)
        check_private(folder)
        check_claimable(folder, claim.id)
        first = read_claim(folder)  # of another process, which was as quick
        if first is None:
            raise error from None
        return first
    return claim


def unclaim(folder: Path) -> None:
    """Take back a claim under which nothing was put into the folder yet; a folder that we made goes, too."""
    claim = read_claim(folder)
    if claim is not None and {entry.name for entry in folder.iterdir()} == {MARKER}:
        (folder / MARKER).unlink()
        if claim.made:
            remove_if_empty(folder)


def write(folder: Path, claim: Claim, mode: int = 0o644) -> None:
    """Write or replace the marker in ``folder``, atomically."""
    write_record(folder / MARKER, claim, mode)


def empty(folder: Path, kept: frozenset[str] = frozenset({MARKER})) -> None:
    """Remove everything in a marked folder but the entries to be ``kept``.

    Raises:
        TestbedError: there is no marker, or something is mounted in it.
    """
    if read_claim(folder) is None:
        raise TestbedError(f"{folder} has no marker of ours, so it is left alone.")
    inside = mounts.below(folder)
    if inside:
        raise TestbedError(f"{inside[0].point} is still mounted, so {folder} is left alone. Unmount it, then repeat.")
    for entry in folder.iterdir():
        if entry.name not in kept:
            _remove_entry(entry)


def remove(folder: Path, owner: str) -> bool:
    """Remove what `claim_folder` and its owner put there, the folder itself only if we made it; whether it was there.

    A folder without a marker is left alone if it holds anything, and left as it is if it is empty.

    Raises:
        TestbedError: something is mounted in it, or it is another owner's.
    """
    for left in folder.parent.glob(f"{glob.escape(_fresh(folder))}*"):  # a claim that was killed
        if not left.is_symlink() and why_not_private(left) is None:
            _discard(left)
    check_claimable(folder, owner)
    claim = read_claim(folder)
    if claim is None:
        if folder.is_dir():
            (folder / f".{MARKER}.new").unlink(missing_ok=True)
        return False
    empty(folder)
    (folder / MARKER).unlink()
    if claim.made:
        remove_if_empty(folder)
    elif claim.mode is not None:
        folder.chmod(claim.mode)
    return True


def remove_if_empty(folder: Path) -> None:
    """Remove ``folder`` if it is there and empty."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _discard(fresh: Path) -> None:
    """Remove a folder that never came to its place: nothing but the marker, or its beginning, is in it."""
    if fresh.is_dir():
        (fresh / MARKER).unlink(missing_ok=True)
        (fresh / f".{MARKER}.new").unlink(missing_ok=True)
        remove_if_empty(fresh)


def _remove_entry(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


def _close_to_others(folder: Path) -> None:
    """Take what the mode gives others beyond `FOLDER_MODE`."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o066:
        folder.chmod(mode & ~0o066)


def _fresh(folder: Path) -> str:
    """How the names begin under which ``folder`` is made."""
    return f".{folder.name}.coldstart-new"
