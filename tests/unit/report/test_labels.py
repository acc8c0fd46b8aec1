"""Labels: only what varies, numbers with their intervals."""

from __future__ import annotations

import pytest

from coldstart.analyse.estimate import Estimate, exact
from coldstart.model.cell import Network
from coldstart.report.labels import Labels, count_text, ratio_number, ratio_text, share_text, size_text, time_text
from tests.unit.factories import MS, make_cell

BOUNDED = Estimate(value=1.214, lower=1.18, upper=1.246, level=0.95, n=6, method="m")
UNBOUNDED = Estimate(value=12 * MS, lower=None, upper=None, level=0.95, n=5, method="m")


def test_a_cell_is_named_by_variant_and_runtime() -> None:
    assert Labels([make_cell()]).short(make_cell()) == "alpine · runc"


def test_a_factor_that_varies_is_named_too() -> None:
    host = make_cell(network=Network.HOST)
    assert Labels([make_cell(), host]).full(host) == "alpine · runc · host · absent"


def test_a_time_stands_with_its_interval() -> None:
    estimate = Estimate(value=12 * MS, lower=11 * MS, upper=13 * MS, level=0.95, n=6, method="m")
    assert time_text(estimate) == "12.0 ms (11.0 ms to 13.0 ms)"


def test_a_time_without_interval_stands_alone() -> None:
    assert time_text(UNBOUNDED) == "12.0 ms"


def test_a_lower_bound_below_zero_is_shown_as_zero() -> None:
    estimate = Estimate(value=1, lower=-5, upper=7, level=0.95, n=2, method="m")
    assert time_text(estimate) == "1 ns (0 ns to 7 ns)"


@pytest.mark.parametrize("text", [time_text, ratio_text, size_text, share_text])
def test_the_unobserved_is_a_dash(text: object) -> None:
    assert text(None) == "—"  # type: ignore[operator]


def test_a_ratio_stands_with_its_interval() -> None:
    assert ratio_text(BOUNDED) == "1.21\N{MULTIPLICATION SIGN} (1.18 to 1.25)"


def test_an_exact_ratio_stands_alone() -> None:
    assert ratio_text(exact(0.0216)) == "0.022\N{MULTIPLICATION SIGN}"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0216, "0.022"), (0.9996, "1.00"), (1.0049, "1.00"), (9.999, "10.0"), (12.34, "12.3"), (123.4, "123")],
)
def test_a_ratio_has_three_digits_correctly_rounded(value: float, text: str) -> None:
    assert ratio_number(value) == text


@pytest.mark.parametrize(("counts", "text"), [([], "0"), ([20, 20], "20"), ([19, 20], "19 to 20")])
def test_counts_are_one_number_or_a_range(counts: list[int], text: str) -> None:
    assert count_text(counts) == text
