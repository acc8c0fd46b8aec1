"""A repeated run against the first one, as blocks of text."""

from __future__ import annotations

from coldstart.analyse.repeat import Agreement, CellAgreement, Repetition
from coldstart.report.document import Block, Mark, Paragraph, Section, Table, Tone
from coldstart.report.labels import ratio_text, time_text

_TONES = {
    Agreement.AGREES: Tone.GOOD,
    Agreement.FASTER: Tone.WARN,
    Agreement.SLOWER: Tone.WARN,
    Agreement.UNDECIDED: Tone.WARN,
    Agreement.NOT_COMPARABLE: Tone.WARN,
}


def repetition_section(found: Repetition) -> Section:
    """A row a cell, and what is not the same as it was."""
    table = Table(
        caption="End-to-end, unpaired: median then and now (95 % intervals), and how many times as long it takes now",
        header=("cell", "then", "now", "now / then", "agreement"),
        numeric=frozenset({1, 2, 3}),
        rows=tuple(
            (line.cell.key, time_text(line.then_ns), time_text(line.now_ns), ratio_text(line.ratio), _mark(line))
            for line in found.cells
        ),
    )
    hosts = (
        f"on the same host {found.now_host}"
        if found.then_host == found.now_host
        else f"on host {found.now_host}, then on {found.then_host}"
    )
    notes: list[Block] = [
        Paragraph(
            f"Run {found.now_run_id} repeats {found.then_run_id}, {hosts}. A cell agrees where the interval of the "
            "ratio includes 1. Nothing ties the two runs' starts to one another: this is weaker than a comparison "
            "within one run, and few starts agree easily."
        )
    ]
    if found.not_started:
        notes.append(Paragraph(f"{found.not_started} of its cells were not started this time, and are not shown."))
    if found.differences:
        notes.append(Paragraph("Not as it was: " + "; ".join(found.differences) + "."))
    return Section(anchor="repetition", title=f"Repetition of {found.then_run_id}", blocks=(table, *notes))


def _mark(line: CellAgreement) -> Mark:
    reason = "" if line.reason is None else f": {line.reason}"
    return Mark(f"{line.agreement}{reason}", _TONES[line.agreement])
