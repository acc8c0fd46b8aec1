"""From a sample's spans to its phases: integer nanoseconds that add up exactly.

For an ``ok`` sample ``e2e = pull + create + init + readiness + gap``; pull's five exclusive parts add up to pull.
Layer spans overlap, so ``download``, ``unpack`` and ``register`` are unions and are never added up. Every source's
spans are stored; a phase is drawn from the best-ranked source that saw it, never from two.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from coldstart.model.sample import Outcome, Phase, Sample, Source, Span

Interval = tuple[int, int]

HEADLINES = ("pull_ns", "unpack_ns", "init_ns", "readiness_ns", "e2e_ns")
ADDENDS = ("pull_ns", "create_ns", "init_ns", "readiness_ns", "gap_ns")
PULL_PARTS = (
    "pull_download_only_ns",
    "pull_overlap_ns",
    "pull_unpack_only_ns",
    "pull_register_only_ns",
    "pull_other_ns",
)

_PULL_PHASES = {Phase.PULL, Phase.RESOLVE, Phase.DOWNLOAD, Phase.UNPACK, Phase.REGISTER}  # shared by all containers
_INIT_LEAVES = {
    Phase.INIT_ENGINE,
    Phase.INIT_SHIM,
    Phase.RUNTIME_CREATE,
    Phase.NETWORK_HOOK,
    Phase.RUNTIME_START,
}


class Phases(msgspec.Struct, frozen=True, kw_only=True):
    """Phase lengths of one start, in ns. ``None`` is what the sample's sources could not see.

    A start that made no pull has ``pull_ns = 0`` and zero parts: that none was made is known.
    """

    e2e_ns: int
    pull_ns: int
    create_ns: int
    init_ns: int
    readiness_ns: int
    gap_ns: int
    download_ns: int | None
    unpack_ns: int | None
    register_ns: int | None
    pull_download_only_ns: int | None
    pull_overlap_ns: int | None
    pull_unpack_only_ns: int | None
    pull_register_only_ns: int | None
    pull_other_ns: int | None
    unattributed_ns: int | None


class _PullParts(msgspec.Struct, frozen=True):
    download_ns: int | None
    unpack_ns: int | None
    register_ns: int | None
    download_only_ns: int | None
    overlap_ns: int | None
    unpack_only_ns: int | None
    register_only_ns: int | None
    other_ns: int | None
    uncovered_ns: int | None


def phases_of(sample: Sample, container: int = 0) -> Phases | None:
    """The phases of one container's start; ``None`` unless the sample is ``ok``.

    Raises:
        ValueError: an ``ok`` sample without create, init and readiness spans, which no store ever wrote.
    """
    if sample.outcome is not Outcome.OK:
        return None
    spans = best_spans(s for s in sample.spans if s.container == container or s.phase in _PULL_PHASES)
    top = {span.phase: span for span in spans if span.layer is None}
    try:
        create, init, readiness = top[Phase.CREATE], top[Phase.INIT], top[Phase.READINESS]
    except KeyError as missing:
        raise ValueError(f"sample of block {sample.trial.block} is ok but has no {missing} span") from missing
    pull = top.get(Phase.PULL)
    pull_ns = pull.length_ns if pull else 0
    e2e_ns = readiness.end_ns - (pull or create).start_ns
    gap_ns = e2e_ns - pull_ns - create.length_ns - init.length_ns - readiness.length_ns
    parts = _pull_parts(spans, pull)
    init_leaves = [span for span in spans if span.phase in _INIT_LEAVES]
    init_uncovered_ns = init.length_ns - covered_ns(init_leaves, within=init)
    return Phases(
        e2e_ns=e2e_ns,
        pull_ns=pull_ns,
        create_ns=create.length_ns,
        init_ns=init.length_ns,
        readiness_ns=readiness.length_ns,
        gap_ns=gap_ns,
        download_ns=parts.download_ns,
        unpack_ns=parts.unpack_ns,
        register_ns=parts.register_ns,
        pull_download_only_ns=parts.download_only_ns,
        pull_overlap_ns=parts.overlap_ns,
        pull_unpack_only_ns=parts.unpack_only_ns,
        pull_register_only_ns=parts.register_only_ns,
        pull_other_ns=parts.other_ns,
        unattributed_ns=(None if parts.uncovered_ns is None else gap_ns + parts.uncovered_ns + init_uncovered_ns),
    )


def best_spans(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Of each phase, the spans of the best-ranked source that has any (`Source` is ordered best first)."""
    kept = tuple(spans)
    rank = {source: place for place, source in enumerate(Source)}
    best: dict[Phase, int] = {}
    for span in kept:
        best[span.phase] = min(rank[span.source], best.get(span.phase, len(rank)))
    return tuple(span for span in kept if rank[span.source] == best[span.phase])


def covered_ns(spans: Iterable[Span], within: Span) -> int:
    """Length of the union of ``spans``, clipped to ``within``."""
    total, reached = 0, within.start_ns
    for start, end in sorted((s.start_ns, min(s.end_ns, within.end_ns)) for s in spans):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _pull_parts(spans: Iterable[Span], pull: Span | None) -> _PullParts:
    if pull is None:
        return _PullParts(0, 0, 0, 0, 0, 0, 0, 0, 0)
    by_phase = {
        phase: [s for s in spans if s.phase is phase and (s.layer is not None or phase is Phase.RESOLVE)]
        for phase in (Phase.RESOLVE, Phase.DOWNLOAD, Phase.UNPACK, Phase.REGISTER)
    }
    download, unpack, register = (
        by_phase[Phase.DOWNLOAD],
        by_phase[Phase.UNPACK],
        by_phase[Phase.REGISTER],
    )
    if not download or not unpack:
        return _PullParts(None, None, None, None, None, None, None, None, None)
    download_ns, unpack_ns = covered_ns(download, pull), covered_ns(unpack, pull)
    either_ns = covered_ns([*download, *unpack], pull)
    any_ns = covered_ns([*download, *unpack, *register], pull)
    leaves_ns = covered_ns([*download, *unpack, *register, *by_phase[Phase.RESOLVE]], pull)
    return _PullParts(
        download_ns=download_ns,
        unpack_ns=unpack_ns,
        register_ns=covered_ns(register, pull) if register else None,
        download_only_ns=either_ns - unpack_ns,
        overlap_ns=download_ns + unpack_ns - either_ns,
        unpack_only_ns=either_ns - download_ns,
        register_only_ns=any_ns - either_ns,
        other_ns=pull.length_ns - any_ns,
        uncovered_ns=pull.length_ns - leaves_ns,
    )
