"""A machine's error rates: kept by its class, read back or refused, and as text."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from coldstart.analyse.calibration import Bank, Calibration, calibrate, host_class
from coldstart.errors import InputFileError
from coldstart.model.host import HostFacts
from coldstart.model.rule import Rule
from coldstart.report.calibration import calibration_path, calibration_section, load_calibration, rate_text, summary
from coldstart.report.document import Paragraph, Section, Table


def bank(cell: str = "cell", pairs: int = 200, slower_from: int | None = None) -> Bank:
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


def calibration(*banks: Bank, name: str = "here") -> Calibration:
    """What these banks tell; 200 pairs of one cell unless given."""
    return calibrate(banks or (bank(),), Rule(), host_class=name, version="1", runs=("r",), schema_version=1)


def write_calibration(results: Path, host: HostFacts) -> None:
    """Keep `calibration` for machines like this one."""
    path = calibration_path(results, host_class(host))
    path.parent.mkdir(parents=True)
    path.write_bytes(msgspec.json.encode(calibration(name=host_class(host))))


def tables(section: Section) -> tuple[Table, ...]:
    return tuple(block for block in section.blocks if isinstance(block, Table))


def test_a_sentence_says_how_many_gates_of_how_many_were_wrong() -> None:
    assert summary(calibration()) == (
        "On this class of machine (here) 0 of 5 gates of a start against itself called a regression (at most 45.1%, "
        "95 %), and 0 ended inconclusive (coldstart calibrate)."
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
        "cell": "cell",
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
        ("cell", "1", "0.000", "+0.00", "too few pairs", "0 of 0", "—", "too few pairs", "too few pairs"),
    )


def test_the_smallest_slowdown_found_is_told_for_each_look_with_its_windows() -> None:
    _, power = tables(calibration_section(calibration()))
    assert power.header == ("cell", "10 pairs", "20 pairs", "40 pairs", "80 pairs", "160 pairs")
    assert power.rows == (("cell", "+5.0% (20)", "+5.0% (10)", "+5.0% (5)", "+5.0% (2)", "+5.0% (1)"),)


def test_a_look_that_there_are_too_few_pairs_for_finds_nothing() -> None:
    _, power = tables(calibration_section(calibration(bank(pairs=19))))
    assert power.rows == (("cell", "+5.0% (1)", "—", "—", "—", "—"),)


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
