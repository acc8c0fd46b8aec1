"""What to measure: factors and their levels, how often, and how a start is judged ready."""

from __future__ import annotations

import msgspec

from coldstart.model.cell import Network, Tier
from coldstart.model.options import ContainerOptions
from coldstart.model.probe import ProbeSpec


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A validated experiment; the cells are the full crossing of its factors.

    ``runs`` is the number of measured blocks, ``warmup`` the number of blocks declared beforehand to be
    discarded; ``image`` is set for an ad hoc run, whose workload and variant then name that image; ``ready`` of
    ``None`` means each workload's own probe; ``targets`` names files of the catalogue. ``folders`` are those of
    workloads that are not the catalogue's, by name; ``missing`` the pairs of a workload and a variant it does not have,
    which have no cells. With ``egress`` containers on the testbed have a way out to other networks while they are
    measured.
    """

    name: str
    description: str = ""
    engine: tuple[str, ...] = ("docker",)
    runtime: tuple[str, ...]
    workload: tuple[str, ...]
    variant: tuple[str, ...]
    tier: tuple[Tier, ...]
    network: tuple[Network, ...] = (Network.BRIDGE,)
    runs: int
    warmup: int = 0
    image: str | None = None
    ready: ProbeSpec | None = None
    timeout_ns: int = 30_000_000_000
    targets: tuple[str, ...] = ()
    options: ContainerOptions = ContainerOptions()
    egress: bool = False
    folders: dict[str, str] = {}
    missing: tuple[tuple[str, str], ...] = ()
