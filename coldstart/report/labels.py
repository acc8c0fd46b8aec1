"""Names of cells, phases and figures as people read them."""

from __future__ import annotations

from collections.abc import Iterable

from coldstart.analyse.estimate import Estimate
from coldstart.model.cell import Cell
from coldstart.model.rule import Rule
from coldstart.units import format_bytes, format_ns

TIMES = "\N{MULTIPLICATION SIGN}"
PHASE_NAMES = {
    "e2e_ns": "end-to-end",
    "pull_ns": "pull",
    "create_ns": "create",
    "init_ns": "init",
    "readiness_ns": "readiness",
    "gap_ns": "gap",
    "download_ns": "download",
    "unpack_ns": "unpack",
    "register_ns": "register",
    "pull_download_only_ns": "download only",
    "pull_overlap_ns": "download ∥ unpack",
    "pull_unpack_only_ns": "unpack only",
    "pull_register_only_ns": "register only",
    "pull_other_ns": "pull, other",
    "unattributed_ns": "unattributed",
}


class Labels:
    """Short names of a run's cells: variant and runtime, and whatever else varies between them."""

    def __init__(self, cells: Iterable[Cell]) -> None:
        cells = list(cells)
        self._extra = [name for name in ("workload", "engine", "network") if len({getattr(c, name) for c in cells}) > 1]

    def short(self, cell: Cell) -> str:
        """The cell within its tier: ``alpine · runc``."""
        return " · ".join([cell.variant, cell.runtime, *(str(getattr(cell, name)) for name in self._extra)])

    def full(self, cell: Cell) -> str:
        """The cell with its tier: ``alpine · runc · warm``."""
        return f"{self.short(cell)} · {cell.tier}"

    def colour_key(self, cell: Cell) -> str:
        """What cells of one colour share: the image, and whatever else varies but the runtime."""
        return " · ".join([cell.variant, *(str(getattr(cell, name)) for name in self._extra)])


def share_name(column: str) -> str:
    """A phase's name where its share stands, saying what lies inside another phase."""
    return f"{PHASE_NAMES[column]} (in pull)" if column == "unpack_ns" else PHASE_NAMES[column]


def failed_text(failed: int, unseen: int) -> str:
    """How many starts failed, and beside them how many nobody observed."""
    return f"{failed} (+{unseen} not observed)" if unseen else str(failed)


def time_text(estimate: Estimate | None) -> str:
    """``612 ms (590 ms to 640 ms)``; without brackets where there are no bounds."""
    if estimate is None:
        return "—"
    if estimate.lower is None or estimate.upper is None:
        return format_ns(estimate.value)
    return f"{format_ns(estimate.value)} ({format_ns(max(estimate.lower, 0))} to {format_ns(estimate.upper)})"


def bytes_text(estimate: Estimate) -> str:
    """``10.5 MB (10.4 MB to 10.7 MB)``; without brackets where there are no bounds."""
    if estimate.lower is None or estimate.upper is None:
        return format_bytes(estimate.value)
    return f"{format_bytes(estimate.value)} ({format_bytes(estimate.lower)} to {format_bytes(estimate.upper)})"


def ratio_text(estimate: Estimate | None) -> str:
    """A factor with its interval, such as 1.21 (1.18 to 1.24), and the sign for times; exact ones stand alone."""
    if estimate is None:
        return "—"
    value = f"{ratio_number(estimate.value)}{TIMES}"
    if estimate.lower is None or estimate.upper is None or estimate.method == "exact":
        return value
    return f"{value} ({ratio_number(estimate.lower)} to {ratio_number(estimate.upper)})"


def size_text(estimate: Estimate | None) -> str:
    """A size, or an em dash."""
    return format_bytes(None if estimate is None else estimate.value)


def ratio_number(value: float) -> str:
    """Three decimals below 1, two below 10, one below 100, none above, whatever it rounds to."""
    decimals = next((places for places, end in ((3, 1), (2, 10), (1, 100)) if round(value, places) < end), 0)
    return f"{value:.{decimals}f}"


def share_text(share: float | None) -> str:
    """A share as a percentage with one decimal."""
    return "—" if share is None else f"{share * 100:.1f} %"


def percent_text(share: float) -> str:
    """A share as a whole percentage."""
    return f"{share * 100:.0f} %"


def count_text(counts: Iterable[int]) -> str:
    """``20``, or ``18 to 20`` where they differ."""
    counts = sorted(counts)
    if not counts:
        return "0"
    return str(counts[0]) if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"


def rule_text(rule: Rule) -> str:
    """What a rule tolerates, and the false alarms that it accepts, in a few words."""
    own = {**rule.cells, **rule.metrics}
    tolerated = ", ".join([f"{rule.max_slowdown:+.1%}", *(f"{what} {allowed:+.1%}" for what, allowed in own.items())])
    return f"tolerated {tolerated}; false alarms {rule.alpha:g}"
