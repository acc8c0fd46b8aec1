"""Published claims in a report: each over all its cells, then cell by cell."""

from __future__ import annotations

from coldstart.analyse.estimate import Estimate
from coldstart.analyse.judging import Judgement, describe
from coldstart.analyse.targets import SIZE_METRICS, Overview
from coldstart.model.target import Statistic, Target, Verdict
from coldstart.report.content import Content
from coldstart.report.document import Facts, Mark, Paragraph, Section, Table, Tone
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


def overview_table(content: Content) -> Table:
    """A row a claim."""
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
            for overview in content.targets
        ),
        numeric=frozenset({3, 4}),
    )


def targets_section(content: Content) -> Section:
    """A row a claim and cell, and what the claims leave unstated."""
    rows = tuple(
        (
            f"§{judgement.target.section} {judgement.target.claim}",
            conditions_text(judgement.target),
            subject_text(content, judgement),
            f"{judgement.target.statistic.replace('_', ' ')} {limit_text(judgement.target)}",
            measured_text(judgement.target, judgement.measured),
            Mark(judgement.verdict.value, TONES[judgement.verdict]),
            judgement.note,
        )
        for overview in content.targets
        for judgement in overview.judgements
    )
    if not rows:
        return Section(anchor="targets", title="Targets", blocks=())
    table = Table(
        caption="Each claim in each cell. Met: the whole 95 % interval is within the limit; missed: all of it is "
        "beyond; undecided: it straddles.",
        header=("claim", "conditions", "held against", "limit", "measured", "verdict", "note"),
        rows=rows,
        numeric=frozenset({3, 4}),
    )
    unstated = Facts(tuple((f"§{o.target.section} {o.target.claim}", o.target.unstated) for o in content.targets))
    intro = Paragraph(
        "Claims are given in substance, not quoted. Absolute times are compared only on the engine they were claimed "
        "for; ratios carry over between machines and are judged, with any difference named. What each leaves unstated, "
        "and how it was read here, stands below the table."
    )
    return Section(anchor="targets", title="Targets, cell by cell", blocks=(intro, table, unstated))


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
