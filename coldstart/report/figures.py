"""Every figure of a report, drawn and rendered."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from matplotlib.figure import Figure

from coldstart.model.cell import Cell
from coldstart.model.sample import Sample
from coldstart.model.timeline import phases_of
from coldstart.model.waterfall import bars
from coldstart.report import plots, waterfall
from coldstart.report.content import Content
from coldstart.report.document import Picture
from coldstart.report.labels import count_text
from coldstart.report.panels import left_out
from coldstart.report.style import house_style, plain, render

MAX_WATERFALLS = 48
"""More would make a page that nobody scrolls through."""


class _Plan(msgspec.Struct, frozen=True):
    """``by_cell`` figures leave out cells where there are very many."""

    name: str
    title: str
    draw: Callable[[Content], Figure | None]
    caption: str
    alt: str
    by_cell: bool = False


_PLANS = (
    _Plan(
        "phases",
        "Where the time goes",
        plots.stacked_phases,
        "Each bar is a cell's mean start, cut into phases that add up to it exactly; its length stands at its end, its "
        "interval under Cells. "
        "Dashed lines are targets for that tier; dotted ones were claimed for other conditions or carry no verdict; an "
        "arrow stands for a target far beyond the bars.",
        "Stacked horizontal bars of the phases of a start, one bar a cell, one panel a tier.",
        by_cell=True,
    ),
    _Plan(
        "samples",
        "Every start",
        plots.every_sample,
        "Each dot is one timed start; none is left out. The diamond is the median, the bar its interval (order "
        "statistics, 95 %; none below 6 starts).",
        "Dots for every timed start of every cell with median and interval, one panel a tier.",
        by_cell=True,
    ),
    _Plan(
        "ecdf",
        "Distribution of end-to-end times",
        plots.distributions,
        "Share of starts that took no longer than the time on the axis: every start counts, and no interval is drawn. "
        "Colour is the image, line style the runtime.",
        "Cumulative distribution of end-to-end times, one line a cell, one panel a tier.",
        by_cell=True,
    ),
    _Plan(
        "bytes",
        "Bytes against pull and unpack time",
        plots.bytes_against_time,
        "Median of pull against compressed bytes, and of unpack against unpacked bytes, with the median's 95 % "
        "interval; both axes are logarithmic. Runtimes of one image are set side by side for the eye.",
        "Scatter of image sizes against the median times of pull and unpack, one point a cell of tier absent.",
    ),
    _Plan(
        "order",
        "Run order",
        plots.run_order,
        "When each start was made against how long it took, one by one and so without intervals: a drift of the "
        "machine would show as a slope. Crosses at the bottom are trials that failed, rings trials that were repeated "
        "because they were not cold, not quiet or throttled.",
        "End-to-end time of every start against the time of day within the run, one panel a tier.",
    ),
)


def draw_all(content: Content) -> tuple[Picture, ...]:
    """The figures the run has data for, in the report's order."""
    with house_style():
        return tuple(picture for plan in _PLANS if (picture := _picture(plan, content)) is not None)


def _picture(plan: _Plan, content: Content) -> Picture | None:
    figure = plan.draw(content)
    if figure is None:
        return None
    svg, png = render(figure)
    cut = left_out(content) if plan.by_cell else ""
    return Picture(
        name=plan.name,
        title=plan.title,
        alt=f"{plan.alt} Tiers: {', '.join(content.tiers)}. Medians and intervals stand in the tables.",
        caption=f"{plan.caption} {conditions(content)}{cut}{_replaced(content)}",
        svg=svg,
        png=png,
    )


def conditions(content: Content) -> str:
    """What every caption has to say: n, source, tiers."""
    timed = [summary for summary in content.cells if summary.ok]
    sources = sorted({source for summary in timed for source in summary.sources})
    return (
        f"n = {count_text(summary.ok for summary in timed)} starts a cell; tiers {', '.join(content.tiers)}; "
        f"source {', '.join(sources)}."
    )


def _replaced(content: Content) -> str:
    """What to know of names that the figures cannot spell."""
    names = {content.labels.short(summary.cell) for summary in content.cells}
    odd = any("\N{REPLACEMENT CHARACTER}" in plain(name) for name in names)
    return " � stands for letters that the figures' font lacks; the tables have them." if odd else ""


def draw_waterfalls(content: Content) -> tuple[Picture, ...]:
    """The start of each cell whose end-to-end time is nearest its median, drawn; at most `MAX_WATERFALLS` cells."""
    pictures = []
    with house_style():
        for index, (cell, sample) in enumerate(_median_samples(content)[:MAX_WATERFALLS], start=1):
            timed = next(summary.ok for summary in content.cells if summary.cell == cell)
            image = content.manifest.images_of(sample.trial.side).get(cell.image_key)
            figure = waterfall.draw(bars(sample, image), content.labels.full(cell))
            if figure is None:
                continue
            svg, png = render(figure)
            pictures.append(
                Picture(
                    name=f"waterfall-{index:02d}",
                    title=content.labels.full(cell),
                    alt=f"Waterfall of one start of {content.labels.full(cell)}: its spans as bars over time.",
                    caption=f"The start nearest the median of n = {timed}, in block {sample.trial.block}: one start, "
                    f"without an interval; source {sample.source}.",
                    svg=svg,
                    png=png,
                )
            )
    return tuple(pictures)


def _median_samples(content: Content) -> list[tuple[Cell, Sample]]:
    found = []
    for summary in content.cells:
        median = summary.median("e2e_ns")
        times = [
            (abs(phases.e2e_ns - median.value), sample.trial.block, sample)
            for sample in content.samples
            if median is not None
            and sample.trial.cell == summary.cell
            and not sample.trial.warmup
            and (phases := phases_of(sample)) is not None
        ]
        if times:
            found.append((summary.cell, min(times, key=lambda entry: entry[:2])[2]))
    return found
