"""What an exporter is: a module, or an object, that writes a run's tidy table in one format."""

from __future__ import annotations

from typing import IO, Protocol, cast

from coldstart import export
from coldstart.discovery import discover, load
from coldstart.store.reader import StoredRun


class Exporter(Protocol):
    """Writes the table that `coldstart.store.frames.rows` gives, and nothing it has to compute itself."""

    DESCRIPTION: str
    """A line for the help text."""

    def write(self, run: StoredRun, stream: IO[bytes]) -> None:
        """Write ``run`` to ``stream``, as UTF-8 lines ended by a line feed; the stream stays open."""


def formats() -> tuple[str, ...]:
    """Names of the formats there are, sorted; none is imported."""
    return tuple(sorted(discover(export)))


def exporter(name: str) -> Exporter:
    """The exporter of the format ``name``.

    Raises:
        UnknownNameError: there is none; the message has the nearest.
    """
    return cast("Exporter", load(export, "format", name))
