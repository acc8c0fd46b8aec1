"""What a run mounts and which devices it gives: there before the first start, and the same for us and the engine."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from coldstart.engines.base import Capability, Engine
from coldstart.errors import UsageError
from coldstart.model.options import ContainerOptions
from coldstart.opening import exists

_COVERED = ("/etc", "/opt")  # of a testbed: the engine reads what is there, and what it writes is lost
_READ_ONLY = ":ro"


def check_mounts(options: ContainerOptions, engine: Engine, proc: Path = Path("/proc")) -> None:
    """Refuse a source that is not there, or that the engine sees otherwise than this machine does.

    Docker makes an empty folder of a source that is missing, on the machine. Nothing is known of an engine elsewhere.

    Raises:
        UsageError: such a source, with what would help.
    """
    if Capability.SAME_MACHINE not in engine.capabilities:
        return
    _check_present("--volume", options.volumes)
    _check_present("--device", options.devices)
    root = _root_of(engine, proc)
    if root is None:
        return
    for volume in options.volumes:
        source = Path(os.path.realpath(volume.partition(":")[0]))
        if _is_same(source, root) or _is_read_through(source, root, volume):
            continue
        raise UsageError(
            f"--volume {volume}: the engine does not see {source} as this machine does."
            + (_own_folders(source) if Capability.PRIVATE in engine.capabilities else _REMEDY)
        )


_REMEDY = " Mount something from another place, such as a folder below /srv or /home."


def _own_folders(source: Path) -> str:
    if any(source.is_relative_to(covered) for covered in _COVERED):
        return " On the testbed /etc and /opt can only be read: add :ro to the volume, or mount another folder."
    if source.is_relative_to("/run"):
        return f" The testbed has its own /run.{_REMEDY}"
    return " If it was mounted after the testbed was started, start that anew: coldstart testbed down, then up."


def _check_present(option: str, entries: Iterable[str]) -> None:
    for entry in entries:
        source = entry.partition(":")[0]
        if not exists(source):
            raise UsageError(
                f"{option} {entry}: there is no {source} on this machine. Make it first: no engine is asked to."
            )


def _root_of(engine: Engine, proc: Path) -> Path | None:
    """The root folder as the engine's daemon sees it; ``None`` where that is not for us to look at."""
    for daemon in engine.daemons()[:1]:
        root = proc / str(daemon) / "root"
        if os.access(root, os.R_OK | os.X_OK):
            return root
    return None


def _is_same(source: Path, root: Path) -> bool:
    try:
        return os.path.samestat(source.stat(), _seen(source, root).stat())
    except OSError:
        return False


def _is_read_through(source: Path, root: Path, volume: str) -> bool:
    """Whether it is in a folder that the testbed covers by an overlay, and is only read."""
    return (
        volume.endswith(_READ_ONLY)
        and any(source.is_relative_to(covered) for covered in _COVERED)
        and source != Path("/etc/resolv.conf")
        and _seen(source, root).exists()
    )


def _seen(source: Path, root: Path) -> Path:
    return root / source.relative_to("/")
