"""A kit on the board it was saved for: checked against the board, unpacked where apt and pip read it.

Python's own library only, as in `coldstart.kit.bundle`.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

from coldstart import __version__
from coldstart.errors import InputFileError, InvalidEnvironmentError, StorageError
from coldstart.kit.bundle import DEBS, WHEELS, Manifest, Target, read_manifest, unpack


def this_board() -> Target:
    """What a kit for this machine is for.

    Raises:
        InvalidEnvironmentError: it is no Debian, nor made of it.
    """
    try:
        found = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True, timeout=30)
        release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    except (OSError, subprocess.SubprocessError, KeyError) as error:
        raise InvalidEnvironmentError(
            f"kits are for Debian and what is made of it, and this machine tells of no Debian release ({error})."
        ) from error
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Target(architecture=found.stdout.strip(), release=release, python=python)


def unpack_kit(path: Path, folder: Path, board: Target) -> Manifest:
    """Check the whole kit, and put its wheels into ``folder/wheels`` and a repository for apt into ``folder/debs``.

    ``folder/apt.conf`` lets apt read that repository and nothing else. Images stay in the kit, checked.

    Raises:
        InputFileError: it is no kit, is for another board or another coldstart, or is damaged.
        StorageError: ``folder`` cannot be written.
    """
    refuse_unfit(path, read_manifest(path), board)
    manifest = unpack(path, folder, keep=(WHEELS, DEBS))
    try:
        for needed in ("apt-lists/partial", "apt-cache/archives/partial"):
            (folder / needed).mkdir(parents=True)
        (folder / "sources.list").write_text(f"deb [trusted=yes] file:{folder / DEBS} ./\n")
        (folder / "apt.conf").write_text(
            f'Dir::State::Lists "{folder}/apt-lists";\n'
            f'Dir::Cache "{folder}/apt-cache";\n'
            f'Dir::Etc::sourcelist "{folder}/sources.list";\n'
            'Dir::Etc::sourceparts "/dev/null";\n'
            'APT::Sandbox::User "root";\n'  # the folder is closed to _apt
            'Acquire::Languages "none";\n'
        )
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}.") from error
    return manifest


def refuse_unfit(path: Path, manifest: Manifest, board: Target) -> None:
    """Refuse what was not saved for this board by this coldstart.

    Raises:
        InputFileError: naming what differs, and how to save one that fits.
    """
    target = manifest.target
    if target is None:
        raise InputFileError(path, "holds images only.", "A kit is saved with: coldstart images save --kit FILE")
    fitting = f"coldstart images save --kit FILE --platform {_PLATFORMS.get(board.architecture, board.architecture)}"
    remedy = f"Save one with: {fitting} --release {board.release}"
    for what, its, ours in (
        ("architecture", target.architecture, board.architecture),
        ("release", target.release, board.release),
        ("Python", target.python, board.python),
    ):
        if its != ours:
            raise InputFileError(path, f"is for {what} {its}, and this board has {ours}.", remedy)
    if manifest.coldstart != __version__:
        raise InputFileError(
            path,
            f"was saved by coldstart {manifest.coldstart}, and this is {__version__}.",
            "Use the same version on both machines.",
        )


# What `images.platforms` knows too; it is asked here before its neighbours can be imported.
_PLATFORMS = {"amd64": "linux/amd64", "arm64": "linux/arm64", "armhf": "linux/arm/v7"}
