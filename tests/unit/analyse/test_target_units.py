"""Limits with a unit in a targets file."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.analyse.targets import read_targets
from coldstart.errors import InputFileError
from coldstart.model.target import Conditions

BUDGET = """
title = "our board"
[[target]]
id = "ready"
claim = "ready in time"
metric = "{metric}"
statistic = "{statistic}"
limit = {limit}
{more}
"""


def read(tmp_path: Path, limit: str, metric: str = "e2e_ns", statistic: str = "median", more: str = "") -> float:
    path = tmp_path / "budgets.toml"
    path.write_text(BUDGET.format(metric=metric, statistic=statistic, limit=limit, more=more))
    (target,) = read_targets(path).target
    return target.limit


AGAINST = 'applies_to = { tier = "warm" }\nagainst = { tier = "absent" }'


@pytest.mark.parametrize(
    ("limit", "metric", "statistic", "more", "value"),
    [
        ('"500ms"', "e2e_ns", "median", "", 500e6),
        ('"1m30s"', "pull_ns", "mean", "", 90e9),
        ('"60m"', "compressed_bytes", "size", "", 60 * 1024**2),
        ('"75%"', "e2e_ns", "ratio", AGAINST, 0.75),
        ('"12.5 %"', "e2e_ns", "ratio", AGAINST, 0.125),
        ('" 75% "', "unpacked_bytes", "size_ratio", 'against = { variant = "scratch" }', 0.75),
        ('" 2s "', "init_ns", "median", "", 2e9),
        ("500", "e2e_ns", "median", "", 500),
        ("0.25", "e2e_ns", "ratio", AGAINST, 0.25),
    ],
)
def test_a_limit_is_read_with_the_unit_that_goes_with_its_metric(
    tmp_path: Path, limit: str, metric: str, statistic: str, more: str, value: float
) -> None:
    assert read(tmp_path, limit, metric, statistic, more) == value


@pytest.mark.parametrize(
    ("limit", "metric", "statistic", "more", "message"),
    [
        ('"500"', "e2e_ns", "median", "", "'500' is not a duration"),
        ('"500 parsec"', "e2e_ns", "median", "", "is not a duration"),
        ('"60m"', "e2e_ns", "ratio", AGAINST, "'60m' is not a share"),
        ('"75%"', "e2e_ns", "median", "", "is not a duration"),
        ('"500ms"', "compressed_bytes", "size", "", "is not a size"),
        ('"60m"', "compressed_bytes", "size_ratio", AGAINST, "'60m' is not a share"),
        ('"0.75"', "e2e_ns", "ratio", AGAINST, "write a ratio such as 0.75, or 75%"),
        ('"-75%"', "e2e_ns", "ratio", AGAINST, "is not a share"),
        ('"75%x"', "e2e_ns", "ratio", AGAINST, "is not a share"),
        ('"7.%"', "e2e_ns", "ratio", AGAINST, "is not a share"),
        ('"-1s"', "e2e_ns", "median", "", "is not a duration"),
        ('"nan"', "e2e_ns", "median", "", "is not a duration"),
    ],
)
def test_a_unit_that_is_none_or_of_something_else_is_refused_with_its_place(
    tmp_path: Path, limit: str, metric: str, statistic: str, more: str, message: str
) -> None:
    with pytest.raises(InputFileError, match=message) as told:
        read(tmp_path, limit, metric, statistic, more)
    assert "budgets.toml: target[0] 'ready': limit" in str(told.value)


@pytest.mark.parametrize("limit", ["nan", "-1", "0", "-0.0", '"0ms"', "inf", "-inf"])
def test_a_limit_that_nothing_could_be_held_against_is_refused(tmp_path: Path, limit: str) -> None:
    with pytest.raises(InputFileError, match="limit must be positive"):
        read(tmp_path, limit)


def test_a_share_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="limit must be positive"):
        read(tmp_path, '"0%"', statistic="ratio", more=AGAINST)


def test_the_target_that_is_wrong_is_named_by_its_place(tmp_path: Path) -> None:
    path = tmp_path / "budgets.toml"
    first = BUDGET.format(metric="e2e_ns", statistic="median", limit='"1s"', more="")
    second = BUDGET.format(metric="e2e_ns", statistic="median", limit='"1x"', more="")
    path.write_text(first + second.replace('title = "our board"', "").replace('"ready"', '"other"'))
    with pytest.raises(InputFileError, match=r"target\[1\] 'other': limit"):
        read_targets(path)


@pytest.mark.parametrize("limit", ["true", "[1]", "{ ms = 500 }"])
def test_a_limit_that_is_neither_number_nor_text_is_refused(tmp_path: Path, limit: str) -> None:
    with pytest.raises(InputFileError, match="limit"):
        read(tmp_path, limit)


def test_a_limit_has_to_be_said(tmp_path: Path) -> None:
    path = tmp_path / "budgets.toml"
    path.write_text('title = "x"\n[[target]]\nid = "a"\nclaim = "b"\nmetric = "e2e_ns"\nstatistic = "median"\n')
    with pytest.raises(InputFileError, match="limit"):
        read_targets(path)


def test_section_conditions_and_about_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "budgets.toml"
    path.write_text(BUDGET.format(metric="e2e_ns", statistic="median", limit='"1s"', more=""))
    publication = read_targets(path)
    assert (publication.about, publication.target[0].section, publication.target[0].applies_to) == (
        "",
        "",
        Conditions(),
    )


@pytest.mark.parametrize("targets", ["target = 5", "target = [5]", 'target = "500ms"', ""])
def test_targets_that_are_no_tables_are_refused(tmp_path: Path, targets: str) -> None:
    path = tmp_path / "budgets.toml"
    path.write_text(f'title = "x"\n{targets}\n')
    with pytest.raises(InputFileError, match="target"):
        read_targets(path)


@pytest.mark.parametrize(
    ("metric", "statistic", "message"),
    [("e2e", "median", "metric 'e2e' is none"), ("e2e_ns", "raito", "Invalid enum value 'raito'")],
)
def test_a_mistyped_metric_or_statistic_is_told_as_such(
    tmp_path: Path, metric: str, statistic: str, message: str
) -> None:
    with pytest.raises(InputFileError, match=message):
        read(tmp_path, '"500ms"', metric, statistic)
