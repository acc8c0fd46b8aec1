"""From analysed runs to a document, and from there to a folder: ``index.html``, ``report.md``, figures."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from coldstart import __version__
from coldstart.report.calibration import calibration_section, error_rates
from coldstart.report.comparison import verdict_section
from coldstart.report.conditions import condition_sections
from coldstart.report.content import Content
from coldstart.report.document import Document, Paragraph, Part, Picture, Section
from coldstart.report.figures import draw_all, draw_waterfalls
from coldstart.report.html import render_html
from coldstart.report.labels import count_text
from coldstart.report.markdown import render_markdown
from coldstart.report.recovery import selftest_section
from coldstart.report.results import result_sections
from coldstart.store.files import make_folder, storing, write_inside

Draw = Callable[[Content], tuple[Picture, ...]]
ToPdf = Callable[[str], bytes]
INDEX, MARKDOWN, PDF = "index.html", "report.md", "report.pdf"


class ReportFiles(msgspec.Struct, frozen=True, kw_only=True):
    """What was written."""

    index: Path
    markdown: Path
    figures: tuple[Path, ...]
    pdf: Path | None = None


def compose(
    contents: Sequence[Content],
    draw: Draw = draw_all,
    draw_starts: Draw = draw_waterfalls,
    before: Sequence[Part] = (),
) -> Document:
    """The document of analysed runs, with the figures that ``draw`` makes of each and ``draw_starts`` of its starts.

    ``before`` stands in front of the runs' own parts.
    """
    parts = (*before, *(_part(content, draw(content), draw_starts(content)) for content in contents))
    title = parts[0].title if len(parts) == 1 else f"coldstart: {len(contents)} runs"
    return Document(title=title, version=__version__, parts=parts)


def write_document(document: Document, out_dir: Path, to_pdf: ToPdf | None = None) -> ReportFiles:
    """Render a document into ``out_dir``; where ``to_pdf`` prints the page, ``report.pdf`` too.

    Raises:
        StorageError: the folder cannot be written.
        UnsafeFileError: ``figures`` in it is a link.
    """
    figures: dict[str, bytes] = {}
    for part in document.parts:
        for picture in part.pictures:
            stem = f"figures/{document.figure_name(part, picture)}"
            figures[f"{stem}.svg"] = picture.svg
            figures[f"{stem}.png"] = picture.png
    page = render_html(document)
    files = {**figures, MARKDOWN: render_markdown(document).encode(), INDEX: page.encode()}
    if to_pdf is not None:
        files[PDF] = to_pdf(page)
    for name, data in files.items():
        with storing(out_dir / name, "Choose another folder with -o."):
            make_folder(out_dir)
            write_inside(out_dir, name, data)
    return ReportFiles(
        index=out_dir / INDEX,
        markdown=out_dir / MARKDOWN,
        figures=tuple(out_dir / name for name in figures),
        pdf=None if to_pdf is None else out_dir / PDF,
    )


def _part(content: Content, pictures: tuple[Picture, ...], starts: tuple[Picture, ...]) -> Part:
    manifest = content.manifest
    host = manifest.host.board or manifest.host.cpu_model or manifest.host.machine
    timed = [summary for summary in content.cells if summary.ok]
    cells = f"{len(content.cells)} {'cell' if len(content.cells) == 1 else 'cells'}"
    return Part(
        name=re.sub(r"[^A-Za-z0-9._-]", "_", manifest.run_id),
        title=f"Cold starts: {manifest.experiment.name}",
        subtitle=(
            f"Run {manifest.run_id}, started {manifest.started_at}, on {host}, {manifest.engine.name} "
            f"{manifest.engine.version}, {manifest.registry.link}: {cells}, "
            f"n = {count_text(summary.ok for summary in timed)} starts a cell."
        ),
        sections=(
            *_gate(content),
            *result_sections(content, pictures),
            *_waterfalls(starts, len(timed)),
            *([] if content.selftest is None else [selftest_section(content.selftest)]),
            *([] if content.calibration is None else [calibration_section(content.calibration)]),
            *condition_sections(content),
        ),
    )


def _gate(content: Content) -> tuple[Section, ...]:
    comparison = content.manifest.comparison
    if content.verdict is None or comparison is None:
        return ()
    rates = error_rates(content.calibration, content.verdict.rule, comparison.pairs)
    return (verdict_section(content.verdict, rates),)


def _waterfalls(starts: tuple[Picture, ...], cells: int) -> tuple[Section, ...]:
    if not starts:
        return ()
    which = "each cell" if len(starts) == cells else f"{len(starts)} of {cells} cells"
    note = Paragraph(f"One start of {which}, the one nearest its median: who did what, when, since the first request.")
    return (Section(anchor="waterfalls", title="Waterfalls", blocks=(note, *starts)),)
