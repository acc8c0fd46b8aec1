"""A verdict as text: what its tables hold, as Markdown, in a terminal, and in a report."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from coldstart.analyse.counters import Limit
from coldstart.analyse.estimate import Estimate
from coldstart.analyse.gate import Call
from coldstart.analyse.verdict import Outcome, Verdict
from coldstart.model.cell import CellPair, Side
from coldstart.model.run import Comparison
from coldstart.report.comparison import effects_table, headline, shift_text, signed, verdict_section
from coldstart.report.compose import compose
from coldstart.report.content import analyse
from coldstart.report.document import Code, Facts, Mark, Notice, Paragraph, Section, Table, Tone
from coldstart.report.labels import TIMES
from coldstart.report.markdown import render_section
from coldstart.report.terminal import print_section
from tests.unit.analyse.sides import PAIR, blocks, frame, start
from tests.unit.analyse.test_verdict import MAIN, PR, SLOWER, STEADY, manifest, verdict
from tests.unit.factories import make_experiment
from tests.unit.report.test_calibration import calibration


def table(section: Section, caption: str) -> Table:
    (found,) = (block for block in section.blocks if isinstance(block, Table) and block.caption.startswith(caption))
    return found


def regression(*limits: Limit) -> Verdict:
    return verdict(blocks(PAIR, STEADY, SLOWER), *limits)


def test_the_headline_has_the_verdict_and_its_first_reason() -> None:
    assert headline(regression()) == f"regression — {PAIR.key}: slower by more than +5.0%"
    both = regression(Limit(counter="layers", text="1"))
    assert headline(both) == "regression — hello/main → hello/pr: 2 layers, limit 1 (and 1 more)"


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome.OK, "not slower than is tolerated"),
        (Outcome.REGRESSION, "regression"),
        (Outcome.INCONCLUSIVE, "inconclusive"),
        (Outcome.CONTAMINATED, "contaminated: the machine was disturbed, so nothing is concluded"),
        (Outcome.INVALID, "nothing to conclude from"),
    ],
)
def test_every_outcome_has_its_words_and_needs_no_reason(outcome: Outcome, words: str) -> None:
    assert headline(msgspec.structs.replace(regression(), outcome=outcome, reasons=())) == words


def test_the_section_is_titled_by_the_outcome() -> None:
    section = verdict_section(regression())
    assert (section.anchor, section.title) == ("gate", "Cold-start gate: regression")
    assert section.blocks[0] == Notice(headline(regression()))


@pytest.mark.parametrize(
    ("call", "tone"),
    [(Call.OK, Tone.GOOD), (Call.REGRESSION, Tone.BAD), (Call.INCONCLUSIVE, Tone.WARN), (Call.INVALID, Tone.BAD)],
)
def test_a_call_is_marked_in_its_tone(call: Call, tone: Tone) -> None:
    found = regression()
    called = msgspec.structs.replace(
        found, decisions=tuple(msgspec.structs.replace(one, call=call) for one in found.decisions)
    )
    assert table(verdict_section(called), "Candidate against baseline").rows[0][5] == Mark(call.value, tone)


def test_where_nothing_moved_for_sure_the_last_column_is_empty() -> None:
    found = verdict(blocks(PAIR, STEADY, STEADY))
    assert table(verdict_section(found), "Candidate against baseline").rows[0][6] == ""


def test_a_decision_without_pairs_has_neither_ratio_nor_difference() -> None:
    found = verdict(blocks(PAIR, [None], [100]))
    assert table(verdict_section(found), "Candidate against baseline").rows[0][1:4] == ("0", "—", "—")


def test_a_decision_has_its_pairs_ratio_and_what_moved_most() -> None:
    (row,) = table(verdict_section(regression()), "Candidate against baseline").rows
    name, pairs, ratio, difference, allowed, call, moved = row
    assert (name, pairs, allowed) == (PAIR.key, "10", "+5.0%")
    assert str(ratio) == f"1.20{TIMES} (1.20 to 1.20)"
    assert str(difference).startswith("+20.0 ms")
    assert call == Mark("regression", Tone.BAD)
    assert str(moved).startswith("init by +12.0 ms")


def test_hard_limits_stand_in_a_table_of_their_own_if_there_are_any() -> None:
    section = verdict_section(regression(Limit(counter="layers", text="1"), Limit(counter="files", text="+0")))
    rows = table(section, "Hard limits").rows
    assert [row[-1] for row in rows] == [Mark("over", Tone.BAD), Mark("within", Tone.GOOD)]
    assert rows[0][1:5] == ("layers", "2", "2", "1 (1)")
    assert all("Hard limits" not in getattr(block, "caption", "") for block in verdict_section(regression()).blocks)


def test_a_counter_that_is_not_known_is_marked_so() -> None:
    blind = msgspec.structs.replace(PR, digest=None)
    found = verdict(
        blocks(PAIR, STEADY, STEADY), Limit(counter="pull-bytes", text="+5%"), of=manifest(images=(MAIN, blind))
    )
    assert table(verdict_section(found), "Hard limits").rows[0][-1] == Mark("not known", Tone.WARN)


def test_bytes_have_their_unit_in_the_table_of_hard_limits() -> None:
    rows = table(verdict_section(regression(Limit(counter="pull-bytes", text="+5%"))), "Hard limits").rows
    assert rows == (
        ("hello/main → hello/pr", "bytes pulled", "3.00 MB", "3.00 MB", "3.15 MB (+5%)", Mark("within", Tone.GOOD)),
    )


def test_phases_that_took_no_time_are_left_out() -> None:
    assert [row[1] for row in effects_table(regression().effects).rows] == ["end-to-end", "create", "init", "readiness"]


def test_a_phase_that_only_one_side_took_is_shown_without_a_ratio() -> None:
    pull = next(effect for effect in regression().effects if effect.column == "pull_ns")
    for effect in (
        msgspec.structs.replace(pull, baseline_ns=1e6),
        msgspec.structs.replace(pull, candidate_ns=1e6),
    ):
        (row,) = effects_table([effect]).rows
        assert (row[1], row[5]) == ("pull", "—")


def test_a_phase_has_its_medians_ratio_and_difference() -> None:
    init = next(effect for effect in regression().effects if effect.column == "init_ns")
    shown = effects_table([init])
    assert dict(zip(shown.header, shown.rows[0], strict=True)) == {
        "cell": PAIR.key,
        "phase": "init",
        "n": "10",
        "first": "60.0 ms",
        "second": "72.0 ms",
        "ratio": f"1.20{TIMES} (1.20 to 1.20)",
        "difference": "+12.0 ms (+12.0 ms to +12.0 ms)",
    }


def test_the_table_of_phases_names_how_starts_were_compared() -> None:
    effects = regression().effects
    unpaired = [msgspec.structs.replace(effect, paired=False) for effect in effects]
    captions = [effects_table(some).caption.partition(":")[0] for some in (effects, unpaired, [*effects, *unpaired])]
    assert captions == ["Phases, paired by block", "Phases, unpaired", "Phases, paired and unpaired"]


@pytest.mark.parametrize(("value_ns", "text"), [(0.0, "+0 ns"), (-1.0, "-1 ns"), (2e6, "+2.00 ms")])
def test_a_difference_of_nothing_counts_as_more(value_ns: float, text: str) -> None:
    assert signed(value_ns) == text


def test_a_difference_has_its_sign_and_its_interval_if_there_is_one() -> None:
    bare = Estimate(value=-2e6, lower=None, upper=None, level=0.95, n=1, method="")
    assert (shift_text(None), shift_text(bare)) == ("—", "-2.00 ms")
    whole = msgspec.structs.replace(bare, lower=-3e6, upper=1e6)
    assert shift_text(whole) == "-2.00 ms (-3.00 ms to +1.00 ms)"
    for half in (msgspec.structs.replace(whole, lower=None), msgspec.structs.replace(whole, upper=None)):
        assert shift_text(half) == "-2.00 ms"


def test_the_section_counts_what_failed_and_says_how_often_the_gate_is_wrong() -> None:
    found = verdict([*blocks(PAIR, STEADY, STEADY), start(PAIR, Side.BASELINE, 10, None)])
    text = render_section(verdict_section(found))
    assert "11 blocks, one of each side next to one another: 21 in all, 1 failed, 0 repeated" in text
    assert "Source engine. Paired signed-rank tests after 10, 20, 40, 80, 160 pairs, one-sided at 0.002 each" in text
    assert "a whole gate stay below 0.01. Intervals of the first table are at 99.6%, of phases at 95 %" in text
    assert "is not known here" in text
    assert "rarely" in render_section(verdict_section(found, "rarely"))


def test_a_verdict_on_what_was_measured_at_different_times_says_that_it_is_unpaired() -> None:
    section = verdict_section(msgspec.structs.replace(regression(), paired=False, effects=()), "never wrong")
    assert section.title == "Cold-start gate, unpaired: regression"
    assert table(section, "Candidate against baseline").header[1] == "n"
    (words,) = (block.text for block in section.blocks if isinstance(block, Paragraph))
    assert words.startswith("Starts: 20 in all, 0 failed, 0 repeated (not cold, not quiet, throttled). Source engine.")
    assert "one-sided at 0.01. Intervals of the first table are at 98.0%, of phases at 95 %." in words
    assert not any(isinstance(block, Table) and block.caption.startswith("Phases") for block in section.blocks)


def test_a_section_is_printed_with_its_tables_and_words() -> None:
    out = io.StringIO()
    print_section(Console(file=out, width=160), verdict_section(regression()))
    text = out.getvalue()
    assert "regression — docker/runc" in text
    assert "Candidate against baseline" in text
    assert "Starts in 10 blocks" in text


def test_what_only_a_page_can_show_is_not_printed() -> None:
    out = io.StringIO()
    section = Section(anchor="x", title="x", blocks=(Code("code"), Facts((("fact", "fact"),)), Paragraph("words")))
    print_section(Console(file=out, width=80), section)
    assert out.getvalue() == "words\n"


def test_names_cannot_write_markup_or_controls_into_a_terminal() -> None:
    out = io.StringIO()
    name = "[red]x[/red]\x1b[2J"
    rows = ((name, Mark(name, Tone.BAD)),)
    blocks_shown = (Table(caption="t", header=("a", "b"), rows=rows), Notice(name), Paragraph(name))
    print_section(Console(file=out, width=80), Section(anchor="x", title="x", blocks=blocks_shown))
    assert out.getvalue().count("[red]x[/red]�[2J") == 4


def test_numbers_are_set_to_the_right_and_marks_in_the_colour_of_their_tone() -> None:
    out = io.StringIO()
    shown = Table(
        caption="caption",
        header=("left", "right"),
        numeric=frozenset({1}),
        rows=(("a", "1"), ("b", Mark("2", Tone.BAD))),
    )
    console = Console(file=out, width=80, force_terminal=True, color_system="standard", no_color=False, _environ={})
    print_section(console, Section(anchor="x", title="x", blocks=(shown,)))
    text = out.getvalue()
    assert "│ a    │     1 │" in text
    assert "\x1b[31m    2\x1b[0m" in text


def test_names_cannot_write_markup_into_a_jobs_summary() -> None:
    bad = CellPair(baseline=msgspec.structs.replace(PAIR.baseline, variant="<b>|x"), candidate=PAIR.candidate)
    effects = [msgspec.structs.replace(effect, pair=bad) for effect in regression().effects]
    text = render_section(Section(anchor="x", title="x", blocks=(effects_table(effects),)))
    assert "<b>" not in text
    assert r"\|x" in text


def test_a_report_of_a_gate_begins_with_its_verdict_and_has_the_error_rates_before_the_conditions() -> None:
    content = analyse(manifest(), frame(blocks(PAIR, STEADY, SLOWER)), calibration=calibration())
    (part,) = compose([content], draw=lambda _: (), draw_starts=lambda _: ()).parts
    anchors = [section.anchor for section in part.sections]
    bare = analyse(manifest(), frame(blocks(PAIR, STEADY, SLOWER)))
    (without,) = compose([bare], draw=lambda _: (), draw_starts=lambda _: ()).parts
    assert anchors[0] == "gate"
    assert [anchor for anchor in anchors if anchor != "calibration"] == [section.anchor for section in without.sections]
    assert anchors.index("calibration") > anchors.index("gate") + 1


def test_the_verdict_in_a_report_tells_the_error_rates_where_they_are_known() -> None:
    known = analyse(manifest(), frame(blocks(PAIR, STEADY, SLOWER)), calibration=calibration())
    unknown = analyse(manifest(), frame(blocks(PAIR, STEADY, SLOWER)))
    texts = [
        render_section(compose([content], draw=lambda _: (), draw_starts=lambda _: ()).parts[0].sections[0])
        for content in (known, unknown)
    ]
    assert "On this class of machine (here)" in texts[0]
    assert "Measure it with: coldstart calibrate" in texts[1]


@pytest.mark.parametrize("comparison", [None, Comparison(candidate=make_experiment(), pairs=(PAIR,))])
def test_a_report_of_what_is_no_gate_has_no_verdict(comparison: Comparison | None) -> None:
    content = analyse(manifest(comparison=comparison), frame(blocks(PAIR, STEADY, STEADY)))
    (part,) = compose([content], draw=lambda _: (), draw_starts=lambda _: ()).parts
    assert not {"gate", "calibration"} & {section.anchor for section in part.sections}
