"""Synthetic records for tests: everything has a plausible default, and every field can be said otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coldstart.model.cell import Cell, Network, Tier, Trial
from coldstart.model.experiment import Experiment
from coldstart.model.host import HostFacts
from coldstart.model.image import Image, Layer, Provenance
from coldstart.model.run import SCHEMA_VERSION, EngineFacts, RegistryFacts, RunManifest, RuntimeFacts, SourceFacts
from coldstart.model.sample import ColdProof, Outcome, Phase, Sample, Source, Span

RUN_ID = "20261124T051530Z-article-1a2b"
STARTED_AT = "2026-11-24T05:15:30.000000Z"
MS = 1_000_000
T0_NS = 1_000_000_000
"""When the first request of a synthetic trial is sent, CLOCK_MONOTONIC ns."""


def make_cell(
    *,
    engine: str = "docker",
    runtime: str = "runc",
    workload: str = "hello",
    variant: str = "alpine",
    tier: Tier = Tier.ABSENT,
    network: Network = Network.BRIDGE,
) -> Cell:
    """A cell; by default ``docker/runc/hello/alpine/absent/bridge``."""
    return Cell(engine=engine, runtime=runtime, workload=workload, variant=variant, tier=tier, network=network)


def make_span(phase: Phase, start_ns: int, end_ns: int, **fields: Any) -> Span:
    """A span the engine's API reported, unless ``source`` says otherwise."""
    return Span(phase=phase, start_ns=start_ns, end_ns=end_ns, **{"source": Source.ENGINE_API, **fields})


def layer_digest(index: int) -> str:
    """The digest of the synthetic image's layer ``index``."""
    return f"sha256:{index:064x}"


def make_pull_spans(start_ns: int, pull_ns: int, layers: int = 2) -> tuple[Span, ...]:
    """A pull and its leaves: resolve in the first tenth, downloads side by side, unpack and register one by one.

    Pull is cut into 10 parts: 1 resolve, downloads all through 1..5, unpack and register of layer i one after the
    other from 3 to 9 (in each layer's share four fifths unpack, one fifth register), and an unseen last tenth.
    """
    tenth = pull_ns // 10
    spans = [
        make_span(Phase.PULL, start_ns, start_ns + pull_ns, source=Source.CLIENT),
        make_span(Phase.RESOLVE, start_ns, start_ns + tenth, source=Source.ENGINE_LOG),
    ]
    share = 6 * tenth // layers
    for index in range(layers):
        digest = layer_digest(index)
        begins = start_ns + 3 * tenth + index * share
        unpacked = begins + share * 4 // 5
        spans += [
            make_span(Phase.DOWNLOAD, start_ns + tenth, start_ns + 5 * tenth, layer=digest),
            make_span(Phase.UNPACK, begins, unpacked, layer=digest),
            make_span(Phase.REGISTER, unpacked, begins + share, layer=digest),
        ]
    return tuple(spans)


def make_spans(
    *,
    pull_ns: int = 0,
    create_ns: int = 9 * MS,
    init_ns: int = 150 * MS,
    readiness_ns: int = 10 * MS,
    gap_ns: int = 1 * MS,
    layers: int = 2,
) -> tuple[Span, ...]:
    """The spans of one start from `T0_NS` on; the gap is between create and init, whose one leaf is its first half."""
    at = T0_NS + pull_ns
    created = at + create_ns
    started = created + gap_ns
    running = started + init_ns
    pull = make_pull_spans(T0_NS, pull_ns, layers) if pull_ns else ()
    return (
        *pull,
        make_span(Phase.CREATE, at, created, source=Source.CLIENT),
        make_span(Phase.INIT, started, running),
        make_span(Phase.INIT_ENGINE, started, started + init_ns // 2),
        make_span(Phase.READINESS, running, running + readiness_ns, source=Source.CLIENT),
    )


def make_trial(
    *, cell: Cell | None = None, block: int = 0, position: int = 0, attempt: int = 0, warmup: bool = False
) -> Trial:
    """A trial; its cell is `make_cell`'s unless given."""
    return Trial(block=block, position=position, cell=cell or make_cell(), attempt=attempt, warmup=warmup)


def make_sample(
    trial: Trial | None = None,
    *,
    outcome: Outcome = Outcome.OK,
    pull_ns: int | None = None,
    create_ns: int = 9 * MS,
    init_ns: int = 150 * MS,
    readiness_ns: int = 10 * MS,
    gap_ns: int = 1 * MS,
    layers: int = 2,
    **fields: Any,
) -> Sample:
    """A sample of ``trial`` (`make_trial` by default) with the given phase lengths.

    ``pull_ns`` defaults to 400 ms for tier ``absent`` and to no pull for the others. A sample that is not ``ok`` has
    no spans and a reason. ``fields`` are any other fields of `Sample`, and win.
    """
    trial = trial or make_trial()
    is_absent = trial.cell.tier is Tier.ABSENT
    spans: tuple[Span, ...] = ()
    if outcome is Outcome.OK:
        spans = make_spans(
            pull_ns=pull_ns if pull_ns is not None else 400 * MS * is_absent,
            create_ns=create_ns,
            init_ns=init_ns,
            readiness_ns=readiness_ns,
            gap_ns=gap_ns,
            layers=layers,
        )
    defaults: dict[str, Any] = {
        "run_id": RUN_ID,
        "trial": trial,
        "outcome": outcome,
        "source": "engine",
        "started_at": STARTED_AT,
        "reason": None if outcome is Outcome.OK else f"synthetic {outcome}",
        "spans": spans,
        "proof": ColdProof(tier=trial.cell.tier, source="synthetic"),
    }
    return Sample(**{**defaults, **fields})


def make_image(workload: str = "hello", variant: str = "alpine", **fields: Any) -> Image:
    """A two-layer image: 3 MB compressed, 7 MB and 42 files unpacked."""
    defaults: dict[str, Any] = {
        "workload": workload,
        "variant": variant,
        "reference": f"198.18.0.2:5000/{workload}-{variant}@{layer_digest(99)}",
        "image_id": layer_digest(98),
        "platform": "linux/amd64",
        "digest": layer_digest(99),
        "config_bytes": 1500,
        "layers": tuple(
            Layer(
                digest=layer_digest(index),
                diff_id=layer_digest(50 + index),
                compressed_bytes=compressed_bytes,
                unpacked_bytes=unpacked_bytes,
                files=files,
            )
            for index, (compressed_bytes, unpacked_bytes, files) in enumerate(
                [(1_000_000, 3_000_000, 40), (2_000_000, 4_000_000, 2)]
            )
        ),
        "provenance": (Provenance(what="Alpine 3.23.6 userland", source="synthetic", packages=("musl=1.2",)),),
    }
    return Image(**{**defaults, **fields})


def make_experiment(**fields: Any) -> Experiment:
    """One cell (`make_cell`'s), three runs."""
    defaults: dict[str, Any] = {
        "name": "article",
        "runtime": ("runc",),
        "workload": ("hello",),
        "variant": ("alpine",),
        "tier": (Tier.ABSENT,),
        "runs": 3,
    }
    return Experiment(**{**defaults, **fields})


def make_host(**fields: Any) -> HostFacts:
    """A two-core board with cgroup v2."""
    defaults: dict[str, Any] = {
        "host_id": "0123456789abcdef",
        "machine": "aarch64",
        "board": "Synthetic Board 1",
        "cpu_model": None,
        "cpus": 2,
        "memory_bytes": 1_073_741_824,
        "page_bytes": 4096,
        "kernel": "6.1.0",
        "os_name": "Debian GNU/Linux 12",
        "cgroup": "v2",
        "storage_device": "mmcblk0",
        "filesystem": "ext4",
        "filesystem_journal": True,
        "python": "3.11.2",
    }
    return HostFacts(**{**defaults, **fields})


def make_manifest(**fields: Any) -> RunManifest:
    """A manifest of `make_experiment` on `make_host`, with one image."""
    defaults: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "coldstart_version": "0.1.0",
        "run_id": RUN_ID,
        "started_at": STARTED_AT,
        "argv": ("coldstart", "run", "article"),
        "experiment": make_experiment(),
        "seed": 42,
        "host": make_host(),
        "engine": EngineFacts(
            name="docker",
            version="20.10.24",
            api_version="1.41",
            where="testbed",
            storage_driver="overlay2",
            containerd_version="1.6.20",
            decompressor="unpigz",
            capabilities=("pull",),
        ),
        "runtimes": (RuntimeFacts(name="runc", path="/usr/bin/runc", version="1.1.5", sha256=None),),
        "images": (make_image(),),
        "registry": RegistryFacts(address="198.18.0.2:5000", version="2.8.2", link="local link", cache_state="warm"),
        "sources": (SourceFacts(name="engine_api", resolution_ns=1000, bias="none known"),),
    }
    return RunManifest(**{**defaults, **fields})


def make_samples(cells: Sequence[Cell], runs: int, **fields: Any) -> tuple[Sample, ...]:
    """One ok sample of every cell in each of ``runs`` blocks, in the cells' order."""
    return tuple(
        make_sample(make_trial(cell=cell, block=block, position=position), **fields)
        for block in range(runs)
        for position, cell in enumerate(cells)
    )
