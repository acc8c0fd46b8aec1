"""A verdict as text: what its tables hold, as Markdown, in a terminal, as JUnit, and in a report."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from rich.console import Console

from coldstart.analyse.calibration import Bank, Calibration, calibrate
from coldstart.analyse.counters import Limit
from coldstart.analyse.estimate import Estimate
from coldstart.analyse.verdict import Outcome, Verdict
from coldstart.errors import InputFileError
from coldstart.model.cell import CellPair, Side
from coldstart.model.rule import Rule
from coldstart.model.run import Comparison
from coldstart.report.calibration import calibration_path, calibration_section, load_calibration, rate_text, summary
from coldstart.report.comparison import effects_table, headline, shift_text, verdict_section
from coldstart.report.compose import compose
from coldstart.report.content import analyse
from coldstart.report.document import Mark, Section, Table, Tone
from coldstart.report.junit import render_junit
from coldstart.report.labels import TIMES
from coldstart.report.markdown import render_section
from coldstart.report.terminal import print_section
from tests.unit.analyse.sides import PAIR, blocks, frame, start
from tests.unit.analyse.test_verdict import MAIN, PR, SLOWER, STEADY, manifest, verdict
from tests.unit.factories import make_experiment


def table(section: Section, caption: str) -> Table:
    (found,) = (block for block in section.blocks if isinstance(block, Table) and block.caption.startswith(caption))
    return found


def regression(*limits: Limit) -> Verdict:
    return verdict(blocks(PAIR, STEADY, SLOWER), *limits)


def test_the_headline_has_the_verdict_and_its_first_reason() -> None:
    assert headline(regression()) == f"regression — {PAIR.key}: slower by more than +5.0%"
    both = regression(Limit(counter="layers", text="1"))
    assert headline(both) == "regression — hello/main → hello/pr: 2 layers, limit 1 (and 1 more)"


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


def test_phases_that_took_no_time_are_left_out_and_pairing_is_named() -> None:
    effects = regression().effects
    shown = effects_table(effects)
    assert [row[1] for row in shown.rows] == ["end-to-end", "create", "init", "readiness"]
    assert "paired by block" in shown.caption
    unpaired = [msgspec.structs.replace(effect, paired=False) for effect in effects]
    assert "Phases, unpaired:" in effects_table(unpaired).caption
    assert "paired and unpaired" in effects_table([*effects, *unpaired]).caption


def test_a_difference_has_its_sign_and_its_interval_if_there_is_one() -> None:
    bare = Estimate(value=-2e6, lower=None, upper=None, level=0.95, n=1, method="")
    assert (shift_text(None), shift_text(bare)) == ("—", "-2.00 ms")
    whole = msgspec.structs.replace(bare, lower=-3e6, upper=1e6)
    assert shift_text(whole) == "-2.00 ms (-3.00 ms to +1.00 ms)"


def test_the_section_counts_what_failed_and_says_how_often_the_gate_is_wrong() -> None:
    found = verdict([*blocks(PAIR, STEADY, STEADY), start(PAIR, Side.BASELINE, 10, None)])
    text = render_section(verdict_section(found))
    assert "11 blocks, one of each side next to one another: 21 in all, 1 failed, 0 repeated" in text
    assert "coldstart calibrate tells" in text
    assert "rarely" in render_section(verdict_section(found, "rarely"))


def test_a_section_is_printed_with_its_tables_and_words() -> None:
    out = io.StringIO()
    print_section(Console(file=out, width=160), verdict_section(regression()))
    text = out.getvalue()
    assert "regression — docker/runc" in text
    assert "Candidate against baseline" in text
    assert "Starts in 10 blocks" in text


def test_names_cannot_write_markup_into_a_jobs_summary() -> None:
    bad = CellPair(baseline=msgspec.structs.replace(PAIR.baseline, variant="<b>|x"), candidate=PAIR.candidate)
    effects = [msgspec.structs.replace(effect, pair=bad) for effect in regression().effects]
    text = render_section(Section(anchor="x", title="x", blocks=(effects_table(effects),)))
    assert "<b>" not in text
    assert r"\|x" in text


@pytest.mark.parametrize(
    ("rows", "failures", "errors"),
    [
        (blocks(PAIR, STEADY, STEADY), 0, 0),
        (blocks(PAIR, STEADY, SLOWER), 2, 0),
        (blocks(PAIR, STEADY[:3], STEADY[:3]), 0, 2),
        (blocks(PAIR, [None], [None]), 0, 2),
    ],
)
def test_junit_tells_failures_from_what_has_no_answer(rows: list[dict[str, Any]], failures: int, errors: int) -> None:
    suite = ET.fromstring(render_junit(verdict(rows)))  # noqa: S314  our own text
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", str(failures), str(errors))
    assert [case.get("name") for case in suite] == [PAIR.key, "verdict"]


def test_junit_has_a_case_for_each_hard_limit() -> None:
    found = regression(Limit(counter="layers", text="1"), Limit(counter="files", text="+0"))
    suite = ET.fromstring(render_junit(found))  # noqa: S314  our own text
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases["hello/main → hello/pr: layers"] == ["failure"]
    assert cases["hello/main → hello/pr: files"] == []


def test_junit_survives_what_no_xml_may_hold() -> None:
    found = msgspec.structs.replace(regression(), outcome=Outcome.OK, reasons=("a\x00b\x1b<c>&\u202e",))
    suite = ET.fromstring(render_junit(found))  # noqa: S314  our own text
    assert suite.get("tests") == "2"


def calibration() -> Calibration:
    bank = Bank(
        cell="cell",
        baseline_ns=tuple(1e8 + n for n in range(200)),
        candidate_ns=tuple(1e8 + n % 7 for n in range(200)),
        floor_ns=0.0,
        attempts=400,
        requeued=0,
        failed=0,
    )
    return calibrate([bank], Rule(), host_class="here", version="1", runs=("r",), schema_version=1)


def test_a_calibration_says_how_many_gates_were_wrong_of_how_many() -> None:
    found = calibration()
    assert "0 of 5 gates of a start against itself called a regression (at most 45.1%, 95 %)" in summary(found)
    section = calibration_section(found)
    (row,) = table(section, "The rule at 5% tolerated").rows
    assert row[:2] == ("cell", "200")
    assert row[4] == rate_text(found.cells[0].as_shipped) == "0 of 5 (up to 45.1%)"
    (power,) = table(section, "The smallest slowdown").rows
    assert power[0] == "cell"
    assert str(power[1]).endswith("(20)")
    assert power[5] == "+5.0% (1)"


def test_a_stored_calibration_is_found_by_its_host_class(tmp_path: Path) -> None:
    results = tmp_path
    assert load_calibration(results, "here") is None
    path = calibration_path(results, "here")
    path.parent.mkdir()
    path.write_bytes(msgspec.json.encode(calibration()))
    assert load_calibration(results, "here") == calibration()
    path.write_text("{}")
    with pytest.raises(InputFileError, match="Remove it, and run coldstart calibrate"):
        load_calibration(results, "here")


def test_a_report_of_a_gate_begins_with_its_verdict_and_ends_with_the_error_rates() -> None:
    content = analyse(manifest(), frame(blocks(PAIR, STEADY, SLOWER)), calibration=calibration())
    document = compose([content], draw=lambda _: (), draw_starts=lambda _: ())
    anchors = [section.anchor for section in document.parts[0].sections]
    assert anchors[0] == "gate"
    assert "calibration" in anchors
    assert "On this class of machine (here)" in render_section(document.parts[0].sections[0])


def test_a_report_of_a_calibration_run_has_no_verdict() -> None:
    nothing_to_judge = Comparison(candidate=make_experiment(), pairs=(PAIR,))
    content = analyse(manifest(comparison=nothing_to_judge), frame(blocks(PAIR, STEADY, STEADY)))
    assert (content.verdict, content.calibration) == (None, None)
