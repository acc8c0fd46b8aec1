"""The terminal's tables: cells and claims, on any console."""

from __future__ import annotations

import io

from rich.console import Console

from coldstart.analyse.cells import summarise
from coldstart.report.content import Content
from coldstart.report.terminal import print_summary
from tests.unit import tidy
from tests.unit.factories import make_cell


def printed(content: Content) -> str:
    console = Console(file=io.StringIO(), width=160)
    print_summary(console, content.cells, content.targets)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_each_cell_has_a_line_with_median_and_shares(content: Content) -> None:
    assert "distroless · crun   │ 20 │ 206 ms (199 ms to 211 ms) │ 30 % │    7 % │ 62 % │       4 %" in printed(content)


def test_each_claim_has_its_verdict(content: Content) -> None:
    assert "6 met, 2 missed" in printed(content)


def test_names_are_no_markup() -> None:
    console = Console(file=io.StringIO(), width=120)
    print_summary(console, summarise(tidy.frame([tidy.row(make_cell(variant="[red]x[/red]"))])))
    assert isinstance(console.file, io.StringIO)
    assert "[red]x[/red]" in console.file.getvalue()


def test_without_claims_there_is_no_table_of_them() -> None:
    console = Console(file=io.StringIO(), width=120)
    print_summary(console, summarise(tidy.frame([tidy.failed()])))
    assert isinstance(console.file, io.StringIO)
    assert "Targets" not in console.file.getvalue()
