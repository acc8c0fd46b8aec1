"""A report as Markdown (GitHub's), with figures beside it."""

from __future__ import annotations

import re

from coldstart.report.document import (
    Block,
    Code,
    Document,
    Facts,
    Mark,
    Notice,
    Paragraph,
    Part,
    Section,
    Table,
    TableCell,
    Tone,
)
from coldstart.text import clean, clean_lines

_SPECIAL = re.compile(r"([\\`*_\[\]|~#$])")
_BLOCK_START = re.compile(r"^(\s*\d*)([-+=.)])")


def render_markdown(document: Document) -> str:
    """The whole report; figures are linked as ``figures/<name>.svg``."""
    lines = [] if len(document.parts) == 1 else [f"# {escape(document.title)}", ""]
    for part in document.parts:
        lines += [f"# {escape(part.title)}", "", escape(part.subtitle), ""]
        for section in part.sections:
            lines += _section(document, part, section)
    lines += ["---", "", f"Written by coldstart {escape(document.version)}.", ""]
    return "\n".join(lines)


def render_section(section: Section) -> str:
    """One section by itself, without figures: for a job's summary."""
    document = Document(title=section.title, version="", parts=())
    part = Part(name="", title="", subtitle="", sections=())
    return "\n".join(_section(document, part, section))


def escape(text: str) -> str:
    """Text that Markdown shows as it is: nothing in it is markup, HTML or a link."""
    safe = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Without a scheme's slashes or an at sign nothing is made a link; the zero-width joiner cannot be seen.
    shown = _SPECIAL.sub(r"\\\1", safe)
    return shown.replace("://", ":&#8203;//").replace("www.", "www&#8203;.").replace("@", "@&#8203;")


def _section(document: Document, part: Part, section: Section) -> list[str]:
    lines = [f"## {escape(section.title)}", ""]
    for block in section.blocks:
        lines += [*_block(document, part, block), ""]
    return lines


def _block(document: Document, part: Part, block: Block) -> list[str]:
    match block:
        case Table():
            return _table(block)
        case Paragraph():
            return [_BLOCK_START.sub(r"\1\\\2", escape(block.text).lstrip())]  # a sentence is not a list
        case Notice():
            return [f"> **Note:** {escape(block.text)}"]
        case Facts():
            return [f"- **{escape(name)}**: {escape(value)}" for name, value in block.items]
        case Code():
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", block.text)), default=0))
            return [f"{fence}sh", clean_lines(block.text), fence]
        case _:
            path = f"figures/{document.figure_name(part, block)}.svg"
            title = f"**{escape(block.title)}.** {escape(block.caption)}"
            return [f"![{escape(block.alt)}]({path})", "", title]


def _table(table: Table) -> list[str]:
    rule = ["---:" if column in table.numeric else "---" for column in range(len(table.header))]
    rows = [table.header, *table.rows]
    lines = [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return [escape(table.caption), "", lines[0], f"| {' | '.join(rule)} |", *lines[1:]]


def _cell(cell: TableCell) -> str:
    if isinstance(cell, Mark):
        return escape(cell.text) if cell.tone is Tone.MUTED else f"**{escape(cell.text)}**"
    return escape(cell)
