"""What a command line changes in an experiment, out of the options' values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from coldstart.cli._containers import parse_container_options
from coldstart.cli._options import container_command
from coldstart.units import parse_duration_ns

if TYPE_CHECKING:
    from coldstart.plan.overrides import Overrides


def parse_overrides(said: Mapping[str, Any]) -> Overrides:
    """The options of `factor_options` and `container_options`, and the others that change an experiment, if any.

    Raises:
        UsageError: a value that makes no sense, named with its option.
    """
    from coldstart.model.probe import ProbeSpec  # noqa: PLC0415  --help need not pay for it
    from coldstart.plan.levels import parse_levels, parse_networks, parse_tiers, parse_workloads  # noqa: PLC0415
    from coldstart.plan.overrides import Overrides  # noqa: PLC0415

    def levels(factor: str) -> tuple[str, ...] | None:
        return None if said[factor] is None else parse_levels(factor, said[factor])

    workloads = None if said["workload"] is None else parse_workloads(said["workload"])
    timeout = said.get("timeout")
    ready = said.get("ready")
    return Overrides(
        engine=levels("engine"),
        runtime=levels("runtime"),
        workload=None if workloads is None else workloads.names,
        folders={} if workloads is None else workloads.folders,
        variant=levels("variant"),
        tier=None if said["tier"] is None else parse_tiers(said["tier"]),
        network=None if said["network"] is None else parse_networks(said["network"]),
        runs=said.get("runs"),
        warmup=said.get("warmup"),
        ready=None if ready is None else ProbeSpec.parse(ready),
        timeout_ns=None if timeout is None else parse_duration_ns(timeout),
        options=parse_container_options(said, container_command()),
        image=said.get("image"),
        egress=said.get("egress"),
    )
