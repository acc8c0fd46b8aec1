"""Nanoseconds and bytes: constants, parsing of what people write, formatting of what they read."""

from __future__ import annotations

import re

from coldstart.errors import UsageError

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
MB = 1_000_000
MIB = 1_048_576

_DURATION_NS = {
    "ns": 1,
    "us": NS_PER_US,
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
}
_BYTES = {"b": 1, "k": 1024, "m": MIB, "g": 1024 * MIB, "ki": 1024, "mi": MIB, "gi": 1024 * MIB}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")
_BYTE_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def parse_duration_ns(text: str) -> int:
    """Turn ``"40m"``, ``"1h30m"``, ``"250ms"`` into nanoseconds.

    Raises:
        UsageError: anything else, a bare number included: a duration has a unit.
    """
    compact = text.strip().lower()
    parts = _DURATION_PART.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise UsageError(f"{text!r} is not a duration: write a number and a unit, such as 30s, 40m or 1h30m.")
    return round(sum(float(number) * _DURATION_NS[unit] for number, unit in parts))


def parse_bytes(text: str) -> int:
    """Turn Docker's (``512m``) and Kubernetes' (``64Mi``) sizes, binary units both, into bytes.

    Raises:
        UsageError: not a size.
    """
    match = _BYTE_SIZE.fullmatch(text.strip().lower())
    unit = match.group(2) if match else "?"
    if match is None or (unit.removesuffix("b") or "b") not in _BYTES:
        raise UsageError(f"{text!r} is not a size: write bytes, or a number with k, m or g (512m, 64Mi).")
    return round(float(match.group(1)) * _BYTES[unit.removesuffix("b") or "b"])


def format_ns(value_ns: float | None) -> str:
    """A time with three significant digits and its unit; an em dash for what was not observed."""
    if value_ns is None:
        return "—"
    for scale, unit in ((NS_PER_S, "s"), (NS_PER_MS, "ms"), (NS_PER_US, "µs")):
        if abs(value_ns) >= scale:
            return f"{_three_digits(value_ns / scale)} {unit}"
    return f"{value_ns:.0f} ns"


def format_bytes(value: float | None) -> str:
    """A size in decimal units, as registries and disks state them; an em dash for the unknown."""
    if value is None:
        return "—"
    for scale, unit in ((1_000_000_000, "GB"), (MB, "MB"), (1000, "kB")):
        if abs(value) >= scale:
            return f"{_three_digits(value / scale)} {unit}"
    return f"{value:.0f} B"


def _three_digits(value: float) -> str:
    decimals = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{decimals}f}"
