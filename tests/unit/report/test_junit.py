"""A verdict as JUnit: a case a question, what failed and what has no answer, and names that no XML may hold."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from coldstart.analyse.counters import Limit
from coldstart.analyse.verdict import Outcome, Verdict
from coldstart.report.junit import render_junit
from tests.unit.analyse.sides import PAIR, absent, blocks
from tests.unit.analyse.test_verdict import MAIN, PR, SLOWER, STEADY, manifest, verdict

LAYERS, FILES = Limit(counter="layers", text="1"), Limit(counter="files", text="+0")


def suite_of(found: Verdict) -> ET.Element:
    """The file, read back."""
    return ET.fromstring(render_junit(found))  # noqa: S314  our own text


def kinds(found: Verdict) -> dict[str | None, list[str]]:
    """What each case holds, by its name."""
    return {case.get("name"): [child.tag for child in case] for case in suite_of(found)}


def counts(found: Verdict) -> tuple[str | None, ...]:
    suite = suite_of(found)
    return tuple(suite.get(name) for name in ("tests", "failures", "errors"))


@pytest.mark.parametrize(
    ("rows", "failures", "errors"),
    [
        (blocks(PAIR, STEADY, STEADY), "0", "0"),
        (blocks(PAIR, STEADY, SLOWER), "2", "0"),
        (blocks(PAIR, STEADY[:3], STEADY[:3]), "0", "2"),
        (blocks(PAIR, [None], [None]), "0", "2"),
    ],
)
def test_failures_are_told_from_what_has_no_answer(rows: list[dict[str, Any]], failures: str, errors: str) -> None:
    assert counts(verdict(rows)) == ("2", failures, errors)


def test_there_is_a_case_a_question_and_the_verdict_is_the_last() -> None:
    rows = [*blocks(PAIR, STEADY, STEADY), *blocks(absent(), STEADY, SLOWER)]
    found = verdict(rows, of=manifest(PAIR, absent()))
    assert list(kinds(found).items()) == [(PAIR.key, []), (absent().key, ["failure"]), ("verdict", ["failure"])]
    assert counts(found) == ("3", "2", "0")


def test_the_message_of_a_case_is_its_reason_and_of_the_verdict_its_headline() -> None:
    messages = [child.get("message") for child in suite_of(verdict(blocks(PAIR, STEADY, SLOWER))).findall("*/failure")]
    assert messages == ["slower by more than +5.0%", f"regression — {PAIR.key}: slower by more than +5.0%"]


def test_cases_and_their_suite_are_named_as_servers_group_them() -> None:
    suite = suite_of(verdict(blocks(PAIR, STEADY, STEADY)))
    assert (suite.tag, suite.get("name")) == ("testsuite", "coldstart gate")
    assert {(case.tag, case.get("classname")) for case in suite} == {("testcase", "coldstart.gate")}


def test_each_hard_limit_is_a_case_that_fails_where_it_is_passed() -> None:
    found = verdict(blocks(PAIR, STEADY, STEADY), LAYERS, FILES)
    assert kinds(found) == {
        PAIR.key: [],
        "hello/main → hello/pr: layers": ["failure"],
        "hello/main → hello/pr: files": [],
        "verdict": ["failure"],
    }
    (failure, _) = suite_of(found).findall("*/failure")
    assert failure.get("message") == "2, limit 1"


def test_a_hard_limit_of_what_is_not_known_is_an_error() -> None:
    blind = msgspec.structs.replace(PR, layers=tuple(msgspec.structs.replace(layer, files=None) for layer in PR.layers))
    found = verdict(blocks(PAIR, STEADY, STEADY), FILES, of=manifest(images=(MAIN, blind)))
    assert kinds(found)["hello/main → hello/pr: files"] == ["error"]


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Outcome.OK, []),
        (Outcome.REGRESSION, ["failure"]),
        (Outcome.INCONCLUSIVE, ["error"]),
        (Outcome.CONTAMINATED, ["error"]),
        (Outcome.INVALID, ["error"]),
    ],
)
def test_every_outcome_but_ok_is_seen_in_the_verdicts_case(outcome: Outcome, kind: list[str]) -> None:
    found = msgspec.structs.replace(verdict(blocks(PAIR, STEADY, STEADY)), outcome=outcome)
    assert kinds(found)["verdict"] == kind


UGLY = "a\x00b\x1bc\u202e<i>&\"'</testcase>]]>\n\td"
SEEN = "a�b�c�<i>&\"'</testcase>]]>  d"


def test_names_and_reasons_cannot_break_the_file() -> None:
    plain = verdict(blocks(PAIR, STEADY, SLOWER), LAYERS)
    found = msgspec.structs.replace(
        plain,
        reasons=(UGLY,),
        decisions=tuple(msgspec.structs.replace(one, name=UGLY, reason=UGLY) for one in plain.decisions),
        counters=tuple(msgspec.structs.replace(one, image=UGLY) for one in plain.counters),
    )
    suite = suite_of(found)
    assert [case.get("name") for case in suite] == [SEEN, f"{SEEN}: layers", "verdict"]
    messages = [child.get("message") for child in suite.findall("*/failure")]
    assert messages == [SEEN, "2, limit 1", f"regression — {SEEN}"]


def test_the_file_says_that_it_is_utf8_and_ends_with_a_line_end() -> None:
    text = render_junit(verdict(blocks(PAIR, STEADY, SLOWER)))
    assert text.startswith(b"<?xml version='1.0' encoding='utf-8'?>\n<testsuite ")
    assert text.endswith(b"</testsuite>\n")
    assert "—".encode() in text


def timed_rows() -> list[dict[str, Any]]:
    """Two pairs in turns; a start begins every two seconds, and the last tells 1.5 s of itself."""
    rows = [row for value in STEADY[:6] for pair in (PAIR, absent()) for row in blocks(pair, [value], [value])]
    for number, row in enumerate(rows):
        row["block"] = number // 4
        row["started_at"] = f"2026-11-24T05:{number * 2 // 60:02d}:{number * 2 % 60:02d}.000Z"
        row["prepare_ns"] = 1_500_000_000 - row["e2e_ns"]
    return rows


def test_times_are_the_seconds_that_measuring_took_and_add_up_to_the_suites() -> None:
    suite = suite_of(verdict(timed_rows(), of=manifest(PAIR, absent())))
    times = {case.get("name"): float(case.get("time") or "nan") for case in suite}
    assert times == {PAIR.key: 24.0, absent().key: 23.5, "verdict": 0.0}
    assert float(suite.get("time") or "nan") == sum(times.values())


def test_a_clock_that_was_set_back_makes_no_time_negative() -> None:
    rows = timed_rows()
    for row in rows[12:]:
        row["started_at"] = row["started_at"].replace("2026", "2025")
    assert all(float(case.get("time") or "nan") >= 0 for case in suite_of(verdict(rows, of=manifest(PAIR, absent()))))


def test_where_nothing_tells_how_long_it_took_there_is_no_time() -> None:
    suite = suite_of(msgspec.structs.replace(verdict(blocks(PAIR, STEADY, STEADY)), spent_ns={}))
    assert [element.get("time") for element in (suite, *suite)] == [None] * 3
