"""From a sample's spans to its phases: integer nanoseconds that add up exactly.

For an ``ok`` sample ``e2e = pull + create + init + readiness + gap``; pull's five exclusive parts add up to pull.
Layer spans overlap, so ``download``, ``unpack`` and ``register`` are unions and are never added up. Every source's
spans are stored; a phase is drawn from the best-ranked source that saw it, never from two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

import msgspec

from coldstart.model.sample import Outcome, Phase, Sample, Source, Span

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
_TOP_LEVEL = {Phase.PULL, Phase.CREATE, Phase.INIT, Phase.READINESS}
_INIT_LEAVES = {
    Phase.INIT_ENGINE,
    Phase.INIT_SHIM,
    Phase.RUNTIME_CREATE,
    Phase.NETWORK_HOOK,
    Phase.RUNTIME_START,
}


class Phases(msgspec.Struct, frozen=True, kw_only=True):
    """Phase lengths of one start, in ns. ``None`` is what the sample's sources could not see.

    A start that made no pull has ``pull_ns = 0`` and zero parts: that none was made is known. The five parts of a
    pull are all known or all ``None``; ``pull_other_ns`` is the time in which no layer span was seen, so it holds
    *resolve*, and *register* where no source tells it. ``unattributed_ns`` is the time under no observed leaf at all:
    the gap, pull outside its leaves (resolve is one) and init outside its leaves. ``init_ns`` and ``readiness_ns`` are
    ``None`` only where a better source was asked for than the start has.
    """

    e2e_ns: int
    pull_ns: int
    create_ns: int
    init_ns: int | None
    readiness_ns: int | None
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


PROFILES: dict[str, frozenset[Source]] = {
    "trace": frozenset(Source),
    "proc": frozenset(Source) - {Source.TRACE},
    "engine": frozenset(Source) - {Source.TRACE, Source.PROC},
}
"""What a sample's phases are drawn from, by the name in its ``source``, best first: each includes those after it."""
_RANK = {name: place for place, name in enumerate(PROFILES)}
_OF_THE_START = ("init_ns", "readiness_ns", "unattributed_ns")
_NEED_A_SOURCE = (*_OF_THE_START, "download_ns", "unpack_ns", "register_ns", *PULL_PARTS)


def common_profile(samples: Iterable[Sample]) -> str | None:
    """What phases are drawn from in a comparison, which never mixes sources; ``None`` if all have the same one anyway.

    It is the best profile that most timed starts of every cell and side have in every run: one start that fell back to
    a weaker source moves no other start's phases, and lacks the phases that need the better one; a cell whose starts
    mostly fell back is compared by what it shares with the others.
    """
    groups: dict[object, list[int]] = defaultdict(list)
    for sample in samples:
        if sample.outcome is Outcome.OK and sample.source in PROFILES:
            key = (sample.run_id, sample.trial.cell, sample.trial.side)
            groups[key].append(_RANK[sample.source])
    if len({rank for ranks in groups.values() for rank in ranks}) < 2:
        return None
    medians = [sorted(ranks)[len(ranks) // 2] for ranks in groups.values()]
    return tuple(PROFILES)[max(medians)]


def profile_at(samples: Iterable[Sample], block: int) -> str | None:
    """As `common_profile`, by the starts of the blocks before ``block`` alone: later ones move no earlier phase."""
    first = [sample for sample in samples if sample.trial.block < block]
    seen = {sample.source for sample in first if sample.outcome is Outcome.OK and sample.source in PROFILES}
    return next(iter(seen)) if len(seen) == 1 else common_profile(first)


def shared_profile(samples: Iterable[Sample]) -> str | None:
    """The best profile that all timed samples have, for where each has to have every phase; else `common_profile`."""
    seen = {sample.source for sample in samples if sample.outcome is Outcome.OK and sample.source in PROFILES}
    return next(name for name in reversed(PROFILES) if name in seen) if len(seen) > 1 else None


def phases_of(sample: Sample, container: int = 0, profile: str | None = None) -> Phases | None:
    """The phases of one container's start; ``None`` unless the sample is ``ok``.

    ``profile`` (of `PROFILES`) leaves out what better sources saw; by default nothing is left out. Where the sample has
    only a weaker one, the phases whose boundaries are that source's are ``None``; end-to-end, pull, create and gap are
    our own requests' and stay.

    Raises:
        ValueError: an ``ok`` sample without exactly one create, init and readiness span and at most one pull, or
            with a span that ends before it starts, which no store ever wrote.
    """
    if sample.outcome is not Outcome.OK:
        return None
    allowed = frozenset(Source) if profile is None else PROFILES[profile]
    spans = best_spans(
        span
        for span in sample.spans
        if span.source in allowed and (span.container == container or span.phase in _PULL_PHASES)
    )
    top = _top_level(spans, f"sample of block {sample.trial.block}, position {sample.trial.position}")
    create, init, readiness = top[Phase.CREATE], top[Phase.INIT], top[Phase.READINESS]
    pull = top.get(Phase.PULL)
    pull_ns = pull.length_ns if pull else 0
    e2e_ns = readiness.end_ns - (pull or create).start_ns
    gap_ns = e2e_ns - pull_ns - create.length_ns - init.length_ns - readiness.length_ns
    parts = _pull_parts(spans, pull)
    init_leaves = [span for span in spans if span.phase in _INIT_LEAVES]
    init_uncovered_ns = init.length_ns - covered_ns(init_leaves, within=init)
    found = Phases(
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
    if profile is None or _RANK.get(sample.source, 0) <= _RANK[profile]:
        return found
    missing = _OF_THE_START if pull is None else _NEED_A_SOURCE  # that no pull was made is known by any source
    return msgspec.structs.replace(found, **dict.fromkeys(missing))


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


def _top_level(spans: Iterable[Span], where: str) -> dict[Phase, Span]:
    top: dict[Phase, Span] = {}
    for span in spans:
        if span.end_ns < span.start_ns:
            raise ValueError(f"{where}: its {span.phase} span ends before it starts")
        if span.phase in top:
            raise ValueError(f"{where}: has two {span.phase} spans")
        if span.phase in _TOP_LEVEL:
            top[span.phase] = span
    missing = _TOP_LEVEL - {Phase.PULL} - top.keys()
    if missing:
        raise ValueError(f"{where}: is ok but has no {' and no '.join(sorted(missing))} span")
    return top


def _pull_parts(spans: Collection[Span], pull: Span | None) -> _PullParts:
    if pull is None:
        return _PullParts(0, 0, 0, 0, 0, 0, 0, 0, 0)
    resolve, download, unpack, register = (
        [span for span in spans if span.phase is phase and (span.layer is not None or phase is Phase.RESOLVE)]
        for phase in (Phase.RESOLVE, Phase.DOWNLOAD, Phase.UNPACK, Phase.REGISTER)
    )
    download_ns = covered_ns(download, pull) if download else None
    unpack_ns = covered_ns(unpack, pull) if unpack else None
    register_ns = covered_ns(register, pull) if register else None
    if download_ns is None or unpack_ns is None:
        return _PullParts(download_ns, unpack_ns, register_ns, None, None, None, None, None, None)
    either_ns = covered_ns([*download, *unpack], pull)
    any_ns = covered_ns([*download, *unpack, *register], pull)
    leaves_ns = covered_ns([*download, *unpack, *register, *resolve], pull)
    return _PullParts(
        download_ns=download_ns,
        unpack_ns=unpack_ns,
        register_ns=register_ns,
        download_only_ns=either_ns - unpack_ns,
        overlap_ns=download_ns + unpack_ns - either_ns,
        unpack_only_ns=either_ns - download_ns,
        register_only_ns=any_ns - either_ns,
        other_ns=pull.length_ns - any_ns,
        uncovered_ns=pull.length_ns - leaves_ns,
    )
