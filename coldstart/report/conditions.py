"""The sections that tell under which conditions: machine, engine, runtimes, images, sources, method, how to repeat."""

from __future__ import annotations

import shlex

from coldstart.model.image import Image
from coldstart.model.run import RunManifest
from coldstart.report.content import Content
from coldstart.report.document import Block, Code, Facts, Paragraph, Section, Table
from coldstart.units import format_bytes, format_ns

_PACKAGES = 10
_METHOD = (
    (
        "a start",
        (
            "One cold start with fully reset state, timed on CLOCK_MONOTONIC from the first request to the first "
            "successful readiness answer. Preparing, proving and waiting for a quiet machine happen before the "
            "clock starts."
        ),
    ),
    (
        "absent",
        (
            "The image is not in the engine, the start pulls it. Proof in each sample: the registry's access log "
            "shows blob downloads and bytes equal to the manifest's, and the engine unpacked as many layers as it "
            "lists."
        ),
    ),
    (
        "cached",
        (
            "The image is in the engine, none of its pages in memory. Proof: no resident page of its layers "
            "(mincore) before the start, the image ID present, no blob downloaded."
        ),
    ),
    (
        "warm",
        (
            "The image is in the engine and in memory. Proof: the image ID present, at least one discarded start "
            "since the last eviction, no blob downloaded."
        ),
    ),
    ("not proven", "A trial without its proof is not_cold: it is counted, repeated, and never a timing."),
    (
        "order",
        (
            "A block has one start of every cell, in seeded random order; ratios are paired by block, so that "
            "what a block shares cancels."
        ),
    ),
    (
        "intervals",
        (
            "95 %. Medians: order statistics (n ≥ 6). Means: Student's t. Ratios: Hodges-Lehmann estimate of "
            "paired log differences, interval by inverting the exact signed-rank distribution. Slow samples are "
            "never dropped. No tail percentile is claimed."
        ),
    ),
)


def condition_sections(content: Content) -> tuple[Section, ...]:
    """Everything needed to judge and to repeat the figures."""
    manifest = content.manifest
    return (
        _machine(manifest),
        _engine(manifest),
        _images(manifest),
        _sources(manifest),
        _method(manifest),
        _repeat(manifest),
    )


def _machine(manifest: RunManifest) -> Section:
    host = manifest.host
    journal = {True: "with journal", False: "without journal", None: "journal unknown"}[host.filesystem_journal]
    items = (
        ("board", _or_dash(host.board)),
        ("CPU", f"{_or_dash(host.cpu_model)}, {host.cpus} CPUs, {host.machine}"),
        ("memory", f"{format_bytes(host.memory_bytes)}, pages of {host.page_bytes} B"),
        ("storage", f"{_or_dash(host.storage_device)}, {_or_dash(host.filesystem)}, {journal}"),
        ("system", f"{_or_dash(host.os_name)}, kernel {host.kernel}, cgroup {host.cgroup}, Python {host.python}"),
        ("host", host.host_id),
    )
    return Section(anchor="host", title="Host", blocks=(Facts(items),))


def _engine(manifest: RunManifest) -> Section:
    engine, registry = manifest.engine, manifest.registry
    items = (
        ("engine", f"{engine.name} {engine.version}, API {_or_dash(engine.api_version)}, {engine.where}"),
        ("containerd", _or_dash(engine.containerd_version)),
        ("storage driver", _or_dash(engine.storage_driver)),
        ("decompressor", _or_dash(engine.decompressor)),
        ("registry", f"{_or_dash(registry.address)}, version {_or_dash(registry.version)}"),
        ("link", registry.link),
        ("registry's cache", registry.cache_state),
    )
    runtimes = Table(
        caption="OCI runtimes, as registered with the engine.",
        header=("runtime", "version", "path", "sha256"),
        rows=tuple((r.name, _or_dash(r.version), _or_dash(r.path), _or_dash(r.sha256)) for r in manifest.runtimes),
    )
    return Section(anchor="engine", title="Engine, runtimes and registry", blocks=(Facts(items), runtimes))


def _images(manifest: RunManifest) -> Section:
    table = Table(
        caption="Images, pinned by digest. Unpacked is the sum of their files' sizes.",
        header=("image", "platform", "layers", "compressed", "unpacked", "files", "made of", "digest"),
        rows=tuple(
            (
                f"{image.workload}/{image.variant}",
                image.platform,
                str(len(image.layers)),
                format_bytes(image.compressed_bytes),
                format_bytes(image.unpacked_bytes),
                "—" if image.files is None else str(image.files),
                ", ".join(part.what for part in image.provenance) or "not recorded",
                image.digest or image.image_id,
            )
            for image in manifest.images
        ),
        numeric=frozenset({2, 3, 4, 5}),
    )
    provenance = Facts(tuple(item for image in manifest.images for item in _provenance(image)))
    return Section(anchor="images", title="Images", blocks=(table, provenance) if provenance.items else (table,))


def _provenance(image: Image) -> list[tuple[str, str]]:
    found = []
    for part in image.provenance:
        shown = ", ".join(part.packages[:_PACKAGES])
        more = len(part.packages) - _PACKAGES
        packages = f"; {len(part.packages)} packages: {shown}" if part.packages else ""
        rest = f" and {more} more, listed in run.json" if more > 0 else ""
        found.append((f"{image.workload}/{image.variant}: {part.what}", f"{part.source}{packages}{rest}"))
    return found


def _sources(manifest: RunManifest) -> Section:
    table = Table(
        caption="Who observed the spans, with what precision.",
        header=("source", "resolution", "bias"),
        rows=tuple((source.name, format_ns(source.resolution_ns), source.bias) for source in manifest.sources),
        numeric=frozenset({1}),
    )
    return Section(anchor="sources", title="Sources", blocks=(table,))


def _method(manifest: RunManifest) -> Section:
    link = manifest.registry.link
    where = (
        "The registry shares the machine (local link): download runs over a virtual link without the latency or the "
        "bandwidth of a network, and competes with unpacking for the same CPUs and disk. Over a real network pull "
        "differs, and mostly takes longer."
        if link == "local link"
        else f"The registry is reached over: {link}."
    )
    return Section(anchor="method", title="Method", blocks=(Facts((*_METHOD, ("link", where))),))


def _repeat(manifest: RunManifest) -> Section:
    experiment = manifest.experiment
    asked = (
        f"Experiment {experiment.name}: {experiment.runs} measured blocks, {experiment.warmup} warm-up blocks, timeout "
        f"{format_ns(experiment.timeout_ns)}. Seed {manifest.seed}: with it (--seed {manifest.seed}) the trials come "
        "in the same order."
    )
    blocks: list[Block] = [Code(shlex.join(manifest.argv)), Paragraph(asked)]
    blocks += [Paragraph(f"Note: {note}") for note in manifest.notes]
    return Section(anchor="repeat", title="Repeat it", blocks=tuple(blocks))


def _or_dash(value: str | None) -> str:
    return value or "—"
