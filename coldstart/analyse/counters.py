"""The hard tier: what is the same in every start, bytes, files and layers of an image, judged exactly at n = 1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

import msgspec

from coldstart.errors import UsageError
from coldstart.model.image import Image
from coldstart.units import format_bytes, parse_bytes

_PERCENT = re.compile(r"\+(\d+(?:\.\d+)?)\s*%")

COUNTERS: dict[str, tuple[str, str]] = {
    "pull-bytes": ("compressed_bytes", "bytes pulled"),
    "unpacked-bytes": ("unpacked_bytes", "bytes unpacked"),
    "files": ("files", "files"),
    "layers": ("layers", "layers"),
}
"""By the name in ``--max-NAME``: the image's attribute, and what it is called."""


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """``text`` as it was said: ``+5%`` or ``+3`` more than the baseline's, or at most ``50m``."""

    counter: str
    text: str

    def bound(self, baseline: int) -> int:
        """The most that is allowed where the baseline has so many; whole numbers, rounded down.

        Raises:
            UsageError: ``text`` is no limit.
        """
        percent = _PERCENT.fullmatch(self.text.strip())
        try:
            if percent is not None:
                return int(baseline * (1 + Fraction(percent[1]) / 100))
            if self.text.strip().startswith("+"):
                return baseline + self._amount(self.text.strip()[1:])
            return self._amount(self.text)
        except UsageError as error:
            raise UsageError(
                f"--max-{self.counter} {self.text!r}: write how much more than the baseline's (+5%, +3, +1m), or the "
                "most it may be (50m)."
            ) from error

    def _amount(self, text: str) -> int:
        if self.counter.endswith("bytes"):
            return parse_bytes(text)
        if not text.strip().isdecimal():
            raise UsageError(f"{text!r} is not a count")
        return int(text)


class CounterCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One counter of one image against its limit.

    ``None`` is what the image does not tell; ``passed`` is then ``None`` too, which is never a pass.
    """

    image: str
    counter: str
    what: str
    baseline: int | None
    candidate: int | None
    limit: str
    bound: int | None
    passed: bool | None

    def text(self, value: int | None) -> str:
        """A value of this counter, with its unit."""
        return format_bytes(value) if self.counter.endswith("bytes") else "—" if value is None else str(value)


def check_counters(
    images: Mapping[str, tuple[Image | None, Image | None]], limits: tuple[Limit, ...]
) -> tuple[CounterCheck, ...]:
    """Every limit for every pair of images (baseline, candidate), by the pair's name; ``None`` is an unknown image.

    Raises:
        UsageError: a limit's text is none.
    """
    return tuple(_check(name, *pair, limit) for name, pair in images.items() for limit in limits)


def _check(name: str, baseline: Image | None, candidate: Image | None, limit: Limit) -> CounterCheck:
    attribute, what = COUNTERS[limit.counter]
    before, after = _count(baseline, attribute), _count(candidate, attribute)
    is_relative = limit.text.strip().startswith("+")
    bound = None if is_relative and before is None else limit.bound(before or 0)
    return CounterCheck(
        image=name,
        counter=limit.counter,
        what=what,
        baseline=before,
        candidate=after,
        limit=limit.text,
        bound=bound,
        passed=None if after is None or bound is None else after <= bound,
    )


def _count(image: Image | None, attribute: str) -> int | None:
    if image is None:
        return None
    value = getattr(image, attribute)
    if attribute == "layers":
        return len(value) or None
    assert value is None or isinstance(value, int)
    return value
