"""How a run was made, filled from its records, and how to make it again."""

from __future__ import annotations

import shlex

from coldstart.analyse import frames
from coldstart.model.cell import Tier
from coldstart.model.experiment import Experiment
from coldstart.model.run import RunManifest
from coldstart.report.content import Content
from coldstart.report.document import Block, Code, Facts, Paragraph, Section, Table
from coldstart.report.labels import count_text
from coldstart.units import format_ns

_TIERS = {
    Tier.ABSENT: (
        "The image is not in the engine, the start pulls it. Proof in each sample: the registry's access log shows "
        "blob downloads and bytes equal to the manifest's, and the engine unpacked each layer that it lists."
    ),
    Tier.CACHED: (
        "The image is in the engine, none of its pages in memory. Proof: no resident page of its layers (mincore) "
        "before the start, the image ID present, no blob downloaded."
    ),
    Tier.WARM: (
        "The image is in the engine and in memory. Proof: the image ID present, at least one earlier start since the "
        "last eviction, no blob downloaded."
    ),
}
_BY_DIGEST = " Each blob is named in the sample: those of the manifest, once each, and no other."
_STILL_THERE = (
    " Of the pages that the earlier start left in memory, 95 % are still there just before this one (mincore)."
)
_START = (
    "One cold start with fully reset state, timed on CLOCK_MONOTONIC from the first request to the first successful "
    "readiness answer. Preparing, proving and waiting for a quiet machine happen before the clock starts. Slow samples "
    "are never dropped."
)
_INTERVALS = (
    "95 %. Medians: order statistics (n ≥ 6). Means: Student's t. Ratios: Hodges-Lehmann estimate of paired log "
    "differences, interval by inverting the exact signed-rank distribution. No tail percentile is claimed."
)
_ENGINES = {
    "testbed": "coldstart's own, isolated: a private dockerd and registry; the host's own engine is not touched.",
    "user": "The user's own, as it was found: other work on it shares the machine with the starts.",
}


def method_section(content: Content) -> Section:
    """Design, order, tiers with their proofs, sources, statistics, engine and link: of this run, not in general."""
    manifest = content.manifest
    tiers = [tier for tier in Tier if any(summary.cell.tier is tier for summary in content.cells)]
    items = (
        ("a start", _START),
        ("design", _design(content)),
        ("order", _order(manifest)),
        *((str(tier), _TIERS[tier] + _further_proof(content, tier)) for tier in tiers),
        ("not proven", "A trial without its proof is not_cold: it is counted, repeated, and never a timing."),
        ("phases", _phases(content)),
        ("intervals", _INTERVALS),
        ("engine", _ENGINES.get(manifest.engine.where, manifest.engine.where)),
        ("link", _link(manifest)),
    )
    sources = Table(
        caption="Who can observe spans here, with what precision.",
        header=("source", "resolution", "bias"),
        rows=tuple((source.name, format_ns(source.resolution_ns), source.bias) for source in manifest.sources),
        numeric=frozenset({1}),
    )
    return Section(anchor="method", title="Method", blocks=(Facts(items), *([sources] if sources.rows else [])))


def _further_proof(content: Content, tier: Tier) -> str:
    """What runs before 0.2 did not look at, where this one did."""
    proofs = [sample.proof for sample in content.samples if sample.proof is not None and sample.trial.cell.tier is tier]
    if tier is Tier.ABSENT and any(proof.blob_digests for proof in proofs):
        return _BY_DIGEST
    return _STILL_THERE if tier is Tier.WARM and any(proof.warmed_bytes for proof in proofs) else ""


def reproduce_section(manifest: RunManifest) -> Section:
    """What to type to measure it again and to write this report again, with what a copy has to match."""
    facts = Facts(
        (
            ("run", f"{manifest.run_id}, started {manifest.started_at}"),
            ("measured by", f"coldstart {manifest.coldstart_version}"),
            ("seed", f"{manifest.seed}: with it (--seed {manifest.seed}) the trials come in the same order"),
        )
    )
    report = ("coldstart", "report", manifest.run_id, *_results(_own(manifest)))
    again = "\n".join((shlex.join(_seeded(manifest)), shlex.join(report)))
    asked = Paragraph(
        "The first command measures anew, on the machine and with the versions above; the second writes this report "
        "from the run's folder, with the same bytes each time."
    )
    notes = [Paragraph(f"Note: {note}") for note in manifest.notes]
    blocks: tuple[Block, ...] = (Code(again), facts, asked, *notes)
    return Section(anchor="repeat", title="Reproduce it", blocks=blocks, boxed=True)


def _design(content: Content) -> str:
    experiment = content.manifest.experiment
    cells = [summary.cell for summary in content.cells]
    levels = [
        f"{name} {', '.join(dict.fromkeys(str(getattr(cell, name)) for cell in cells))}"
        for name in ("runtime", "workload", "variant", "tier", "network")
    ]
    timed = count_text(summary.ok for summary in content.cells)
    counted = f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'}"
    return (
        f"{counted} ({'; '.join(levels) if cells else 'none was started'}). {_rounds(content.manifest)}, each start "
        f"given up after {format_ns(experiment.timeout_ns)}; n = {timed} timed starts a cell."
    )


def _rounds(manifest: RunManifest) -> str:
    experiment: Experiment = manifest.experiment
    warmups = f"{experiment.warmup} warm-up {'block' if experiment.warmup == 1 else 'blocks'}, left out"
    if manifest.comparison is None:
        return f"{experiment.runs} measured blocks asked for, after {warmups}"
    return f"Baseline and candidate side by side in every block, until a look decided; {warmups}"


def _order(manifest: RunManifest) -> str:
    return (
        f"A block has one start of every cell, in random order from seed {manifest.seed}; ratios are paired by block, "
        "so that what a block shares cancels."
    )


def _phases(content: Content) -> str:
    names = sorted({str(name) for name in frames.timed(content.frame)["source"]})
    if not names:
        return "No start was timed, so no source was drawn from."
    return (
        f"Drawn from source {', '.join(names)}, one and the same for all starts that are compared; each span in the "
        "samples names who saw it, with what error."
    )


def _link(manifest: RunManifest) -> str:
    link = manifest.registry.link
    if link != "local link":
        return f"The registry is reached over: {link}."
    return (
        "The registry shares the machine (local link): download runs over a virtual link without the latency or the "
        "bandwidth of a network, and competes with unpacking for the same CPUs and disk. Over a real network pull "
        "differs, and mostly takes longer."
    )


def _seeded(manifest: RunManifest) -> tuple[str, ...]:
    """The command as typed, with the seed it drew; what follows ``--`` is the container's.

    Whatever a run's folder calls its program, a reader is given coldstart to start.
    """
    own, rest = _own(manifest), manifest.argv[len(_own(manifest)) :]
    seeded = any(word == "--seed" or word.startswith("--seed=") for word in own)
    return ("coldstart", *own[1:], *(() if seeded else ("--seed", str(manifest.seed))), *rest)


def _own(manifest: RunManifest) -> tuple[str, ...]:
    """The command's own arguments."""
    argv = manifest.argv
    return argv[: argv.index("--")] if "--" in argv else argv


def _results(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Where the run was put, if that was said."""
    for word, following in zip(argv, (*argv[1:], ""), strict=True):
        if word == "--results":
            return (word, following)
        if word.startswith("--results="):
            return (word,)
    return ()
