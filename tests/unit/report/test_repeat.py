"""What is printed of a repeated run."""

from __future__ import annotations

import msgspec

from coldstart.analyse.repeat import Repetition, repetition
from coldstart.report.markdown import render_section
from coldstart.report.repeat import repetition_section
from tests.unit import tidy
from tests.unit.factories import make_cell, make_manifest


def found(**fields: object) -> Repetition:
    """A run that agrees with itself, with some fields in place of its own."""
    frame = tidy.frame(tidy.starts(make_cell(), 100, 101, 102, 103, 104, 105))
    whole = repetition(make_manifest(), frame, make_manifest(), frame)
    changed: Repetition = msgspec.structs.replace(whole, **fields)
    return changed


def text(one: Repetition) -> str:
    """It as Markdown."""
    return render_section(repetition_section(one))


def test_a_cell_says_whether_it_agrees() -> None:
    assert "agrees" in next(line for line in text(found()).splitlines() if make_cell().key in line)


def test_a_repetition_is_labelled_unpaired_and_weaker() -> None:
    shown = text(found())
    assert "unpaired" in shown
    assert "weaker" in shown


def test_both_hosts_are_named_where_they_differ() -> None:
    assert "on host b, then on a" in text(found(then_host="a", now_host="b"))


def test_what_is_not_as_it_was_is_named() -> None:
    assert "Not as it was: engine: 1 then, 2 now." in text(found(differences=("engine: 1 then, 2 now",)))


def test_where_nothing_differs_nothing_is_named() -> None:
    assert "Not as it was" not in text(found())


def test_a_cell_without_a_ratio_says_why() -> None:
    frame = tidy.frame(tidy.starts(make_cell(), 100))
    failed = tidy.frame([tidy.failed(make_cell())])
    assert "not comparable: not timed here" in text(repetition(make_manifest(), frame, make_manifest(), failed))


def test_cells_that_were_not_started_this_time_are_counted() -> None:
    assert "3 of its cells were not started this time, and are not shown." in text(found(not_started=3))
    assert "not started" not in text(found())
