"""What a start's processes took: peak memory and CPU time of each part, by runtime."""

from __future__ import annotations

import msgspec
import pandas as pd

from coldstart.analyse import frames
from coldstart.analyse.estimate import Estimate, median_interval

PARTS = {
    "runtime": ("OCI runtime, gone after the start", "runtime_peak_rss_bytes", "runtime_cpu_ns"),
    "shim": ("shim, one a container", "shim_peak_rss_bytes", "shim_cpu_ns"),
    "network_hook": ("network hook, gone after the start", "network_hook_peak_rss_bytes", "network_hook_cpu_ns"),
    "untar": ("unpacking, one process a layer", "untar_peak_rss_bytes", "untar_cpu_ns"),
    "engine": ("resident engine, all containers share it", "engine_pss_bytes", "engine_cpu_ns"),
}
"""Part: what it is, the column of its memory (peak RSS; of the resident engine PSS), the column of its CPU time."""


class PartUse(msgspec.Struct, frozen=True, kw_only=True):
    """Medians over all timed starts of a runtime that observed the part: bytes and ns."""

    runtime: str
    part: str
    memory: Estimate
    cpu: Estimate | None


def part_uses(frame: pd.DataFrame) -> tuple[PartUse, ...]:
    """Every runtime's parts, in the order of `PARTS`; parts nobody observed are left out."""
    timed = frames.timed(frame)
    found = []
    for runtime in sorted(timed["runtime"].unique()):
        rows = timed[timed["runtime"] == runtime]
        for part, (_, memory, cpu) in PARTS.items():
            if memory not in rows:
                continue
            peaks, times = frames.values(rows, memory), frames.values(rows, cpu)
            if len(peaks):
                found.append(
                    PartUse(
                        runtime=str(runtime),
                        part=part,
                        memory=median_interval(peaks),
                        cpu=median_interval(times) if len(times) else None,
                    )
                )
    return tuple(found)
