"""One start as a waterfall, drawn."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from coldstart.model.sample import Phase
from coldstart.model.waterfall import PARENT, Bar
from coldstart.report.panels import WIDTH_INCHES, label_scale
from coldstart.report.style import INK, PHASE_COLOURS, plain
from coldstart.units import format_ns

_COLOURS = {
    Phase.PULL: PHASE_COLOURS["pull_ns"],
    Phase.DOWNLOAD: PHASE_COLOURS["pull_download_only_ns"],
    Phase.UNPACK: PHASE_COLOURS["pull_unpack_only_ns"],
    Phase.REGISTER: PHASE_COLOURS["pull_register_only_ns"],
    Phase.RESOLVE: PHASE_COLOURS["pull_other_ns"],
    Phase.CREATE: PHASE_COLOURS["create_ns"],
    Phase.INIT: PHASE_COLOURS["init_ns"],
    Phase.READINESS: PHASE_COLOURS["readiness_ns"],
}


def draw(rows: Sequence[Bar], title: str) -> Figure | None:
    """The waterfall as a figure; ``None`` where nothing was observed."""
    if not rows:
        return None
    figure = Figure(figsize=(WIDTH_INCHES, 0.8 + 0.24 * len(rows)), layout="constrained")
    axes = figure.subplots()
    scale = label_scale(axes, max(row.end_ns for row in rows), "since the first request")
    for position, row in enumerate(rows):
        colour = _COLOURS.get(row.phase) or _COLOURS[PARENT[row.phase]]
        left, width = row.start_ns / scale, (row.end_ns - row.start_ns) / scale
        axes.barh(position, width, left=left, height=0.8 if row.depth == 0 else 0.55, color=colour, lw=0)
        axes.annotate(
            format_ns(row.end_ns - row.start_ns),
            (left + width, position),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color=INK,
        )
    axes.set_yticks(range(len(rows)), [f"{'   ' * row.depth}{row.name}" for row in rows], fontsize=7.5)
    for label in axes.get_yticklabels():
        label.set_horizontalalignment("left")
    axes.tick_params(axis="y", length=0, pad=105)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 1.08 * max(row.end_ns for row in rows) / scale)
    axes.set_title(plain(title))
    return figure
