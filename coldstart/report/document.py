"""A report as a tree of plain text, before it is Markdown or HTML: written once, shown in both."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec


class Tone(StrEnum):
    """How a marked word is meant; renderers choose the looks."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    MUTED = "muted"


class Mark(msgspec.Struct, frozen=True):
    """A short text with a tone, such as a verdict."""

    text: str
    tone: Tone


TableCell: TypeAlias = str | Mark


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows under a header; ``numeric`` columns are set to the right."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    numeric: frozenset[int] = frozenset()


class Paragraph(msgspec.Struct, frozen=True):
    """Running text."""

    text: str


class Notice(msgspec.Struct, frozen=True):
    """What a reader must not miss."""

    text: str


class Facts(msgspec.Struct, frozen=True):
    """Names and what is known of them."""

    items: tuple[tuple[str, str], ...]


class Code(msgspec.Struct, frozen=True):
    """Text to copy."""

    text: str


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A rendered figure; ``alt`` says in words what it shows, ``caption`` how it was made."""

    name: str
    title: str
    alt: str
    caption: str
    svg: bytes
    png: bytes


Block: TypeAlias = Table | Paragraph | Notice | Facts | Code | Picture


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A heading and what stands below it; ``anchor`` is unique within its part; ``boxed`` sets it apart."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]
    boxed: bool = False


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One run's report. ``name`` is safe in file names and anchors."""

    name: str
    title: str
    subtitle: str
    sections: tuple[Section, ...]

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """Its figures, in order."""
        return tuple(block for section in self.sections for block in section.blocks if isinstance(block, Picture))


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One report of one or more runs; ``version`` is of the coldstart that wrote it."""

    title: str
    version: str
    parts: tuple[Part, ...]

    def figure_name(self, part: Part, picture: Picture) -> str:
        """A figure's file name without suffix, unique in the report."""
        return picture.name if len(self.parts) == 1 else f"{part.name}-{picture.name}"
