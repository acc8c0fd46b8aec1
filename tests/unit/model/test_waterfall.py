"""One start as rows and as text."""

from __future__ import annotations

from coldstart.model.sample import Outcome, Phase, Source
from coldstart.model.waterfall import bars, render
from tests.unit.factories import MS, T0_NS, make_sample, make_span


def test_rows_are_in_order_of_time_each_below_what_it_is_part_of() -> None:
    rows = bars(make_sample())
    assert [row.name for row in rows if row.depth == 0] == ["pull", "create", "init", "readiness"]
    assert [row.name for row in rows[:3]] == ["pull", "resolve", "download layer 1"]


def test_rows_count_from_the_first_request() -> None:
    first, *_ = bars(make_sample(pull_ns=400 * MS))
    assert (first.start_ns, first.end_ns) == (0, 400 * MS)


def test_of_several_sources_the_best_is_shown() -> None:
    sample = make_sample(
        spans=(
            make_span(Phase.CREATE, T0_NS, T0_NS + 1 * MS, source=Source.CLIENT),
            make_span(Phase.INIT, T0_NS + 1 * MS, T0_NS + 9 * MS),
            make_span(Phase.INIT, T0_NS + 1 * MS, T0_NS + 8 * MS, source=Source.TRACE),
            make_span(Phase.NETWORK_HOOK, T0_NS + 2 * MS, T0_NS + 3 * MS, source=Source.TRACE),
            make_span(Phase.READINESS, T0_NS + 8 * MS, T0_NS + 9 * MS, source=Source.TRACE),
        )
    )
    rows = {row.name: row for row in bars(sample)}
    assert (rows["init"].end_ns, rows["init"].source) == (8 * MS, "trace")
    assert (rows["network hook"].depth, rows["create"].depth) == (2, 0)


def test_text_has_a_line_a_row_and_one_for_the_axis() -> None:
    rows = bars(make_sample())
    lines = render(rows, width=100).splitlines()
    assert len(lines) == len(rows) + 1
    assert "570 ms" in lines[0]
    assert lines[1].startswith("pull")
    assert "400 ms" in lines[1]
    assert max(map(len, lines)) <= 110


def test_a_bar_begins_where_its_span_does() -> None:
    rows = bars(make_sample())
    lines = dict(zip((row.name for row in rows), render(rows, width=100).splitlines()[1:], strict=True))
    assert lines["pull"].index("█") < lines["create"].index("█") < lines["readiness"].index("█")


def test_what_was_not_observed_is_said_so() -> None:
    assert bars(make_sample(outcome=Outcome.EXITED)) == ()
    assert render(()) == "nothing was observed"
