"""A machine's error rates: kept by its class, read back or refused, and as text."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from coldstart.analyse.calibration import Bank, Calibration, calibrate, host_class
from coldstart.errors import InputFileError
from coldstart.model.cell import CellPair, Tier
from coldstart.model.host import HostFacts
from coldstart.model.rule import Rule
from coldstart.report.calibration import (
    calibration_path,
    calibration_section,
    error_rates,
    load_calibration,
    rate_text,
    summary,
)
from coldstart.report.document import Paragraph, Section, Table
from tests.unit.factories import make_cell

RULE = Rule()
CELL = "docker/runc/hello/alpine/warm/host"
RUNC = make_cell(tier=Tier.WARM)
SAME = CellPair(baseline=RUNC, candidate=RUNC)
CRUN = CellPair(baseline=RUNC, candidate=make_cell(tier=Tier.WARM, runtime="crun"))


def bank(cell: str = CELL, pairs: int = 200, slower_from: int | None = None) -> Bank:
    """Pairs that hardly differ; from ``slower_from`` on the second start takes half as long again."""
    late = pairs if slower_from is None else slower_from
    return Bank(
        cell=cell,
        baseline_ns=tuple(1e8 + n for n in range(pairs)),
        candidate_ns=tuple((1e8 + n % 7) * (1.5 if n >= late else 1) for n in range(pairs)),
        floor_ns=0.0,
        attempts=2 * pairs,
        requeued=0,
        failed=0,
    )


def calibration(*banks: Bank, name: str = "here", rule: Rule = RULE) -> Calibration:
    """What these banks tell; 200 pairs of one cell unless given."""
    return calibrate(banks or (bank(),), rule, host_class=name, version="1", runs=("r",), schema_version=1)


def write_calibration(results: Path, host: HostFacts, rule: Rule = RULE) -> None:
    """Keep `calibration` for machines like this one."""
    path = calibration_path(results, host_class(host), rule)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(calibration(name=host_class(host), rule=rule)))


def tables(section: Section) -> tuple[Table, ...]:
    return tuple(block for block in section.blocks if isinstance(block, Table))


def test_a_sentence_says_how_many_gates_of_how_many_were_wrong() -> None:
    assert summary(calibration()) == (
        "On this class of machine (here) 0 of 5 gates of a start against itself called a regression (at most 45.1%, "
        f"95 %), and 0 ended inconclusive (coldstart calibrate, on {CELL})."
    )


def test_false_alarms_and_gates_without_an_end_are_counted_over_all_cells() -> None:
    found = calibration(bank("steady"), bank("slow", 160, slower_from=0), bank("torn", 160, slower_from=5))
    assert (found.together.gates, found.together.regressions, found.together.inconclusive) == (7, 2, 0)
    assert "2 of 7 gates of a start against itself called a regression (at most 65.9%, 95 %)" in summary(found)
    (text, *_) = calibration_section(found).blocks
    assert isinstance(text, Paragraph)
    assert text.text.startswith(
        "Host class here: 2 of 7 gates of a start against itself called a regression, at most 65.9% of all (95 %); "
        "0 ended inconclusive."
    )


def test_a_rate_has_its_bound_and_none_has_too_few_pairs() -> None:
    assert rate_text(calibration().cells[0].as_shipped) == "0 of 5 (up to 45.1%)"
    assert rate_text(calibration(bank(pairs=159)).cells[0].as_shipped) == "too few pairs"


def test_a_cell_has_its_spread_its_rates_and_the_pairs_a_gate_took() -> None:
    rule, _ = tables(calibration_section(calibration()))
    assert rule.caption == "The rule at 5% tolerated, level 0.01: gates calling a regression"
    (row,) = rule.rows
    assert dict(zip(rule.header, row, strict=True)) == {
        "cell": CELL,
        "pairs": "200",
        "spread": "0.000",
        "lag-1": "+0.98",
        "as shipped": "0 of 5 (up to 45.1%)",
        "inconclusive": "0 of 5",
        "pairs a gate": "10",
        "at 0 % tolerated": "0 of 4 (up to 52.7%)",
        "with 5% injected": "0 of 4 (up to 52.7%)",
    }


def test_a_cell_with_too_few_pairs_for_a_gate_says_so() -> None:
    rule, _ = tables(calibration_section(calibration(bank(pairs=1))))
    assert rule.rows == (
        (CELL, "1", "0.000", "+0.00", "too few pairs", "0 of 0", "—", "too few pairs", "too few pairs"),
    )


def test_the_smallest_slowdown_found_is_told_for_each_look_with_its_windows() -> None:
    _, power = tables(calibration_section(calibration()))
    assert power.header == ("cell", "10 pairs", "20 pairs", "40 pairs", "80 pairs", "160 pairs")
    assert power.rows == ((CELL, "+5.0% (20)", "+5.0% (10)", "+5.0% (5)", "+5.0% (2)", "+5.0% (1)"),)


def test_a_look_that_there_are_too_few_pairs_for_finds_nothing() -> None:
    _, power = tables(calibration_section(calibration(bank(pairs=19))))
    assert power.rows == ((CELL, "+5.0% (1)", "—", "—", "—", "—"),)


def test_every_cell_has_a_row_in_both_tables_and_all_but_its_name_is_a_number() -> None:
    for table in tables(calibration_section(calibration(bank("a"), bank("b")))):
        assert [row[0] for row in table.rows] == ["a", "b"]
        assert table.numeric == set(range(1, len(table.header)))


def test_what_is_stored_is_found_by_its_host_class(tmp_path: Path) -> None:
    path = calibration_path(tmp_path, "here")
    assert path == tmp_path / "calibration" / "here.json"
    path.parent.mkdir()
    path.write_bytes(msgspec.json.encode(calibration()))
    assert load_calibration(tmp_path, "here") == calibration()
    assert load_calibration(tmp_path, "elsewhere") is None


def test_where_nothing_was_ever_stored_there_is_nothing(tmp_path: Path) -> None:
    assert load_calibration(tmp_path / "missing", "here") is None


def test_where_the_folder_is_no_folder_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "calibration").write_text("")
    assert load_calibration(tmp_path, "here") is None


@pytest.mark.parametrize("text", ["", "{", "{}", "\xff", '{"schema_version": "x"}'])
def test_a_damaged_file_is_refused_with_its_place_and_the_remedy(tmp_path: Path, text: str) -> None:
    path = calibration_path(tmp_path, "here")
    path.parent.mkdir()
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputFileError) as raised:
        load_calibration(tmp_path, "here")
    assert str(raised.value).startswith(f"{path}: cannot be read: ")
    assert str(raised.value).endswith(" Remove it, and run coldstart calibrate.")


def test_a_file_that_cannot_be_opened_is_refused_with_the_remedy(tmp_path: Path) -> None:
    calibration_path(tmp_path, "here").mkdir(parents=True)
    with pytest.raises(InputFileError, match="is not a regular file"):
        load_calibration(tmp_path, "here")


def test_the_rates_of_the_rule_and_the_runtime_are_quoted() -> None:
    assert error_rates(calibration(), Rule(), [SAME]) == summary(calibration())
    both = calibration(bank(), bank("docker/crun/hello/alpine/warm/host"))
    assert error_rates(both, Rule(), [CRUN]) == summary(both)


@pytest.mark.parametrize(
    ("rule", "pair", "words"),
    [
        (
            Rule(max_slowdown=0.0, alpha=0.2),
            SAME,
            "(tolerated +0.0%; false alarms 0.2) is wrong with docker/runc was not measured on this class of machine",
        ),
        (
            Rule(max_slowdown=0.0, alpha=0.2),
            SAME,
            "Measure it with: coldstart calibrate --max-slowdown 0% --alpha 0.2",
        ),
        (Rule(max_slowdown=0.07), SAME, "Measure it with: coldstart calibrate --max-slowdown 7%"),
        (Rule(), CRUN, "with docker/crun, docker/runc was not measured on this class of machine. Measure it with: "),
        (Rule(), CRUN, "coldstart calibrate --runtime crun,runc"),
        (Rule(looks=(10,)), SAME, "was not measured"),
        (Rule(metrics={"init": 0.1}), SAME, "(tolerated +5.0%, init +10.0%; false alarms 0.01)"),
        (Rule(cells={"warm": 0.1}), SAME, "what is tolerated of some cells or phases only is not calibrated."),
    ],
)
def test_the_rates_of_another_rule_or_runtime_are_not_quoted_in_their_place(
    rule: Rule, pair: CellPair, words: str
) -> None:
    text = error_rates(calibration(), rule, [pair])
    assert words in text
    assert "gates of a start against itself called" not in text


def test_where_nothing_is_stored_or_no_gate_fits_into_the_bank_nothing_is_quoted() -> None:
    assert error_rates(None, Rule(), [SAME]).endswith("Measure it with: coldstart calibrate")
    assert "was not measured" in error_rates(calibration(bank(pairs=20)), Rule(), [SAME])


def test_each_rule_has_a_file_of_its_own(tmp_path: Path) -> None:
    strict = Rule(max_slowdown=0.01)
    paths = {calibration_path(tmp_path, "here", rule) for rule in (None, Rule(), strict, Rule(alpha=0.2))}
    assert {path.name for path in paths} == {"here.json", "here-0.01-0.01.json", "here-0.05-0.2.json"}
    assert load_calibration(tmp_path, "here", strict) is None
