"""A console whose styles are ours alone: no text that it prints can style, link, move the cursor or hide."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from coldstart.text import printable


class SafeConsole(Console):
    """Writes to ``file``, or where standard output or error is at that time.

    Text is never markup, and what a terminal would obey in it is shown instead.
    """

    def __init__(self, file: TextIO | None = None, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(file=file, stderr=stderr, width=width, markup=False, emoji=False, highlight=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich does, with text made harmless; what rich itself wrote to control the terminal stays as it is."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
