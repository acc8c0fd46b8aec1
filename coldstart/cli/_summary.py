"""What a run ends with: the report's tables where its packages are installed, else medians a cell; or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

import msgspec

from coldstart.cli._extras import can_report
from coldstart.cli._repeat import show_repetition
from coldstart.model.cell import Cell
from coldstart.model.sample import Sample
from coldstart.model.timeline import HEADLINES, phases_of
from coldstart.plan.schedule import cells
from coldstart.store.reader import StoredRun
from coldstart.units import format_ns

if TYPE_CHECKING:
    from coldstart.analyse.repeat import Repetition


class CellLine(msgspec.Struct, frozen=True, kw_only=True):
    """A cell's medians, in ns, over its ``ok`` samples that are no warm-up; ``None`` where nothing was observed."""

    cell: Cell
    ok: int
    failed: int
    unseen: int
    requeued: int
    medians_ns: dict[str, float | None]
    worst_reason: str | None


def show(run: StoredRun, *, as_json: bool, repetition: Repetition | None = None) -> None:
    """Print the run's summary on standard output, and how it agrees with the run that it repeats."""
    lines = cell_lines(cells(run.manifest.experiment), run.samples)
    if as_json:
        record: dict[str, object] = {"run_id": run.manifest.run_id, "path": str(run.path), "cells": lines}
        if repetition is not None:
            record["repetition"] = repetition
        print(msgspec.json.format(msgspec.json.encode(record), indent=2).decode())
    elif can_report():
        _print_analysed(run)
        if repetition is not None:
            show_repetition(repetition)
    else:
        print(render(lines))


def cell_lines(cells: Sequence[Cell], samples: Sequence[Sample]) -> tuple[CellLine, ...]:
    """A line for every cell planned, measured or not."""
    return tuple(_line(cell, [s for s in samples if s.trial.cell == cell and not s.trial.warmup]) for cell in cells)


def render(lines: Sequence[CellLine]) -> str:
    """The table as plain text, aligned, one cell per line."""
    header = ("runtime", "image", "tier", "network", "n", "failed", "pull", "unpack", "init", "ready", "end to end")
    rows = [
        (
            line.cell.runtime,
            f"{line.cell.workload}/{line.cell.variant}",
            str(line.cell.tier),
            str(line.cell.network),
            str(line.ok),
            _failed(line),
            *(format_ns(line.medians_ns[name]) for name in HEADLINES),
        )
        for line in lines
    ]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    text_columns = 4
    return "\n".join(
        "  ".join(
            value.ljust(width) if column < text_columns else value.rjust(width)
            for column, (value, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    )


def _failed(line: CellLine) -> str:
    others = [f"+{line.requeued} again"] if line.requeued else []
    others += [f"+{line.unseen} not observed"] if line.unseen else []
    return f"{line.failed} ({', '.join(others)})" if others else str(line.failed)


def _print_analysed(run: StoredRun) -> None:
    from coldstart.cli._console import stdout_console  # noqa: PLC0415  a board without pandas need not wait for it
    from coldstart.report.content import analyse  # noqa: PLC0415
    from coldstart.report.terminal import print_summary  # noqa: PLC0415
    from coldstart.store.frames import tidy  # noqa: PLC0415

    content = analyse(run.manifest, tidy(run))
    print_summary(stdout_console(), content.cells, content.targets)


def _line(cell: Cell, samples: Sequence[Sample]) -> CellLine:
    phases = [found for sample in samples if (found := phases_of(sample)) is not None]
    medians: dict[str, float | None] = {}
    for name in HEADLINES:
        values = [value for found in phases if (value := getattr(found, name)) is not None]
        medians[name] = median(values) if values else None
    requeued = [sample for sample in samples if sample.outcome.is_requeued]
    failed = [sample for sample in samples if sample.outcome.is_failure]
    unseen = [sample for sample in samples if sample.outcome.is_unseen]
    spoilt = failed or unseen or requeued
    return CellLine(
        cell=cell,
        ok=len(phases),
        failed=len(failed),
        unseen=len(unseen),
        requeued=len(requeued),
        medians_ns=medians,
        worst_reason=f"{spoilt[-1].outcome}: {spoilt[-1].reason}" if spoilt else None,
    )
