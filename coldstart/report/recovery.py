"""How well this machine's sources find known delays again: where it is kept, and as a section."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from coldstart.analyse.recovery import ArmRecovery, Recovery, Slope, judge
from coldstart.errors import InputFileError
from coldstart.model.host import HostFacts
from coldstart.model.sample import Phase
from coldstart.model.truth import TruthRecord
from coldstart.opening import read_regular
from coldstart.report.document import Mark, Paragraph, Section, Table, TableCell, Tone
from coldstart.units import format_ns

FOLDER = "selftest"
PUBLISHED = Path("fidelity") / "recovery.json"

Record = TypeVar("Record")


class Selftest(msgspec.Struct, frozen=True, kw_only=True):
    """A selftest, judged, and where: what `bench_fidelity` publishes, and what is made of a stored selftest."""

    seed: int
    runs: int
    host: HostFacts
    recovery: Recovery


def load_selftest(results: Path, host: HostFacts) -> Selftest | None:
    """The newest selftest of this very host beside its runs, else the published one; ``None`` if there is none.

    Raises:
        InputFileError: a file is damaged.
    """
    for path in sorted((results / FOLDER).glob("*.json"), reverse=True):
        record = _read(path, TruthRecord)
        if record is not None and record.host.host_id == host.host_id and record.trials:
            recovery = judge(record.trials)
            return Selftest(seed=record.seed, runs=record.runs, host=record.host, recovery=recovery)
    published = _read(results / PUBLISHED, Selftest)
    return published if published is not None and published.host.host_id == host.host_id else None


def selftest_section(selftest: Selftest) -> Section:
    """A row a runtime and phase: what was injected there, and how it was found."""
    recovery = selftest.recovery
    places = list(dict.fromkeys((arm.runtime, arm.point) for arm in recovery.arms))
    delays = ", ".join(format_ns(delay) for delay in sorted({arm.delay_ns for arm in recovery.arms}))
    disk = selftest.host.filesystem or "an unknown filesystem"
    bounds = "every figure is" if recovery.passed else "not every figure is"
    about = Paragraph(
        f"Known delays ({delays}) were injected into real starts on this host, {selftest.runs} starts of each, seed "
        f"{selftest.seed}, source {recovery.source}, the engine's data on {disk} (coldstart selftest): {bounds} within "
        "its bound."
    )
    table = Table(
        caption="Boundaries are the worst arm's. An interval covers if it holds what was injected (those of all arms "
        "together at 95 %); leaks are other phases that may move by 3 ms or 2 % at most.",
        header=(
            "delay in",
            "spans that contain it",
            "boundary, median",
            "95th percentile",
            "intervals that cover",
            "ns found for each injected",
            "leaks within bound",
            "verdict",
        ),
        rows=tuple(_row(recovery, runtime, point) for runtime, point in places),
        numeric=frozenset(range(1, 7)),
    )
    failed = tuple(
        Paragraph(f"{len(recovery.failures)} starts failed, the first: {first}") for first in recovery.failures[:1]
    )
    title = "How well known delays are found here"
    return Section(anchor="selftest", title=title, blocks=(about, table, *failed))


def _row(recovery: Recovery, runtime: str, point: Phase) -> tuple[TableCell, ...]:
    arms = [arm for arm in recovery.arms if (arm.runtime, arm.point) == (runtime, point)]
    slopes = [slope for slope in recovery.slopes if (slope.runtime, slope.point) == (runtime, point)]
    leaks = [leak for leak in recovery.leaks if (leak.runtime, leak.point) == (runtime, point)]
    passed = all((*(arm.passed for arm in arms), *(slope.passed for slope in slopes), *(leak.passed for leak in leaks)))
    return (
        f"{point} · {runtime}",
        f"{sum(arm.contained for arm in arms)} of {sum(arm.n for arm in arms)}",
        _worst([arm.boundary_median_ns for arm in arms]),
        _worst([arm.boundary_p95_ns for arm in arms]),
        f"{sum(_covers(arm) for arm in arms)} of {len(arms)}",
        _slope_text(slopes),
        f"{sum(leak.passed for leak in leaks)} of {len(leaks)}",
        Mark("met", Tone.GOOD) if passed else Mark("missed", Tone.BAD),
    )


def _covers(arm: ArmRecovery) -> bool:
    excess = arm.excess
    return (
        excess is not None
        and excess.lower is not None
        and excess.upper is not None
        and excess.lower <= 0 <= excess.upper
    )


def _worst(errors_ns: Sequence[float]) -> str:
    worst = max(errors_ns)
    return "—" if worst == float("inf") else format_ns(worst)


def _slope_text(slopes: Sequence[Slope]) -> str:
    if not slopes:
        return "—"
    slope = slopes[0].slope
    return f"{slope.value:.3f} ({slope.lower:.3f} to {slope.upper:.3f})"


def _read(path: Path, kind: type[Record]) -> Record | None:
    try:
        return msgspec.json.decode(read_regular(path), type=kind)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise InputFileError(path, f"cannot be read: {error}.", "Remove it, or run coldstart selftest.") from error
