"""A run's name sorts, is safe, and is not met again."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldstart.store.run_id import begun, is_run_id, new_run_id

NOW = datetime(2026, 11, 24, 5, 15, 30, 123456, tzinfo=UTC)


def test_a_run_is_named_by_time_experiment_and_mark() -> None:
    assert re.fullmatch(r"20261124T051530Z-article-[0-9a-f]{4}", new_run_id("article", NOW))


def test_the_name_is_the_same_for_the_same_facts() -> None:
    assert new_run_id("article", NOW) == new_run_id("article", NOW)


def test_two_runs_of_one_second_differ_and_sort_by_their_time() -> None:
    first, second = (new_run_id("article", NOW + timedelta(microseconds=us)) for us in (0, 16))
    assert first < second


@pytest.mark.parametrize(("microsecond", "mark"), [(0, "0000"), (500_000, "8000"), (999_999, "ffff")])
def test_the_mark_is_the_fraction_of_the_second(microsecond: int, mark: str) -> None:
    assert new_run_id("article", NOW.replace(microsecond=microsecond)).endswith(f"-article-{mark}")


@pytest.mark.parametrize("names", [("zzz", "aaa"), ("a-b", "a"), ("", "-")])
def test_runs_of_one_second_are_told_in_their_order_whatever_they_are_called(names: tuple[str, str]) -> None:
    earlier, later = (new_run_id(name, NOW + timedelta(milliseconds=ms)) for ms, name in enumerate(names))
    assert begun(earlier) < begun(later)


def test_the_time_is_universal() -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    assert new_run_id("article", tokyo) == new_run_id("article", NOW)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="needs its zone"):
        new_run_id("article", datetime(2026, 11, 24))  # noqa: DTZ001  that is what is refused


@pytest.mark.parametrize("name", ["", "/", "..", "-", "日本"])
def test_an_experiment_whose_name_no_file_can_have_is_called_run(name: str) -> None:
    assert new_run_id(name, NOW).startswith("20261124T051530Z-run-")


@given(st.text(max_size=300))
def test_every_name_is_known_for_one(name: str) -> None:
    assert is_run_id(new_run_id(name, NOW))


@pytest.mark.parametrize("text", ["article", "main.toml", "20261124T051530Z", "20261124T051530Z-article", "x" * 30])
def test_another_name_is_not(text: str) -> None:
    assert not is_run_id(text)


@given(st.text(max_size=300))
def test_the_name_is_always_a_safe_file_name(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,100}", new_run_id(name, NOW))


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(1000, 1, 1)), st.integers(1, 10**6))  # noqa: DTZ001  hypothesis wants it bare
def test_names_sort_by_time(now: datetime, later_s: int) -> None:
    later = min(now, datetime(9000, 1, 1, tzinfo=UTC)) + timedelta(seconds=later_s)
    earlier = min(now, datetime(9000, 1, 1, tzinfo=UTC))
    assert new_run_id("zzz", earlier) < new_run_id("aaa", later)
