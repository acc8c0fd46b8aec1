"""Where tables are printed: a terminal as wide as it is, anything else wide enough for a line a row."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 140  # columns, where the output is no terminal


def stdout_console() -> Console:
    """A console on standard output."""
    from rich.console import Console  # noqa: PLC0415  30 ms that only a command with tables needs to pay

    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
