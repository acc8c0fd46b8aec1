"""The sections that tell what was measured, after the answers: figures, targets, cells, phases, what failed, sums."""

from __future__ import annotations

from coldstart.analyse import frames
from coldstart.analyse.cells import CellSummary
from coldstart.analyse.resources import PARTS
from coldstart.model.cell import Tier
from coldstart.model.sample import Outcome
from coldstart.model.timeline import ADDENDS, PULL_PARTS
from coldstart.report.answers import answers_section
from coldstart.report.claims import targets_section
from coldstart.report.content import Content
from coldstart.report.document import Block, Facts, Mark, Notice, Paragraph, Picture, Section, Table, TableCell, Tone
from coldstart.report.labels import PHASE_NAMES, bytes_text, failed_text, percent_text, share_name, time_text
from coldstart.units import format_bytes, format_ns

_KINDS_SHOWN = 40


def result_sections(content: Content, pictures: tuple[Picture, ...]) -> tuple[Section, ...]:
    """Everything measured, the answers first; sections with nothing to say are left out."""
    sections = (
        answers_section(content),
        Section(anchor="figures", title="Figures", blocks=pictures),
        targets_section(content),
        _cells(content),
        _phases(content),
        _pull(content),
        _resources(content),
        _untimed(content),
        _sums(content),
    )
    return tuple(section for section in sections if section.blocks)


def _cells(content: Content) -> Section:
    rows = tuple(_cell_row(content, summary) for summary in content.cells)
    header = ("cell", "tier", "n", "median", "mean", "quartiles", "failed", "repeated", "image", "readiness resolution")
    table = Table(
        caption="End-to-end of every cell: median with order-statistic interval (from n = 6), mean with Student's t "
        "interval, both 95 %.",
        header=header,
        rows=rows,
        numeric=frozenset({2, 3, 4, 5, 6, 7, 8, 9}),
    )
    return Section(anchor="cells", title="Cells", blocks=(table,) if rows else ())


def _cell_row(content: Content, summary: CellSummary) -> tuple[TableCell, ...]:
    e2e = summary.phases.get("e2e_ns")
    requeued = str(summary.requeued)
    return (
        content.labels.short(summary.cell),
        str(summary.cell.tier),
        str(summary.ok),
        time_text(e2e.median if e2e else None),
        time_text(e2e.mean if e2e else None),
        f"{format_ns(e2e.q1)} to {format_ns(e2e.q3)}" if e2e else "—",
        Mark(failed_text(summary.failed, summary.unseen), Tone.BAD) if summary.failed or summary.unseen else "0",
        Mark(f"{requeued} ({'never cold' if summary.is_never_cold else 'contaminated'})", Tone.BAD)
        if summary.contaminated
        else requeued,
        format_bytes(summary.image_unpacked_bytes),
        format_ns(summary.resolution_ns),
    )


def _phases(content: Content) -> Section:
    shown = ("pull_ns", "unpack_ns", "create_ns", "init_ns", "readiness_ns", "gap_ns", "unattributed_ns")
    timed = [summary for summary in content.cells if summary.ok]
    rows = tuple(
        (content.labels.full(summary.cell), *(_phase_text(summary, column) for column in shown)) for summary in timed
    )
    note = Paragraph(
        "Each entry is the median with its 95 % interval, then the phase's share. A share is the phase's total over "
        "all starts of the cell divided by their end-to-end total; so the shares of pull, create, init, readiness and "
        "gap add up to 100 %, while medians need not add up. Unpack lies inside pull and overlaps download. "
        "Unattributed is the time no observed leaf covers: the gap, pull's other and the uncovered part of init."
    )
    table = Table(
        caption="Phases of every cell: median (interval), share of end-to-end.",
        header=("cell", *(share_name(column) for column in shown)),
        rows=rows,
        numeric=frozenset(range(1, len(shown) + 1)),
    )
    return Section(anchor="phases", title="Phases", blocks=(note, table) if rows else ())


def _phase_text(summary: CellSummary, column: str) -> str:
    phase = summary.phases.get(column)
    if phase is None:
        return "—"
    if not phase.mean.value:
        return "none"
    return f"{time_text(phase.median)} · {percent_text(phase.share)}"


def _pull(content: Content) -> Section:
    pulled = [summary for summary in content.cells if summary.ok and summary.cell.tier is Tier.ABSENT]
    shown = ("pull_ns", *PULL_PARTS, "download_ns", "unpack_ns", "register_ns")
    rows = tuple(
        (
            content.labels.short(summary.cell),
            *(time_text(summary.median(column)).partition(" (")[0] for column in shown),
        )
        for summary in pulled
    )
    table = Table(
        caption="Pull of tier absent, medians: first its five exclusive parts, which add up to pull in every start; "
        "then download, unpack and register as unions over layers, which overlap and are never added.",
        header=("cell", *(PHASE_NAMES[column] for column in shown)),
        rows=rows,
        numeric=frozenset(range(1, len(shown) + 1)),
    )
    return Section(anchor="pull", title="Inside pull", blocks=(table,) if rows else ())


def _resources(content: Content) -> Section:
    rows = tuple(
        (
            use.runtime,
            PARTS[use.part][0],
            bytes_text(use.memory),
            "proportional share" if use.part == "engine" else "peak resident",
            time_text(use.cpu),
            str(use.memory.n),
        )
        for use in content.resources
    )
    note = Paragraph(
        "What the processes of a start took, read from the kernel as each ends, or from those that live on after the "
        "start; nothing is wrapped. A publication that gives one figure for an engine and its runtime leaves unsaid "
        "which of these it added up: the transient runtime is gone within the start, the shim stays with its container "
        "and the engine's memory is shared by all containers, so the parts are shown apart and compared part by part."
    )
    table = Table(
        caption="Memory and CPU time by part: medians with 95 % intervals over all timed starts of a runtime.",
        header=("runtime", "part", "memory", "which", "CPU time", "n"),
        rows=rows,
        numeric=frozenset({2, 4, 5}),
    )
    return Section(anchor="resources", title="Processes", blocks=(note, table) if rows else ())


_REPEATED = ", ".join(outcome for outcome in Outcome if outcome.is_requeued)


def _untimed(content: Content) -> Section:
    rows = frames.planned(content.frame)
    untimed = rows[rows["outcome"] != Outcome.OK.value]
    fallen = _fallbacks(content)
    if untimed.empty:
        blocks: tuple[Block, ...] = (Paragraph("None: every trial ended ok at its first attempt."), *fallen)
        return Section(anchor="untimed", title="Failures and repeats", blocks=blocks if len(rows) else ())
    counted: dict[tuple[str, str, str], int] = {}
    for cell, of_cell in frames.by_cell(untimed):
        for outcome, reason in zip(of_cell["outcome"], of_cell["reason"], strict=True):
            key = (content.labels.full(cell), str(outcome), str(reason) if isinstance(reason, str) else "—")
            counted[key] = counted.get(key, 0) + 1
    listed = tuple((*key, str(count)) for key, count in list(counted.items())[:_KINDS_SHOWN])
    caption = (
        f"Trials without a timing. {_REPEATED} were repeated within their block. unobserved and harness_failed say "
        "nothing about what was started; all others are failures."
    )
    if len(counted) > _KINDS_SHOWN:
        caption += f" The first {_KINDS_SHOWN} of {len(counted)} kinds are shown."
    table = Table(caption=caption, header=("cell", "outcome", "reason", "trials"), rows=listed, numeric=frozenset({3}))
    return Section(anchor="untimed", title="Failures and repeats", blocks=(table, *fallen))


def _fallbacks(content: Content) -> tuple[Block, ...]:
    """Trials that a run's best source did not see, and what became of all others because of them; spans left out."""
    notices = []
    if fallen := [sample.fallback for sample in content.samples if sample.fallback is not None]:
        notices.append(
            f"{len(fallen)} starts were not seen by the run's best source ({_few(fallen)}). A comparison never mixes "
            "sources: where most starts of every cell were seen by it, these lack the phases that need it; else the "
            "phases of all are drawn from a source that saw most."
        )
    if doubtful := [sample.left_out for sample in content.samples if sample.left_out is not None]:
        notices.append(f"{len(doubtful)} starts lack a phase whose times cannot be true ({_few(doubtful)}).")
    return tuple(Notice(text) for text in notices)


def _few(reasons: list[str]) -> str:
    return "; ".join(sorted(set(reasons))[:3])


def _sums(content: Content) -> Section:
    quality = content.quality
    addends = " + ".join(PHASE_NAMES[column] for column in ADDENDS)
    counts = (
        f"{quality.attempts}: {quality.ok} timed",
        f"{quality.requeued} repeated",
        f"{quality.failed} failed",
        *([f"{quality.unseen} not observed"] if quality.unseen else []),
    )
    items = (
        (f"end-to-end = {addends}", _holds(quality.sums_checked, quality.sums_broken)),
        ("pull = its five exclusive parts", _holds(quality.parts_checked, quality.parts_broken)),
        ("trials", ", ".join(counts)),
        ("warm-up trials, declared before the run and left out", str(quality.warmups)),
    )
    return Section(anchor="sums", title="Sums", blocks=(Facts(items),))


def _holds(checked: int, broken: int) -> str:
    if broken:
        return f"broken in {broken} of {checked} starts"
    return f"exact, to the nanosecond, in all {checked} starts" if checked else "nothing to check"
