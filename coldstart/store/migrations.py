"""Older schemas, step by step to the present one.

When `SCHEMA_VERSION` rises from n to n + 1, ``MIGRATIONS[n]`` is added here; no step is ever removed. A step takes the
decoded JSON of a manifest or a sample of version n and returns that of version n + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from coldstart.errors import CorruptRunError
from coldstart.model.run import SCHEMA_VERSION

Record = dict[str, Any]


class Migration(NamedTuple):
    """One step; both functions may change what they are given."""

    manifest: Callable[[Record], Record]
    sample: Callable[[Record], Record]


Registry = Mapping[int, Migration]

MIGRATIONS: Registry = {}
"""Version 1 is the first there is."""


def steps_from(version: int, registry: Registry = MIGRATIONS, *, to: int = SCHEMA_VERSION) -> tuple[Migration, ...]:
    """The steps from ``version`` to ``to``, in order; none if it is the present one.

    Raises:
        LookupError: a step is missing.
    """
    return tuple(registry[step] for step in range(version, to))


def migrated(step: Callable[[Record], Record], record: Record, where: str, remedy: str) -> Record:
    """A record after one step.

    Raises:
        CorruptRunError: the step cannot make sense of it.
    """
    try:
        return step(record)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CorruptRunError(where, f"cannot be migrated from its older schema: {error!r}.", remedy) from error
