"""How figures look, and how they become the same bytes on every machine."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

# Okabe & Ito's palette (jfly.uni-koeln.de/color): told apart with every common colour blindness, and in grey.
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#000000")
PHASE_COLOURS = {
    "pull_ns": "#56B4E9",
    "pull_download_only_ns": "#A6D8F3",
    "pull_overlap_ns": "#56B4E9",
    "pull_unpack_only_ns": "#0072B2",
    "pull_register_only_ns": "#CC79A7",
    "pull_other_ns": "#C9C9C9",
    "create_ns": "#F0E442",
    "init_ns": "#D55E00",
    "readiness_ns": "#009E73",
    "gap_ns": "#555555",
}
LINE_STYLES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P")
INK = "#1b1b1b"
_FONT = "DejaVu Sans"  # ships with matplotlib: no other is on every machine
_LONGEST_LABEL = 48
_PARAMETERS: dict[RcKeyType, Any] = {
    "font.family": _FONT,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "coldstart",
    "text.parse_math": False,  # a $ in a name is a $
}


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's own defaults and ours on top, whatever the user's matplotlibrc says; undone on leaving."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_PARAMETERS)
        yield


def render(figure: Figure) -> tuple[bytes, bytes]:
    """SVG and PNG of a figure made in `house_style`, without dates or versions: the same bytes each time."""
    _settle(figure)
    svg, png = io.BytesIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    figure.savefig(png, format="png", dpi=144, metadata={"Software": None})
    return svg.getvalue(), png.getvalue()


def _settle(figure: Figure) -> None:
    """Lay out once and keep the rounded result.

    The layout's solver orders its variables by address, so that its sums differ in the last bits from one call to the
    next, and with them the identifiers in the SVG.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for ax in figure.axes:
        left, bottom, width, height = (round(float(part), 4) for part in ax.get_position().bounds)
        ax.set_position((left, bottom, width, height))


def plain(text: str) -> str:
    """The text as the font can draw it: a replacement character for what it has no glyph for, cut where too long.

    It is the middle that is cut: what tells cells of one image apart stands at the end.
    """
    glyphs = _glyphs()
    drawn = "".join(letter if ord(letter) in glyphs else "�" for letter in " ".join(text.split()))
    half = _LONGEST_LABEL // 2
    return drawn if len(drawn) <= _LONGEST_LABEL else f"{drawn[: half - 1]}…{drawn[-half:]}"


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    font = font_manager.get_font(font_manager.findfont(_FONT))
    return frozenset(font.get_charmap())
