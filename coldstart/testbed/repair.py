"""Taking a testbed apart, whole or whatever a killed run left of it: by what is found, never by what was meant."""

from __future__ import annotations

from coldstart.testbed import cgroups, marker, mounts, processes, storage
from coldstart.testbed.config import Layout


def clear(layout: Layout, claim: marker.Claim | None) -> int:
    """Remove everything of this testbed but its root folder; how many things there were.

    Works after a ``kill -9`` of any process at any point, ``up`` and ``down`` themselves included, and from the root's
    path alone if ``claim``, its marker, is lost.

    Raises:
        TestbedError: something is in use and stays so; repeating goes on from there.
    """
    count = processes.end(layout)
    count += cgroups.remove(layout, mounts.read())
    if claim is not None:
        cgroups.restore(claim.controllers)
    count += mounts.unmount_below(layout.root)
    count += storage.release_loops(layout)
    if claim is not None and claim.data_root is not None:
        count += marker.remove(claim.data_root, layout.id)
    return count
