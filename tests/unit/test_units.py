"""Durations and sizes: what people write is read exactly, and what they read fits in three digits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldstart.errors import UsageError
from coldstart.units import format_bytes, format_ns, parse_bytes, parse_duration_ns


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("7ns", 7),
        ("3us", 3_000),
        ("250ms", 250_000_000),
        ("30s", 30_000_000_000),
        ("40m", 2_400_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1.5s", 1_500_000_000),
        (" 2S ", 2_000_000_000),
        ("9007199254740993ns", 9_007_199_254_740_993),
    ],
)
def test_a_duration_is_read_to_the_nanosecond(text: str, expected_ns: int) -> None:
    assert parse_duration_ns(text) == expected_ns


@pytest.mark.parametrize("text", ["", "30", "s", "30 s", "-1s", "1s later", "1,5s", "٣s", "1e3s", "nan", "9" * 5000])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration: write a number and a unit, such as 30s"):
        parse_duration_ns(text)


@pytest.mark.parametrize("text", ["9999999999h", "9223372036854775808ns"])
def test_a_duration_beyond_64_bits_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="more than a 64-bit number holds"):
        parse_duration_ns(text)


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int, ms: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s{ms}ms"
    assert parse_duration_ns(text) == ((hours * 60 + minutes) * 60 + seconds) * 10**9 + ms * 10**6


@pytest.mark.parametrize(
    ("text", "expected_bytes"),
    [
        ("1024", 1024),
        ("7b", 7),
        ("512m", 536_870_912),
        ("512MB", 536_870_912),
        ("64Mi", 67_108_864),
        ("64MiB", 67_108_864),
        ("1.5k", 1536),
        ("2g", 2_147_483_648),
        ("3 Gi", 3_221_225_472),
    ],
)
def test_a_size_is_read_in_binary_units(text: str, expected_bytes: int) -> None:
    assert parse_bytes(text) == expected_bytes


@pytest.mark.parametrize("text", ["", "m", "-1m", "5bb", "5i", "5mbb", "5x", "1,5m", "12 m m", "inf", "9" * 5000])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size: write bytes, or a number with k, m or g"):
        parse_bytes(text)


def test_a_size_beyond_64_bits_is_refused() -> None:
    with pytest.raises(UsageError, match="more than a 64-bit number holds"):
        parse_bytes("9999999999999g")


@pytest.mark.parametrize(
    ("value_ns", "expected"),
    [
        (None, "—"),
        (0, "0 ns"),
        (999, "999 ns"),
        (999.7, "1.00 µs"),
        (1_000, "1.00 µs"),
        (12_345, "12.3 µs"),
        (999_949, "1.00 ms"),
        (9_994_000, "9.99 ms"),
        (9_996_000, "10.0 ms"),
        (180_600_000, "181 ms"),
        (-1_500_000, "-1.50 ms"),
        (2_500_000_000, "2.50 s"),
        (1_234_567_890_123, "1235 s"),
    ],
)
def test_a_time_is_shown_with_three_digits_and_its_unit(value_ns: float | None, expected: str) -> None:
    assert format_ns(value_ns) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "—"),
        (0, "0 B"),
        (999, "999 B"),
        (4_500, "4.50 kB"),
        (999_999, "1.00 MB"),
        (74_500_000, "74.5 MB"),
        (602_000_000, "602 MB"),
        (1_073_741_824, "1.07 GB"),
    ],
)
def test_a_size_is_shown_in_decimal_units(value: float | None, expected: str) -> None:
    assert format_bytes(value) == expected
