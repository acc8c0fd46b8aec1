"""The five figures. Each takes a run's content and returns a matplotlib figure, or None where there is nothing to draw.

Tiers differ by an order of magnitude, so each has a panel with an axis of its own.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from coldstart.analyse import frames
from coldstart.analyse.cells import CellSummary
from coldstart.analyse.estimate import Estimate
from coldstart.analyse.targets import Overview
from coldstart.model.cell import Tier
from coldstart.model.sample import Outcome
from coldstart.model.target import Statistic, Verdict
from coldstart.model.timeline import ADDENDS, PULL_PARTS
from coldstart.report import panels
from coldstart.report.content import Content
from coldstart.report.labels import PHASE_NAMES
from coldstart.report.style import INK, MARKERS, PHASE_COLOURS, SERIES, plain
from coldstart.units import MB, NS_PER_S, format_ns

_RASTERISE_ABOVE = 4000  # points: more make an SVG that browsers are slow to draw


def stacked_phases(content: Content) -> Figure | None:
    """Mean start of each cell as a bar of phases, with target lines."""
    if not content.tiers:
        return None
    figure, axes = panels.cell_panels(content)
    drawn: dict[str, None] = {}
    for ax, tier in zip(axes, content.tiers, strict=True):
        cells = panels.shown_in(content, tier)
        scale = panels.label_scale(ax, max(summary.phases["e2e_ns"].mean.value for summary in cells), "mean end-to-end")
        for row, summary in enumerate(cells):
            drawn |= dict.fromkeys(_stack(ax, row, summary, scale))
        _target_lines(ax, content, tier, scale)
        panels.name_rows(ax, content, cells)
    handles = [Patch(color=PHASE_COLOURS[name], label=PHASE_NAMES[name]) for name in PHASE_COLOURS if name in drawn]
    figure.legend(handles=handles, loc="outside upper center", ncols=5)
    return figure


def every_sample(content: Content) -> Figure | None:
    """Every timed start as a dot, with median and interval."""
    if not content.tiers:
        return None
    figure, axes = panels.cell_panels(content)
    rows = panels.rows_of_cells(content.frame)
    crowd = content.quality.ok > _RASTERISE_ABOVE
    for ax, tier in zip(axes, content.tiers, strict=True):
        cells = panels.shown_in(content, tier)
        scale = panels.label_scale(ax, max(frames.values(rows[summary.cell], "e2e_ns").max() for summary in cells))
        for row, summary in enumerate(cells):
            times = frames.values(rows[summary.cell], "e2e_ns") / scale
            heights = row + 0.11 * (np.arange(len(times)) % 5 - 2)  # in run order, so that dots do not hide each other
            ax.plot(times, heights, "o", ms=3, mew=0, alpha=0.55, color=SERIES[0], rasterized=crowd)
            _interval(ax, summary.phases["e2e_ns"].median, row, scale)
        ax.set_xlim(left=0)
        panels.name_rows(ax, content, cells)
    handles = [
        Line2D([], [], marker="o", ls="", color=SERIES[0], ms=4, label="one start"),
        Line2D([], [], marker="D", ls="-", color=SERIES[1], ms=4, label="median, 95 % interval"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


def distributions(content: Content) -> Figure | None:
    """Cumulative distribution of end-to-end times, one line per cell."""
    if not content.tiers:
        return None
    figure, axes = panels.tier_panels(content, height_inches=2.6)
    rows = panels.rows_of_cells(content.frame)
    looks = panels.looks_of(content)
    for ax, tier in zip(axes, content.tiers, strict=True):
        cells = panels.shown_in(content, tier)
        times = [np.sort(frames.values(rows[summary.cell], "e2e_ns")) for summary in cells]
        scale = panels.label_scale(ax, max(series[-1] for series in times))
        if max(series[-1] for series in times) > 5 * min(series[0] for series in times):
            panels.logarithmic(ax, "x")
        for summary, series in zip(cells, times, strict=True):
            colour, style, _ = looks[summary.cell]
            steps = np.arange(1, len(series) + 1) / len(series)
            ax.step(np.r_[series[:1], series] / scale, np.r_[0, steps], where="post", color=colour, ls=style, lw=1.3)
        ax.set_ylabel("share of starts")
        ax.set_ylim(0, 1.02)
    handles = [
        Line2D([], [], color=looks[s.cell][0], ls=looks[s.cell][1], label=plain(content.labels.short(s.cell)))
        for s in panels.distinct(content)
    ]
    panels.legend(figure, handles)
    return figure


def bytes_against_time(content: Content) -> Figure | None:
    """Image bytes against the medians of pull and unpack."""
    cells = content.timed_in(Tier.ABSENT)
    wanted = (("compressed", "pull_ns"), ("unpacked", "unpack_ns"))
    drawable = [
        (kind, column, points)
        for kind, column in wanted
        if (points := [s for s in cells if getattr(s, f"image_{kind}_bytes") and column in s.phases])
    ]
    if not drawable:
        return None
    figure = Figure(figsize=(panels.WIDTH_INCHES, 4.4), layout="constrained")
    axes = figure.subplots(1, len(drawable), squeeze=False)[0]
    looks = panels.looks_of(content)
    for ax, (kind, column, points) in zip(axes, drawable, strict=True):
        for summary in points:
            colour, _, marker = looks[summary.cell]
            nudge = 1.06 ** (MARKERS.index(marker) - 0.5)  # runtimes of one image side by side
            median, size = summary.phases[column].median, getattr(summary, f"image_{kind}_bytes") / MB * nudge
            ax.plot(size, median.value / NS_PER_S, marker, color=colour, ms=6, mec="white", mew=0.6, zorder=3)
            if median.lower is not None and median.upper is not None:
                ax.plot([size, size], [median.lower / NS_PER_S, median.upper / NS_PER_S], "-", color=colour, lw=1.2)
        panels.logarithmic(ax, "both")
        ax.set_xlabel(f"{kind} bytes of the image [MB]")
        ax.set_ylabel(f"{PHASE_NAMES[column]} [s], median")
        ax.set_title(f"{PHASE_NAMES[column]} against {kind} bytes")
    handles = [
        Line2D(
            [], [], color=looks[s.cell][0], marker=looks[s.cell][2], ls="", label=plain(content.labels.short(s.cell))
        )
        for s in cells
    ]
    panels.legend(figure, handles)
    return figure


def run_order(content: Content) -> Figure | None:
    """When each trial was made against how long it took; failures and repeats marked."""
    if not content.tiers:
        return None
    figure, axes = panels.tier_panels(content, height_inches=2.3)
    looks = panels.looks_of(content)
    rows = frames.planned(content.frame).assign(minutes=panels.minutes_into_run(content.frame))
    crowd = content.quality.ok > _RASTERISE_ABOVE
    for ax, tier in zip(axes, content.tiers, strict=True):
        of_tier = rows[rows["tier"] == tier.value]
        scale = panels.label_scale(ax, frames.values(of_tier, "e2e_ns").max(), axis="y")
        for cell, of_cell in frames.by_cell(frames.timed(of_tier)):
            colour, _, marker = looks[cell]
            times = frames.values(of_cell, "e2e_ns") / scale
            ax.plot(of_cell["minutes"], times, marker, color=colour, ms=3.5, mew=0, alpha=0.75, rasterized=crowd)
        _mark_untimed(ax, of_tier)
        ax.set_ylim(bottom=0)
        ax.set_xlabel("minutes since the first start")
    handles = [
        Line2D(
            [], [], color=looks[s.cell][0], marker=looks[s.cell][2], ls="", label=plain(content.labels.short(s.cell))
        )
        for s in panels.distinct(content)
    ]
    panels.legend(figure, handles)
    return figure


def _stack(ax: Axes, row: int, summary: CellSummary, scale: int) -> list[str]:
    """One bar; the phases it has. Pull is cut into its parts where every start has them."""
    in_parts = all(part in summary.phases and summary.phases[part].mean.n == summary.ok for part in PULL_PARTS)
    pull = PULL_PARTS if in_parts else ("pull_ns",)
    columns = [*pull, *ADDENDS[1:]]
    left, drawn = 0.0, []
    for column in columns:
        width = summary.phases[column].mean.value / scale
        if width:
            ax.barh(row, width, left=left, height=0.72, color=PHASE_COLOURS[column], ec="white", lw=0.3)
            drawn.append(column)
        left += width
    total = summary.phases["e2e_ns"].mean.value
    ax.annotate(
        format_ns(total), (left, row), (4, 0), textcoords="offset points", va="center", fontsize=8, color=INK, zorder=5,
        bbox={"fc": "white", "ec": "none", "pad": 0.8},  # a target's line does not cross out a figure
    )  # fmt: skip
    return drawn


def _target_lines(ax: Axes, content: Content, tier: Tier, scale: int) -> None:
    """Upright lines at the tier's absolute targets; an arrow at the edge where one is far beyond every bar."""
    longest = max(summary.phases["e2e_ns"].mean.value for summary in panels.shown_in(content, tier)) / scale
    found = [overview for overview in content.targets if _is_line(overview, tier)]
    near = [overview.target.limit / scale for overview in found if overview.target.limit / scale <= 1.6 * longest]
    right = 1.12 * max([longest, *near])
    ax.set_xlim(0, right)
    ax.set_title(ax.get_title("left"), pad=14 + 9 * (len(found) > 1))
    for level, overview in enumerate(found):
        target, at = overview.target, overview.target.limit / scale
        judged = overview.verdict not in {Verdict.NOT_ALIKE, Verdict.SHOWN}
        who = "" if judged or not target.applies_to.runtime else f" {target.applies_to.runtime}"
        text = f"§{target.section} {format_ns(target.limit)}{who}"
        if at in near:
            ax.axvline(at, color=INK, lw=1.1, ls="--" if judged else ":", zorder=3)
        else:
            at, text = right, f"{text} →"
        ax.annotate(
            plain(text), (at, 1), (0, 2 + 9 * (level % 2)), xycoords=("data", "axes fraction"),
            textcoords="offset points", fontsize=7.5, color=INK, annotation_clip=False,
            ha="right" if at == right else "center",
        )  # fmt: skip


def _is_line(overview: Overview, tier: Tier) -> bool:
    absolute = overview.target.statistic in {Statistic.MEAN, Statistic.MEDIAN} and overview.target.metric == "e2e_ns"
    return absolute and any(one.cell is not None and one.cell.tier is tier for one in overview.judgements)


def _interval(ax: Axes, estimate: Estimate, row: float, scale: int) -> None:
    if estimate.lower is not None and estimate.upper is not None:
        bounds = [estimate.lower / scale, estimate.upper / scale]
        ax.plot(bounds, [row, row], "-", color=SERIES[1], lw=2.2, zorder=4, solid_capstyle="butt")
    ax.plot(estimate.value / scale, row, "D", color=SERIES[1], ms=5, mec="white", mew=0.7, zorder=5)


def _mark_untimed(ax: Axes, rows: pd.DataFrame) -> None:
    untimed = rows[rows["outcome"] != Outcome.OK.value]
    for requeued, marker, face in ((False, "x", INK), (True, "o", "none")):
        chosen = untimed[[Outcome(outcome).is_requeued is requeued for outcome in untimed["outcome"]]]
        if len(chosen):
            ax.plot(
                chosen["minutes"], np.full(len(chosen), 0.03), marker, transform=ax.get_xaxis_transform(),
                color=INK, mfc=face, ms=6, clip_on=False, zorder=6,
            )  # fmt: skip
