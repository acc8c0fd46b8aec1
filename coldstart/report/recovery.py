"""How well this machine's sources find known delays again: where it is kept, in words, and as a section."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from coldstart.analyse.recovery import Claim, Kind, Recovery, State, judge
from coldstart.decoding import UNREADABLE
from coldstart.errors import InputFileError
from coldstart.model.host import HostFacts
from coldstart.model.sample import Phase
from coldstart.model.truth import TruthRecord, TruthTrial
from coldstart.opening import read_regular
from coldstart.report.document import Mark, Paragraph, Section, Table, Tone
from coldstart.units import NS_PER_S, format_ns

FOLDER = "selftest"
PUBLISHED = Path("fidelity") / "recovery.json"
_TRIALS = "recovery-trials.json"

HEADER = (
    "spans that contain it",
    "boundary, median",
    "later than its limit",
    "beyond the injected, worst",
    "ns found for each injected",
    "leaks within bound",
    "verdict",
)
_TONES = {State.MET: Tone.GOOD, State.MISSED: Tone.BAD, State.UNDECIDED: Tone.WARN}

Record = TypeVar("Record")


class Selftest(msgspec.Struct, frozen=True, kw_only=True):
    """A selftest, judged, and where: what `bench_fidelity` publishes, and what is made of a stored selftest."""

    seed: int
    runs: int
    host: HostFacts
    recovery: Recovery


class ToDecide(msgspec.Struct, frozen=True, kw_only=True):
    """What would decide an undecided selftest: starts in all, how long they take, and the command that makes them."""

    starts: int
    seconds: float
    command: str


@dataclass(frozen=True, kw_only=True)
class SummaryRow:
    """All bounds of one injector: ``cells`` are those of `HEADER` but for the verdict."""

    point: Phase
    cells: tuple[str, ...]
    state: State


def load_selftest(results: Path, host: HostFacts) -> Selftest | None:
    """The newest selftest of this very host beside its runs, else the published one; ``None`` if there is none.

    A published one that was judged by an earlier version, arm by arm, is judged anew from the trials beside it.

    Raises:
        InputFileError: a file is damaged.
    """
    for path in sorted((results / FOLDER).glob("*.json"), reverse=True):
        record = _read(path, TruthRecord)
        if record is not None and record.host.host_id == host.host_id and record.trials:
            recovery = judge(record.trials, record.looks, record.planned_looks)
            return Selftest(seed=record.seed, runs=record.runs, host=record.host, recovery=recovery)
    published = _read(results / PUBLISHED, Selftest)
    if published is None or published.host.host_id != host.host_id:
        return None
    if published.recovery.claims:
        return published
    trials = _read((results / PUBLISHED).with_name(_TRIALS), list[TruthTrial])
    anew: Selftest | None = msgspec.structs.replace(published, recovery=judge(trials)) if trials else None
    return anew


def to_decide(recovery: Recovery, *, measured_ns: int, set_up_ns: int, arguments: Sequence[str]) -> ToDecide | None:
    """What would decide it, at the pace of this run; ``None`` where nothing is undecided, or it cannot be said.

    The command has a tenth of the time to spare.
    """
    if recovery.starts_needed is None:
        return None
    seconds = (recovery.starts_needed * measured_ns / recovery.starts + set_up_ns) / NS_PER_S
    budget = f"{math.ceil(seconds * 1.1 / 60) + 1}m"
    command = ["coldstart", "selftest", *arguments, "--runs", str(recovery.blocks_needed), "--budget", budget]
    return ToDecide(starts=recovery.starts_needed, seconds=seconds, command=shlex.join(command))


def selftest_section(selftest: Selftest) -> Section:
    """A row for each injector: what was injected there, and how it was found."""
    recovery = selftest.recovery
    delays = ", ".join(
        format_ns(delay)
        for delay in sorted({claim.delay_ns for claim in recovery.claims if claim.delay_ns is not None})
    )
    disk = selftest.host.filesystem or "an unknown filesystem"
    about = Paragraph(
        f"Known delays ({delays}) were injected into real starts on this host by {' and '.join(recovery.runtimes)}, "
        f"{recovery.starts} starts, seed {selftest.seed}, source {recovery.source}, the engine's data on {disk} "
        f"(coldstart selftest): {_in_words(recovery)}."
    )
    table = Table(
        caption="A bound is met if the whole interval lies within it (each side errs with 5 % at most, all looks "
        "together), missed if it surely lies outside (1 % for all bounds together), else undecided.",
        header=("delay in", *HEADER),
        rows=tuple((str(row.point), *row.cells, Mark(row.state, _TONES[row.state])) for row in summary_rows(recovery)),
        numeric=frozenset(range(1, 7)),
    )
    open_ends = tuple(
        Paragraph(f"{state}: {claim_text(claim)}.")
        for state in (State.MISSED, State.UNDECIDED)
        for claim in recovery.of(state)
    )
    failed = tuple(
        Paragraph(f"{len(recovery.failures)} starts failed, the first: {first}") for first in recovery.failures[:1]
    )
    title = "How well known delays are found here"
    return Section(anchor="selftest", title=title, blocks=(about, table, *open_ends, *failed))


def summary_rows(recovery: Recovery) -> tuple[SummaryRow, ...]:
    """One row for each injector."""
    return tuple(_row(recovery, point) for point in dict.fromkeys(claim.point for claim in recovery.claims))


def claim_text(claim: Claim) -> str:
    """One bound in words: what was found, its interval, and what is allowed."""
    place = {
        Kind.CONTAINED: f"spans that contain a delay in {claim.point}",
        Kind.BOUNDARY: f"boundary error of {claim.point}, median",
        Kind.TAIL: f"starts whose boundary of {claim.point} is off by more than {format_ns(claim.limit_ns)}",
        Kind.EXCESS: f"{claim.point} beyond the {format_ns(claim.delay_ns)} injected",
        Kind.SLOPE: f"ns found in {claim.point} for each injected",
        Kind.LEAK: f"a delay in {claim.point} moved {claim.phase}",
    }[claim.kind]
    return f"{place}: {_found(claim)}, allowed {_allowed(claim)}"


def _in_words(recovery: Recovery) -> str:
    total = len(recovery.claims)
    counts = [(len(recovery.of(state)), state) for state in (State.MISSED, State.UNDECIDED)]
    said = ", ".join(f"{count} {state}" for count, state in counts if count)
    return (
        f"all {total} bounds are met" if recovery.state is State.MET else f"of {total} bounds, {said or 'none is met'}"
    )


def _row(recovery: Recovery, point: Phase) -> SummaryRow:
    claims = [claim for claim in recovery.claims if claim.point is point]
    by_kind = {kind: [claim for claim in claims if claim.kind is kind] for kind in Kind}
    leaks = by_kind[Kind.LEAK]
    excesses = [claim for claim in by_kind[Kind.EXCESS] if claim.estimate is not None]
    worst = max(excesses, key=lambda claim: abs(claim.estimate.value) if claim.estimate else 0.0, default=None)
    states = {claim.state for claim in claims}
    state = next((one for one in (State.MISSED, State.UNDECIDED) if one in states), State.MET)
    return SummaryRow(
        point=point,
        cells=(
            *(_cell(by_kind[kind]) for kind in (Kind.CONTAINED, Kind.BOUNDARY, Kind.TAIL)),
            "—" if worst is None else _found(worst),
            _cell(by_kind[Kind.SLOPE]),
            f"{sum(leak.state is State.MET for leak in leaks)} of {len(leaks)}",
        ),
        state=state,
    )


def _cell(claims: Sequence[Claim]) -> str:
    return _found(claims[0]) if claims else "—"


def _found(claim: Claim) -> str:
    """The estimate with its interval, in the kind's own unit."""
    found = claim.estimate
    if found is None:
        return "—"
    if claim.kind is Kind.CONTAINED:
        return f"{round(found.value * found.n)} of {found.n}"
    if claim.kind is Kind.TAIL:
        return f"{round(found.value * found.n)} of {found.n} (at most {found.upper:.1%})"
    if found.lower is None or found.upper is None:
        return f"{_number(claim, found.value)} (too few starts for an interval)"
    return f"{_number(claim, found.value)} ({_number(claim, found.lower)} to {_number(claim, found.upper)})"


def _allowed(claim: Claim) -> str:
    if claim.kind is Kind.CONTAINED:
        return "all"
    if claim.kind is Kind.TAIL:
        return f"{claim.high:.0%}"
    if claim.kind is Kind.BOUNDARY:
        return _number(claim, claim.high)
    return f"{_number(claim, claim.low)} to {_number(claim, claim.high)}"


def _number(claim: Claim, value: float | None) -> str:
    if value is None:
        return "—"
    if claim.kind is Kind.SLOPE:
        return f"{value:.3f}"
    if claim.kind is Kind.BOUNDARY:
        return format_ns(value)
    return ("-" if value < 0 else "+") + format_ns(abs(value))


def _read(path: Path, kind: type[Record]) -> Record | None:
    try:
        return msgspec.json.decode(read_regular(path), type=kind)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, *UNREADABLE) as error:
        raise InputFileError(path, f"cannot be read: {error}.", "Remove it, or run coldstart selftest.") from error
