"""Names of runs."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

_RUN_ID = re.compile(r"\d{8}T\d{6}Z-.+-[0-9a-f]{4}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def new_run_id(experiment_name: str, now: datetime, seed: int) -> str:
    """A name such as ``20261124T051530Z-article-1a2b``: sorts by time, is safe as a folder's, and is not met again.

    ``now`` is aware; its microseconds and the seed make the last four digits, so that two runs begun within one
    second differ.

    Raises:
        ValueError: ``now`` has no time zone.
    """
    if now.tzinfo is None:
        raise ValueError("a run's time needs its zone")
    at = now.astimezone(UTC)
    name = _UNSAFE.sub("-", experiment_name).strip("-.")[:64] or "run"
    mark = hashlib.sha256(f"{seed}/{at.isoformat()}".encode()).hexdigest()[:4]
    return f"{at:%Y%m%dT%H%M%SZ}-{name}-{mark}"


def is_run_id(text: str) -> bool:
    """Whether it looks like one, whether or not there is such a run."""
    return _RUN_ID.fullmatch(text) is not None
