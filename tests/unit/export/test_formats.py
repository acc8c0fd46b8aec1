"""What other tools get: every value as it was stored, in every format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldstart.errors import UnknownNameError
from coldstart.export.base import exporter, formats
from coldstart.export.csv import _cell as csv_cell
from coldstart.model.sample import Outcome, Sample
from coldstart.store.frames import COLUMNS, rows, tidy
from coldstart.store.reader import StoredRun
from tests.unit.factories import make_manifest, make_sample, make_trial

AWKWARD = "a, \"quoted\" 'reason'\nover two lines,\rwith 日本語, émojis 🐢 and a \t tab; =1+1"


def run_of(*samples: Sample) -> StoredRun:
    return StoredRun(path=Path("nowhere"), manifest=make_manifest(), samples=samples)


MIXED = run_of(
    make_sample(),
    make_sample(make_trial(block=1), outcome=Outcome.EXITED, reason=AWKWARD, exit_code=137),
    make_sample(make_trial(block=2, warmup=True)),
)


def export(name: str, run: StoredRun = MIXED) -> bytes:
    stream = io.BytesIO()
    exporter(name).write(run, stream)
    return stream.getvalue()


def parsed(name: str, data: bytes) -> list[dict[str, Any]]:
    if name == "csv":
        return list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    rows_of: list[dict[str, Any]] = (
        json.loads(data) if name == "json" else [json.loads(line) for line in data.decode().split("\n") if line]
    )
    return rows_of


def test_the_formats_are_found() -> None:
    assert {"csv", "json", "jsonl"} <= set(formats())


def test_an_unknown_format_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown format 'cvs'; did you mean 'csv'\?"):
        exporter("cvs")


@pytest.mark.parametrize("name", formats())
def test_every_format_says_what_it_is(name: str) -> None:
    assert len(exporter(name).DESCRIPTION) > 10


@pytest.mark.parametrize("name", ["csv", "json", "jsonl"])
def test_every_format_has_the_columns_in_their_order(name: str) -> None:
    assert list(parsed(name, export(name))[0]) == list(COLUMNS)


@pytest.mark.parametrize("name", ["csv", "json", "jsonl"])
def test_an_awkward_reason_survives_every_format(name: str) -> None:
    assert parsed(name, export(name))[1]["reason"] == AWKWARD


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_reason_survives_csv(reason: str) -> None:
    data = export("csv", run_of(make_sample(outcome=Outcome.EXITED, reason=reason)))
    assert parsed("csv", data)[0]["reason"].removeprefix("'") == reason.removeprefix("'")


@pytest.mark.parametrize("name", ["json", "jsonl"])
def test_json_has_the_rows_as_they_are(name: str) -> None:
    assert parsed(name, export(name)) == list(rows(MIXED))


def test_csv_has_every_value_as_text() -> None:
    def text(value: object) -> str:
        return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

    assert parsed("csv", export("csv")) == [{name: text(value) for name, value in row.items()} for row in rows(MIXED)]


def test_csv_lines_end_in_a_line_feed() -> None:
    assert b"\r\n" not in export("csv", run_of(make_sample(), make_sample(make_trial(block=1))))


def test_csv_has_a_line_a_sample_and_a_header() -> None:
    assert export("csv", run_of(make_sample(), make_sample(make_trial(block=1)))).count(b"\n") == 3


def test_csv_read_by_pandas_is_the_tidy_frame() -> None:
    read = pd.read_csv(io.BytesIO(export("csv")), dtype=COLUMNS)
    pd.testing.assert_frame_equal(read, tidy(MIXED))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("csv", (",".join(COLUMNS) + "\n").encode()), ("json", b"[]\n"), ("jsonl", b"")],
)
def test_a_run_without_samples_is_an_empty_table(name: str, expected: bytes) -> None:
    assert export(name, run_of()) == expected


FORMULAS = ["=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1+1"]  # noqa: RUF001  full width is meant


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_text_that_a_spreadsheet_would_compute_begins_with_an_apostrophe(formula: str) -> None:
    run = run_of(make_sample(outcome=Outcome.EXITED, reason=formula))
    assert parsed("csv", export("csv", run))[0]["reason"] == f"'{formula}"


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("name", ["json", "jsonl"])
def test_other_formats_have_the_text_as_it_is(name: str, formula: str) -> None:
    run = run_of(make_sample(outcome=Outcome.EXITED, reason=formula))
    assert parsed(name, export(name, run))[0]["reason"] == formula


def test_a_negative_number_stays_a_number() -> None:
    assert csv_cell(-5) == -5
    assert csv_cell(-0.5) == -0.5


def test_a_text_that_computes_nothing_stays_as_it_is() -> None:
    assert [csv_cell(text) for text in ("a=1", "", "'=1", "1-2")] == ["a=1", "", "'=1", "1-2"]
