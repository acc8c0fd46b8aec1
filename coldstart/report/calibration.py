"""A machine's error rates: where they are kept, and as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from coldstart.analyse.calibration import Calibration, CellCalibration, PowerPoint, Rates
from coldstart.decoding import UNREADABLE
from coldstart.errors import InputFileError
from coldstart.model.cell import CellPair
from coldstart.model.rule import Rule
from coldstart.opening import read_regular
from coldstart.report.document import Block, Paragraph, Section, Table
from coldstart.report.labels import rule_text

FOLDER = "calibration"


def calibration_path(results: Path, host_class: str, rule: Rule | None = None) -> Path:
    """The file of a host class and a rule (a gate's default one), in the folder that holds its runs."""
    plain, asked = Rule(), rule or Rule()
    is_plain = (asked.max_slowdown, asked.alpha) == (plain.max_slowdown, plain.alpha)
    own = "" if is_plain else f"-{asked.max_slowdown:g}-{asked.alpha:g}"
    return results / FOLDER / f"{host_class}{own}.json"


def load_calibration(results: Path, host_class: str, rule: Rule | None = None) -> Calibration | None:
    """What is stored of a host class by a rule (a gate's default one); ``None`` if nothing is.

    Raises:
        InputFileError: the file is damaged.
    """
    path = calibration_path(results, host_class, rule)
    try:
        return msgspec.json.decode(read_regular(path), type=Calibration)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, *UNREADABLE) as error:
        raise InputFileError(path, f"cannot be read: {error}.", "Remove it, and run coldstart calibrate.") from error


def summary(calibration: Calibration) -> str:
    """How often this machine's gate is wrong, in a sentence."""
    rates = calibration.together
    return (
        f"On this class of machine ({calibration.host_class}) {rates.regressions} of {rates.gates} gates of a start "
        f"against itself called a regression (at most {rates.upper:.1%}, 95 %), and {rates.inconclusive} ended "
        f"inconclusive (coldstart calibrate, on {', '.join(cell.cell for cell in calibration.cells)})."
    )


def error_rates(calibration: Calibration | None, rule: Rule, pairs: Sequence[CellPair]) -> str:
    """How often a gate of these pairs by this rule is wrong on this machine, or that it was not measured.

    Rates are those of a rule, an engine and a runtime: those of others are not quoted in their place.
    """
    treatments = {(cell.engine, cell.runtime) for pair in pairs for cell in (pair.baseline, pair.candidate)}
    if calibration is not None and calibration.rule == rule and all(_has(calibration, one) for one in treatments):
        return summary(calibration)
    names = ", ".join(sorted("/".join(one) for one in treatments))
    unknown = (
        f"How often a gate by this rule ({rule_text(rule)}) is wrong with {names} was not measured on this class of "
        "machine"
    )
    if rule.cells or rule.metrics:
        return f"{unknown}; what is tolerated of some cells or phases only is not calibrated."
    return f"{unknown}. Measure it with: {_command(rule, {runtime for _, runtime in treatments})}"


def _has(calibration: Calibration, treatment: tuple[str, str]) -> bool:
    return any(cell.cell.startswith(f"{'/'.join(treatment)}/") and cell.as_shipped.gates for cell in calibration.cells)


def _command(rule: Rule, runtimes: set[str]) -> str:
    plain, parts = Rule(), ["coldstart calibrate"]
    if runtimes != {"runc"}:
        parts.append(f"--runtime {','.join(sorted(runtimes))}")
    if rule.max_slowdown != plain.max_slowdown:
        parts.append(f"--max-slowdown {100 * rule.max_slowdown:.10g}%")
    if rule.alpha != plain.alpha:
        parts.append(f"--alpha {rule.alpha:g}")
    return " ".join(parts)


def calibration_section(calibration: Calibration) -> Section:
    """How often the gate is wrong on this class of machine, and what it finds."""
    rule, together = calibration.rule, calibration.together
    blocks: tuple[Block, ...] = (
        Paragraph(
            f"Host class {calibration.host_class}: {together.regressions} of {together.gates} gates of a start against "
            f"itself called a regression, at most {together.upper:.1%} of all (95 %); {together.inconclusive} ended "
            f"inconclusive. Gates follow one another over the banked pairs and do not overlap."
        ),
        Table(
            caption=f"The rule at {rule.max_slowdown:.0%} tolerated, level {rule.alpha:g}: gates calling a regression",
            header=(
                "cell",
                "pairs",
                "spread",
                "lag-1",
                "as shipped",
                "inconclusive",
                "pairs a gate",
                "at 0 % tolerated",
                f"with {rule.max_slowdown:.0%} injected",
            ),
            numeric=frozenset(range(1, 9)),
            rows=tuple(_row(cell) for cell in calibration.cells),
        ),
        Table(
            caption="The smallest slowdown that a look finds in 95 % of windows",
            header=("cell", *(f"{look} pairs" for look in rule.looks)),
            numeric=frozenset(range(1, 1 + len(rule.looks))),
            rows=tuple((cell.cell, *(_power(point) for point in cell.power)) for cell in calibration.cells),
        ),
    )
    return Section(anchor="calibration", title="How often the gate is wrong here", blocks=blocks)


def rate_text(rates: Rates) -> str:
    """``0 of 48 (up to 6.1 %)``."""
    return f"{rates.regressions} of {rates.gates} (up to {rates.upper:.1%})" if rates.gates else "too few pairs"


def _row(cell: CellCalibration) -> tuple[str, ...]:
    shipped = cell.as_shipped
    return (
        cell.cell,
        str(cell.pairs),
        f"{cell.spread:.3f}",
        f"{cell.autocorrelation:+.2f}",
        rate_text(shipped),
        f"{shipped.inconclusive} of {shipped.gates}",
        "—" if shipped.median_pairs is None else f"{shipped.median_pairs:.0f}",
        rate_text(cell.without_tolerance),
        rate_text(cell.at_limit),
    )


def _power(point: PowerPoint) -> str:
    return "—" if point.slowdown is None else f"{point.slowdown:+.1%} ({point.windows})"
