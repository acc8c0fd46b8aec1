"""Nanoseconds and bytes: constants, parsing of what people write, formatting of what they read."""

from __future__ import annotations

import re
from fractions import Fraction

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
_BYTES = {
    "b": 1,
    **{
        unit + tail: scale
        for unit, scale in (("k", 1024), ("m", MIB), ("g", 1024 * MIB))
        for tail in ("", "b", "i", "ib")
    },
}
_NUMBER = r"[0-9]{1,20}(?:\.[0-9]{1,20})?"
_DURATION_PART = re.compile(rf"({_NUMBER})(ns|us|ms|s|m|h)")
_BYTE_SIZE = re.compile(rf"(?P<number>{_NUMBER})\s*(?P<unit>[a-z]*)")
_MOST = 2**63 - 1  # what a 64-bit file format, clock or socket timeout holds


def parse_duration_ns(text: str) -> int:
    """Turn ``"40m"``, ``"1h30m"``, ``"250ms"`` into nanoseconds.

    Raises:
        UsageError: anything else, a bare number included: a duration has a unit.
    """
    compact = text.strip().lower()
    parts = _DURATION_PART.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise UsageError(f"{text!r} is not a duration: write a number and a unit, such as 30s, 40m or 1h30m.")
    return _storable(sum(Fraction(number) * _DURATION_NS[unit] for number, unit in parts), text)


def parse_bytes(text: str) -> int:
    """Turn Docker's (``512m``) and Kubernetes' (``64Mi``) sizes, binary units both, into bytes.

    Raises:
        UsageError: not a size.
    """
    match = _BYTE_SIZE.fullmatch(text.strip().lower())
    if match is None or (match["unit"] or "b") not in _BYTES:
        raise UsageError(f"{text!r} is not a size: write bytes, or a number with k, m or g (512m, 64Mi).")
    return _storable(Fraction(match["number"]) * _BYTES[match["unit"] or "b"], text)


def format_ns(value_ns: float | None) -> str:
    """A time with three significant digits and its unit; an em dash for what was not observed."""
    if value_ns is None:
        return "—"
    return _scaled(value_ns, ((NS_PER_S, "s"), (NS_PER_MS, "ms"), (NS_PER_US, "µs"), (1, "ns")))


def format_bytes(value: float | None) -> str:
    """A size in decimal units, as registries and disks state them; an em dash for the unknown."""
    if value is None:
        return "—"
    return _scaled(value, ((1_000_000_000, "GB"), (MB, "MB"), (1000, "kB"), (1, "B")))


def _scaled(value: float, units: tuple[tuple[int, str], ...]) -> str:
    # Rounded before unit and decimals are chosen: 999.9 µs is 1.00 ms, not 1000 µs.
    rounded = abs(float(f"{value:.3g}"))
    scale, unit = next(((scale, unit) for scale, unit in units if rounded >= scale), units[-1])
    decimals = 0 if scale == 1 or rounded / scale >= 100 else 1 if rounded / scale >= 10 else 2
    return f"{value / scale:.{decimals}f} {unit}"


def _storable(value: Fraction | int, text: str) -> int:
    if value > _MOST:
        raise UsageError(f"{text!r} is more than a 64-bit number holds; write something smaller.")
    return round(value)
