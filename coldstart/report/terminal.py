"""A run's results in the terminal: one line per cell, one line per claim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from rich.table import Table
from rich.text import Text

from coldstart.report import document
from coldstart.report.claims import conditions_text, limit_text, range_text, verdict_mark
from coldstart.report.document import Notice, Paragraph, Section, Tone
from coldstart.report.labels import Labels, failed_text, percent_text, time_text
from coldstart.text import clean

if TYPE_CHECKING:
    from rich.console import Console

    from coldstart.analyse.cells import CellSummary
    from coldstart.analyse.targets import Overview

_STYLES = {Tone.GOOD: "green", Tone.BAD: "red", Tone.WARN: "yellow", Tone.MUTED: "dim"}
_SHARES = ("pull_ns", "unpack_ns", "init_ns", "readiness_ns")


def print_summary(console: Console, cells: Sequence[CellSummary], targets: Sequence[Overview] = ()) -> None:
    """Print the cells' end-to-end medians and shares, then the claims' verdicts, on ``console``."""
    console.print(cells_table(cells))
    if targets:
        console.print(targets_table(targets))


def print_section(console: Console, section: Section) -> None:
    """Print a section of a report: its tables, notices and paragraphs, without figures."""
    for block in section.blocks:
        match block:
            case document.Table():
                console.print(_table(block))
            case Notice():
                console.print(Text(clean(block.text), style="bold"))
            case Paragraph():
                console.print(Text(clean(block.text)))
            case _:
                pass  # figures, and text to copy, are for pages


def _table(block: document.Table) -> Table:
    table = Table(title=Text(clean(block.caption)), title_justify="left")
    for number, name in enumerate(block.header):
        justify: Literal["left", "right"] = "right" if number in block.numeric else "left"
        table.add_column(Text(clean(name)), justify=justify, overflow="fold")
    for row in block.rows:
        table.add_row(*(_cell_text(cell) for cell in row))
    return table


def _cell_text(cell: document.TableCell) -> Text:
    if isinstance(cell, document.Mark):
        return Text(clean(cell.text), style=_STYLES[cell.tone])
    return Text(clean(cell))


def cells_table(cells: Sequence[CellSummary]) -> Table:
    """A row a cell: how many starts, end-to-end median with interval, where the time goes, what failed."""
    table = Table(title="Cold starts: median (95 % interval), shares of end-to-end", title_justify="left")
    for name in ("tier", "cell"):
        table.add_column(name, overflow="fold")
    for name in ("n", "end-to-end", "pull", "unpack", "init", "readiness", "failed", "repeated"):
        table.add_column(name, justify="right")
    labels = Labels(summary.cell for summary in cells)
    for summary in cells:
        shares = [summary.share(column) for column in _SHARES]
        table.add_row(
            str(summary.cell.tier),
            Text(clean(labels.short(summary.cell))),
            str(summary.ok),
            time_text(summary.median("e2e_ns")),
            *("—" if share is None else percent_text(share) for share in shares),
            Text(failed_text(summary.failed, summary.unseen), style="red" if summary.failed or summary.unseen else ""),
            Text(str(summary.requeued), style="red" if summary.contaminated else ""),
        )
    return table


def targets_table(targets: Sequence[Overview]) -> Table:
    """A row a claim: its limit, what was measured over all its cells, the verdict."""
    table = Table(title="Targets", title_justify="left")
    for name in ("§", "claim", "conditions"):
        table.add_column(name, overflow="fold")
    for name in ("limit", "measured"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for overview in targets:
        mark = verdict_mark(overview)
        table.add_row(
            Text(clean(overview.target.section)),
            Text(clean(overview.target.claim)),
            Text(clean(conditions_text(overview.target))),
            limit_text(overview.target),
            range_text(overview),
            Text(clean(mark.text), style=_STYLES[mark.tone]),
        )
    return table
