"""The first screen: where the time goes, who is fastest and by how much, which targets are met."""

from __future__ import annotations

from coldstart.analyse.cells import total_share
from coldstart.analyse.contrasts import Ranking
from coldstart.model.cell import Tier
from coldstart.report.claims import overview_blocks
from coldstart.report.content import Content
from coldstart.report.document import Block, Notice, Section, Table, TableCell
from coldstart.report.labels import ratio_text, share_name, share_text, time_text
from coldstart.units import format_ns

_SHOWN_PHASES = ("pull_ns", "unpack_ns", "create_ns", "init_ns", "readiness_ns", "gap_ns")
_FACTORS_SHOWN = 48


def answers_section(content: Content) -> Section:
    """What a reader came for, under whatever must not be missed."""
    blocks: list[Block] = [*_notices(content)]
    if content.tiers:
        blocks.append(_where_table(content))
    if content.rankings:
        blocks.append(_fastest_table(content))
    blocks += overview_blocks(content)
    if content.factors:
        blocks.append(_factor_table(content))
    return Section(anchor="answers", title="Answers", blocks=tuple(blocks))


def _notices(content: Content) -> list[Notice]:
    quality, found = content.quality, []
    if not quality.ok:
        found.append("Nothing was measured: no trial of this run ended ok.")
    if quality.contaminated:
        found.append(f"Contaminated: {quality.disturbance}. More than 10 % is too much.")
    found += [
        f"Left out: {content.labels.full(cell)} could not be proved cold: {reason}"
        for cell, reason in quality.never_cold
    ]
    if quality.failed:
        found.append(f"{quality.failed} of {quality.attempts} trials failed; they are counted below and in no average.")
    if quality.unseen:
        found.append(f"{quality.unseen} of {quality.attempts} trials were not observed: how they ended is not known.")
    if quality.sums_broken or quality.parts_broken:
        found.append(f"{quality.sums_broken + quality.parts_broken} starts have phases that do not add up.")
    if content.repaired:
        found.append(f"The samples file was repaired: {content.repaired}")
    return [Notice(text) for text in found]


def _where_table(content: Content) -> Table:
    rows = []
    for tier in content.tiers:
        of_tier = content.frame[content.frame["tier"] == tier.value]
        medians = [summary.phases["e2e_ns"].median.value for summary in content.timed_in(tier)]
        ends = [format_ns(end) for end in dict.fromkeys((min(medians), max(medians)))]
        shares = [total_share(of_tier, column) for column in _SHOWN_PHASES]
        rows.append((str(tier), str(len(medians)), " … ".join(ends), *map(share_text, shares)))
    header = ("tier", "cells", "median end-to-end", *(share_name(column) for column in _SHOWN_PHASES))
    return Table(
        caption="Where the time goes: share of all time between first request and readiness, by tier. "
        "Unpack lies inside pull; the others add up to 100 %.",
        header=header,
        rows=tuple(rows),
        numeric=frozenset(range(1, len(header))),
    )


def _fastest_table(content: Content) -> Table:
    return Table(
        caption="Fastest cell of each tier, and how many times as long others take: paired by block, with 95 % "
        "interval. The fastest was picked by its median after measuring; where an interval includes 1 the order is not "
        "settled.",
        header=("tier", "fastest", "its median", "next", "takes", "slowest", "takes"),
        rows=tuple(_fastest_row(content, ranking) for ranking in content.rankings),
        numeric=frozenset({2, 4, 6}),
    )


def _fastest_row(content: Content, ranking: Ranking) -> tuple[TableCell, ...]:
    names = [content.labels.short(summary.cell) for summary in ranking.cells]
    return (
        str(ranking.cells[0].cell.tier),
        names[0],
        time_text(ranking.cells[0].median("e2e_ns")),
        names[1],
        ratio_text(ranking.ratios[0]),
        names[-1],
        ratio_text(ranking.ratios[-1]),
    )


def _factor_table(content: Content) -> Table:
    factors = sorted(content.factors, key=lambda one: list(Tier).index(Tier(one.tier)))
    cut = f" The first {_FACTORS_SHOWN} of {len(factors)} are shown." if len(factors) > _FACTORS_SHOWN else ""
    return Table(
        caption="One factor at a time, all else equal: how many times as long starts take, paired by block, with 95 % "
        f"interval.{cut}",
        header=("tier", "factor", "level", "against", "takes", "averaged over", "blocks"),
        rows=tuple(
            (f.tier, f.factor, f.level, f.reference, ratio_text(f.ratio), f"{f.over} combinations", str(f.ratio.n))
            for f in factors[:_FACTORS_SHOWN]
        ),
        numeric=frozenset({4, 6}),
    )
