"""What the figures share: a panel a tier, rows a cell, axes with units, one look for each cell throughout."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from coldstart.analyse import frames
from coldstart.analyse.cells import CellSummary
from coldstart.model.cell import Cell, Tier
from coldstart.report.content import Content
from coldstart.report.style import LINE_STYLES, MARKERS, SERIES, plain
from coldstart.units import NS_PER_MS, NS_PER_S

WIDTH_INCHES = 9.0
_ROW_INCHES = 0.27
_PANEL_INCHES = 1.05
_LEGEND_ENTRIES = 16
_ROWS = 48  # of all tiers: a figure with more could not be read on a sheet of paper
_TIER_TITLES = {
    Tier.ABSENT: "absent: image pulled",
    Tier.CACHED: "cached: image in the engine, not in memory",
    Tier.WARM: "warm: image in the engine and in memory",
}


def shown_in(content: Content, tier: Tier) -> tuple[CellSummary, ...]:
    """The tier's timed cells; of very many the fastest and the slowest by median, in the run's order."""
    cells = content.timed_in(tier)
    room = max(8, _ROWS // len(content.tiers) // 2 * 2)
    if len(cells) <= room:
        return cells
    ranked = sorted(cells, key=lambda summary: summary.phases["e2e_ns"].median.value)
    kept = {summary.cell for summary in (*ranked[: room // 2], *ranked[-room // 2 :])}
    return tuple(summary for summary in cells if summary.cell in kept)


def left_out(content: Content) -> str:
    """What `shown_in` left out, as a sentence for a caption; empty where it is nothing."""
    cut = [(tier, len(shown_in(content, tier)), len(content.timed_in(tier))) for tier in content.tiers]
    names = [f"{tier} {shown} of {count}" for tier, shown, count in cut if shown < count]
    return (
        f" Only the fastest and the slowest cells are drawn ({', '.join(names)}); the tables have all." if names else ""
    )


def cell_panels(content: Content) -> tuple[Figure, Sequence[Axes]]:
    """A panel a tier with room for a row a cell."""
    counts = [len(shown_in(content, tier)) for tier in content.tiers]
    heights = [_PANEL_INCHES + _ROW_INCHES * count for count in counts]
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights) + 0.7), layout="constrained")
    axes = figure.subplots(len(counts), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, tier in zip(axes, content.tiers, strict=True):
        ax.set_title(_TIER_TITLES[tier])
        ax.grid(visible=False, axis="y")
    return figure, list(axes)


def tier_panels(content: Content, height_inches: float) -> tuple[Figure, Sequence[Axes]]:
    """A panel a tier, all of one height."""
    count = len(content.tiers)
    figure = Figure(figsize=(WIDTH_INCHES, height_inches * count + 1.3), layout="constrained")
    axes = list(figure.subplots(count, 1, squeeze=False)[:, 0])
    for ax, tier in zip(axes, content.tiers, strict=True):
        ax.set_title(_TIER_TITLES[tier])
    return figure, axes


def name_rows(ax: Axes, content: Content, cells: Sequence[CellSummary]) -> None:
    """Write the cells' names at their rows, first on top."""
    ax.set_yticks(range(len(cells)), [plain(content.labels.short(summary.cell)) for summary in cells])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(cells) - 0.4, -0.6)


def label_scale(ax: Axes, largest_ns: float, what: str = "end-to-end", axis: str = "x") -> int:
    """Label the axis in the unit that suits, and return ns per unit."""
    scale, unit = (NS_PER_S, "s") if largest_ns >= NS_PER_S else (NS_PER_MS, "ms")
    (ax.set_xlabel if axis == "x" else ax.set_ylabel)(f"{what} [{unit}]")
    return scale


def logarithmic(ax: Axes, which: str) -> None:
    """Make the ``x``, ``y`` or ``both`` axes logarithmic, with ticks at 1, 2 and 5 of every decade."""
    for name, axis, set_scale in (("x", ax.xaxis, ax.set_xscale), ("y", ax.yaxis, ax.set_yscale)):
        if which in {name, "both"}:
            set_scale("log")
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())


def looks_of(content: Content) -> dict[Cell, tuple[str, str, str]]:
    """Colour by image, line style and marker by runtime; the same in every figure."""
    images = list(dict.fromkeys(content.labels.colour_key(summary.cell) for summary in content.cells))
    runtimes = sorted({summary.cell.runtime for summary in content.cells})
    return {
        summary.cell: (
            SERIES[images.index(content.labels.colour_key(summary.cell)) % len(SERIES)],
            LINE_STYLES[runtimes.index(summary.cell.runtime) % len(LINE_STYLES)],
            MARKERS[runtimes.index(summary.cell.runtime) % len(MARKERS)],
        )
        for summary in content.cells
    }


def distinct(content: Content) -> list[CellSummary]:
    """One timed cell for each name that the panels share."""
    return list({content.labels.short(s.cell): s for s in reversed(content.cells) if s.ok}.values())[::-1]


def legend(figure: Figure, handles: list[Line2D]) -> None:
    """One legend below all panels, cut where it would crowd them out."""
    shown = handles[:_LEGEND_ENTRIES]
    if len(handles) > len(shown):
        shown.append(Line2D([], [], ls="", label=f"and {len(handles) - len(shown)} more"))
    figure.legend(handles=shown, loc="outside lower center", ncols=4)


def rows_of_cells(frame: pd.DataFrame) -> dict[Cell, pd.DataFrame]:
    """The timed rows of each cell."""
    return dict(frames.by_cell(frames.timed(frame)))


def minutes_into_run(frame: pd.DataFrame) -> pd.Series[float]:
    """Minutes since the run's first start, by the wall clock each sample carries."""
    at = pd.to_datetime(frame["started_at"], utc=True, format="ISO8601")
    return (at - at.min()).dt.total_seconds() / 60
