"""A verdict as a JUnit file: a test case a question, as CI servers show them."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from coldstart.analyse.gate import Call
from coldstart.analyse.verdict import Outcome, Verdict
from coldstart.report.comparison import headline
from coldstart.text import clean
from coldstart.units import NS_PER_S


def render_junit(verdict: Verdict) -> bytes:
    """One suite: the questions' decisions, the hard limits, and the verdict itself as the last case.

    A regression or a limit passed is a failure, anything without an answer an error. Times are seconds that measuring
    took: a pair's at its first question, since the others need no starts of their own. Without any there are none.
    """
    cases = [
        _case(decision.name, decision.reason, _KINDS[decision.call], verdict.spent_ns.get(decision.name, 0))
        for decision in verdict.decisions
    ]
    cases += [
        _case(f"{check.image}: {check.what}", f"{check.text(check.candidate)}, limit {check.text(check.bound)}", kind)
        for check in verdict.counters
        for kind in [{True: None, False: "failure", None: "error"}[check.passed]]
    ]
    cases.append(_case("verdict", headline(verdict), _VERDICTS[verdict.outcome]))
    suite = ET.Element(
        "testsuite",
        name="coldstart gate",
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
    )
    suite.extend(cases)
    if verdict.spent_ns:
        suite.set("time", _seconds(sum(verdict.spent_ns.values())))
    else:
        for case in cases:
            case.attrib.pop("time")
    ET.indent(suite)
    text: bytes = ET.tostring(suite, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


_KINDS = {Call.OK: None, Call.REGRESSION: "failure", Call.INCONCLUSIVE: "error", Call.INVALID: "error"}
_VERDICTS = {
    Outcome.OK: None,
    Outcome.REGRESSION: "failure",
    Outcome.INCONCLUSIVE: "error",
    Outcome.CONTAMINATED: "error",
    Outcome.INVALID: "error",
}


def _seconds(ns: int) -> str:
    return f"{ns / NS_PER_S:.3f}"


def _case(name: str, text: str, kind: str | None, spent_ns: int = 0) -> ET.Element:
    case = ET.Element("testcase", classname="coldstart.gate", name=clean(name), time=_seconds(spent_ns))
    if kind is not None:
        ET.SubElement(case, kind, message=clean(text))
    return case
