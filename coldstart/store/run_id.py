"""Names of runs."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9._-]{1,64}-[0-9a-f]{4}")
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def new_run_id(experiment_name: str, now: datetime) -> str:
    """A name such as ``20261124T051530Z-article-1f9a``: sorts by time, is safe as a folder's, and is not met again.

    ``now`` is aware; its fraction of a second, in units of 15 µs, makes the last four digits, so that two runs begun
    within one second differ and are told in their order.

    Raises:
        ValueError: ``now`` has no time zone.
    """
    if now.tzinfo is None:
        raise ValueError("a run's time needs its zone")
    at = now.astimezone(UTC)
    name = _UNSAFE.sub("-", experiment_name).strip("-.")[:64] or "run"
    return f"{at:%Y%m%dT%H%M%SZ}-{name}-{(at.microsecond << 16) // 1_000_000:04x}"


def begun(run_id: str) -> tuple[str, str]:
    """What sorts runs by the time they were begun, whatever their experiments are called."""
    second, _, rest = run_id.partition("-")
    return second, rest.rpartition("-")[2]


def is_run_id(text: str) -> bool:
    """Whether it looks like one, whether or not there is such a run; what does is safe as part of a path."""
    return _RUN_ID.fullmatch(text) is not None


def is_safe_name(text: str) -> bool:
    """Whether a run that calls itself so stays where its files belong: the name is one plain part of a path."""
    return _SAFE.fullmatch(text) is not None
