"""A machine's error rates: where they are kept, and as text."""

from __future__ import annotations

from pathlib import Path

import msgspec

from coldstart.analyse.calibration import Calibration, CellCalibration, PowerPoint, Rates
from coldstart.errors import InputFileError
from coldstart.opening import read_regular
from coldstart.report.document import Block, Paragraph, Section, Table

FOLDER = "calibration"


def calibration_path(results: Path, host_class: str) -> Path:
    """The file of a host class, in the folder that holds its runs."""
    return results / FOLDER / f"{host_class}.json"


def load_calibration(results: Path, host_class: str) -> Calibration | None:
    """What is stored of a host class; ``None`` if nothing is.

    Raises:
        InputFileError: the file is damaged.
    """
    path = calibration_path(results, host_class)
    try:
        return msgspec.json.decode(read_regular(path), type=Calibration)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise InputFileError(path, f"cannot be read: {error}.", "Remove it, and run coldstart calibrate.") from error


def summary(calibration: Calibration) -> str:
    """How often this machine's gate is wrong, in a sentence."""
    rates = calibration.together
    return (
        f"On this class of machine ({calibration.host_class}) {rates.regressions} of {rates.gates} gates of a start "
        f"against itself called a regression (at most {rates.upper:.1%}, 95 %), and {rates.inconclusive} ended "
        "inconclusive (coldstart calibrate)."
    )


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
