"""What a factor's levels and a run's counts may be, wherever they were written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from coldstart.errors import UnknownNameError, UsageError
from coldstart.model.cell import Network, Tier

MAX_RUNS = 100_000
"""More blocks than anyone waits for; beyond it a number is a slip of the hand."""

# A level is part of `Cell.key`, of file names and of comma lists: no separator of theirs.
_LEVEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


class Workloads(NamedTuple):
    """Levels of the factor workload: their names, and the folders of those that are not the catalogue's."""

    names: tuple[str, ...]
    folders: dict[str, str]


def parse_levels(kind: str, text: str, known: Iterable[str] | None = None) -> tuple[str, ...]:
    """Read a comma list (``runc,crun``) of the factor ``kind``; ``known`` of ``None`` accepts any well-formed name.

    Raises:
        UnknownNameError: a level that is not among ``known``.
        UsageError: an empty list or entry, a name no factor can have, or one given twice.
    """
    return checked_levels(kind, [name.strip() for name in text.split(",")], known)


def parse_tiers(text: str) -> tuple[Tier, ...]:
    """Read a comma list of cold tiers; raises as `parse_levels`."""
    return tuple(Tier(name) for name in parse_levels("tier", text, Tier))


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read a comma list of network modes; raises as `parse_levels`."""
    return tuple(Network(name) for name in parse_levels("network", text, Network))


def parse_workloads(text: str) -> Workloads:
    """Read a comma list of workloads, each a name or a folder; raises as `parse_levels`."""
    return checked_workloads([name.strip() for name in text.split(",")])


def checked_workloads(texts: Iterable[str], base: Path = Path(), where: str = "") -> Workloads:
    """Names of the catalogue, or folders of one's own: what has a ``/``, relative to ``base``; called as the folder is.

    Raises:
        UsageError: as `checked_levels`.
    """
    names: list[str] = []
    folders: dict[str, str] = {}
    for text in texts:
        if "/" not in text:
            names.append(text)
            continue
        folder = (base / Path(text).expanduser()).resolve()
        names.append(folder.name)
        folders[folder.name] = str(folder)
    return Workloads(checked_levels("workload", names, where=where), folders)


def checked_levels(
    kind: str, names: Iterable[str], known: Iterable[str] | None = None, where: str = ""
) -> tuple[str, ...]:
    """``names`` as they are, if they can be the levels of one factor; ``where`` is the file and key they are from.

    Raises:
        UnknownNameError: a level that is not among ``known``.
        UsageError: no level at all, a name no factor can have, or one given twice.
    """
    prefix = f"{where}: " if where else ""
    allowed = None if known is None else tuple(known)
    levels: list[str] = []
    for name in names:
        if allowed is not None and name not in allowed:
            raise UnknownNameError(kind, name, allowed, where)
        if not _LEVEL.fullmatch(name):
            raise UsageError(
                f"{prefix}{name!r} cannot be a {kind}: names are letters, digits and . _ + - , separated by commas."
            )
        if name in levels:
            raise UsageError(f"{prefix}{kind} {name!r} is given twice; name each level once.")
        levels.append(name)
    if not levels:
        raise UsageError(f"{prefix}no {kind} is given; name at least one.")
    return tuple(levels)


def checked_runs(runs: int) -> int:
    """The number of measured blocks, at least 1.

    Raises:
        UsageError: out of range.
    """
    if not 1 <= runs <= MAX_RUNS:
        raise UsageError(f"{runs} runs cannot be measured; ask for 1 to {MAX_RUNS}.")
    return runs


def checked_warmup(warmup: int) -> int:
    """The number of warm-up blocks, 0 or more.

    Raises:
        UsageError: out of range.
    """
    if not 0 <= warmup <= MAX_RUNS:
        raise UsageError(f"{warmup} warm-up blocks cannot be run; ask for 0 to {MAX_RUNS}.")
    return warmup


def checked_timeout_ns(timeout_ns: int) -> int:
    """How long a start may take to become ready, more than nothing.

    Raises:
        UsageError: zero or less.
    """
    if timeout_ns <= 0:
        raise UsageError("a timeout of nothing lets no start finish; give a time such as 30s.")
    return timeout_ns
