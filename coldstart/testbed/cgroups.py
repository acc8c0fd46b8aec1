"""Our cgroup in every hierarchy: found and removed; what a cgroup2 mount gave its children, restored."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from coldstart.errors import TestbedError
from coldstart.testbed import mounts
from coldstart.testbed.config import Layout
from coldstart.units import NS_PER_S

_REMOVE_TIMEOUT_NS = 10 * NS_PER_S
_RETRY_S = 0.01


def version(table: tuple[mounts.Mount, ...]) -> str | None:
    """``v1``, ``v2``, or ``hybrid`` (controllers on v1, an empty cgroup2 beside them); ``None`` without any."""
    kinds = {mount.kind for mount in table if mount.kind in {"cgroup", "cgroup2"}}
    return {frozenset({"cgroup"}): "v1", frozenset({"cgroup2"}): "v2", frozenset(): None}.get(
        frozenset(kinds), "hybrid"
    )


def points(table: tuple[mounts.Mount, ...], *kinds: str) -> tuple[Path, ...]:
    """Where hierarchies of these kinds are mounted."""
    return tuple(dict.fromkeys(mount.point for mount in table if mount.kind in kinds))


def controllers(table: tuple[mounts.Mount, ...]) -> dict[str, tuple[str, ...]]:
    """The controllers each cgroup2 mount gives its children, by mount point: an engine's runtime adds to them."""
    given = {}
    for point in points(table, "cgroup2"):
        try:
            given[str(point)] = tuple((point / "cgroup.subtree_control").read_text().split())
        except OSError:
            continue
    return given


def restore(before: Mapping[str, tuple[str, ...]]) -> None:
    """Take back the controllers that were added since ``before``, where nobody else uses them by now."""
    for point, names in before.items():
        control = Path(point) / "cgroup.subtree_control"
        try:
            added = set(control.read_text().split()) - set(names)
        except OSError:
            continue
        for name in sorted(added):
            try:
                control.write_text(f"-{name}")
            except OSError:
                continue  # EBUSY: a neighbour relies on it now


def remove(layout: Layout, table: tuple[mounts.Mount, ...]) -> int:
    """Remove our cgroup, nested ones first, from every hierarchy; how many folders that were.

    Raises:
        TestbedError: one is still in use.
    """
    count, deadline_ns = 0, time.monotonic_ns() + _REMOVE_TIMEOUT_NS
    for point in points(table, "cgroup", "cgroup2"):
        for folder, _, _ in os.walk(point / layout.name, topdown=False):
            while not _removed(Path(folder)):
                if time.monotonic_ns() > deadline_ns:
                    raise TestbedError(f"{folder} is still in use. Look into its cgroup.procs, then repeat.")
                time.sleep(_RETRY_S)
            count += 1
    return count


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # EBUSY while the kernel still counts a dead process
    return True
