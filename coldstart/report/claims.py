"""Published claims in a report: each over all its cells, then cell by cell."""

from __future__ import annotations

from collections.abc import Sequence

from coldstart.analyse.estimate import Estimate
from coldstart.analyse.judging import Judgement, describe
from coldstart.analyse.targets import SIZE_METRICS, Overview
from coldstart.model.target import Statistic, Target, Verdict
from coldstart.report.content import Content
from coldstart.report.document import Block, Mark, Paragraph, Section, Table, Tone
from coldstart.report.labels import TIMES, ratio_number, ratio_text, size_text, time_text
from coldstart.units import format_bytes, format_ns

TONES = {
    Verdict.MET: Tone.GOOD,
    Verdict.MISSED: Tone.BAD,
    Verdict.UNDECIDED: Tone.WARN,
    Verdict.NOT_ALIKE: Tone.MUTED,
    Verdict.SHOWN: Tone.MUTED,
    Verdict.NOT_MEASURED: Tone.MUTED,
}


def overview_blocks(content: Content) -> list[Block]:
    """How the claims fared, counted; then a row for each one that could be measured."""
    if not content.targets:
        return []
    measured = [overview for overview in content.targets if overview.verdict is not Verdict.NOT_MEASURED]
    counted = Paragraph(f"Of {len(content.targets)} published claims {_counts(content.targets)}.")
    return [counted, _overview_table(measured)] if measured else [counted]


def _counts(overviews: Sequence[Overview]) -> str:
    """``1 is met, 2 are undecided and 3 depend on the cell``."""
    counts = [(verdict.value, sum(one.verdict is verdict for one in overviews)) for verdict in Verdict]
    parts = [f"{count} {'is' if count == 1 else 'are'} {name}" for name, count in counts if count]
    if differing := sum(one.verdict is None for one in overviews):
        parts.append(f"{differing} {'depends' if differing == 1 else 'depend'} on the cell")
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _overview_table(overviews: Sequence[Overview]) -> Table:
    return Table(
        caption="Targets: each published claim over all cells it applies to.",
        header=("§", "claim", "conditions", "limit", "measured", "verdict"),
        rows=tuple(
            (
                overview.target.section,
                overview.target.claim,
                conditions_text(overview.target),
                limit_text(overview.target),
                range_text(overview),
                verdict_mark(overview),
            )
            for overview in overviews
        ),
        numeric=frozenset({3, 4}),
    )


def targets_section(content: Content) -> Section:
    """A table a claim, with what it leaves unstated; then the claims nothing here could be held against."""
    if not any(overview.judgements for overview in content.targets):
        return Section(anchor="targets", title="Targets", blocks=())
    intro = Paragraph(
        "Claims are given in substance, not quoted. Absolute times are compared only on the engine they were claimed "
        "for; ratios carry over between machines and are judged, with any difference named. Met: the whole 95 % "
        "interval is within the limit; missed: all of it is beyond; undecided: it straddles. Unstated is what a claim "
        "leaves open, and how it was read here."
    )
    measured = [overview for overview in content.targets if overview.verdict is not Verdict.NOT_MEASURED]
    missing = [overview for overview in content.targets if overview.verdict is Verdict.NOT_MEASURED]
    blocks: list[Block] = [intro, *(_claim_table(content, overview) for overview in measured)]
    blocks += _missing_tables(missing)
    return Section(anchor="targets", title="Targets, cell by cell", blocks=tuple(blocks))


def _claim_table(content: Content, overview: Overview) -> Table:
    target = overview.target
    unstated = f" Unstated: {target.unstated}" if target.unstated else ""
    noted = any(judgement.note for judgement in overview.judgements)
    return Table(
        caption=f"{_name(target)}. Claimed for {conditions_text(target)}; {_statistic(target)}.{unstated}",
        header=("held against", "measured", "verdict", *(["note"] if noted else [])),
        rows=tuple(
            (
                subject_text(content, judgement),
                measured_text(target, judgement.measured),
                Mark(judgement.verdict.value, TONES[judgement.verdict]),
                *([judgement.note] if noted else []),
            )
            for judgement in overview.judgements
        ),
        numeric=frozenset({1}),
    )


def _missing_tables(overviews: Sequence[Overview]) -> list[Table]:
    """The claims that nothing could be held against, those for the same reason together: it is given once."""
    by_reason: dict[str, list[Target]] = {}
    for overview in overviews:
        notes = dict.fromkeys(judgement.note for judgement in overview.judgements if judgement.note)
        by_reason.setdefault("; ".join(notes) or "no reason is known", []).append(overview.target)
    return [
        Table(
            caption=f"Not measured: {reason}.",
            header=("claim", "claimed for", "limit", "unstated"),
            rows=tuple(
                (_name(target), conditions_text(target), _statistic(target), target.unstated or "—")
                for target in targets
            ),
        )
        for reason, targets in by_reason.items()
    ]


def _name(target: Target) -> str:
    return f"§{target.section} {target.claim}" if target.section else target.claim


def _statistic(target: Target) -> str:
    return f"{target.statistic.replace('_', ' ')} {limit_text(target)}"


def verdict_mark(overview: Overview) -> Mark:
    """One word for a claim over all its cells; the counts where they disagree."""
    if overview.verdict is not None:
        return Mark(overview.verdict.value, TONES[overview.verdict])
    counts = [(verdict, overview.count(verdict)) for verdict in Verdict]
    return Mark(", ".join(f"{count} {verdict.value}" for verdict, count in counts if count), Tone.WARN)


def conditions_text(target: Target) -> str:
    """What the claim was made for, and a ratio's denominator."""
    return describe(target.applies_to) + (f"; against {describe(target.against)}" if target.against else "")


def limit_text(target: Target) -> str:
    """The claim's bound in its own unit."""
    if target.statistic in {Statistic.RATIO, Statistic.SIZE_RATIO}:
        return f"≤ {ratio_number(target.limit)}{TIMES}"
    return f"≤ {format_bytes(target.limit) if _is_bytes(target) else format_ns(target.limit)}"


def measured_text(target: Target, measured: Estimate | None) -> str:
    """A measured figure with its interval, in the claim's unit."""
    if target.statistic in {Statistic.RATIO, Statistic.SIZE_RATIO}:
        return ratio_text(measured)
    return size_text(measured) if _is_bytes(target) else time_text(measured)


def range_text(overview: Overview) -> str:
    """The measured figure, or the smallest and largest of several cells."""
    found = [one.measured for one in overview.judgements if one.measured is not None]
    if len(found) < 2:
        return measured_text(overview.target, found[0] if found else None)
    ends = (min(found, key=lambda one: one.value), max(found, key=lambda one: one.value))
    return " … ".join(measured_text(overview.target, end).partition(" (")[0] for end in ends)


def subject_text(content: Content, judgement: Judgement) -> str:
    """What a claim was held against."""
    if judgement.cell is not None and judgement.against is not None:
        return f"{content.labels.full(judgement.cell)} / {content.labels.full(judgement.against)}"
    if judgement.cell is not None:
        return content.labels.full(judgement.cell)
    if judgement.image is None:
        return "—"
    against = judgement.target.against
    return "image " + " / ".join([judgement.image[1], *([against.variant] if against and against.variant else [])])


def _is_bytes(target: Target) -> bool:
    return target.metric in SIZE_METRICS or target.metric == "memory_bytes"
