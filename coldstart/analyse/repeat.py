"""A run repeated: does it agree with the one it repeats, cell by cell?"""

from __future__ import annotations

from enum import StrEnum

import msgspec
import pandas as pd

from coldstart.analyse import frames
from coldstart.analyse.compare import unpaired_ratio
from coldstart.analyse.estimate import Estimate, median_interval
from coldstart.model.cell import Cell, Tier
from coldstart.model.image import Image
from coldstart.model.run import RunManifest


class Agreement(StrEnum):
    """What a repeated cell says about the first run's; ``agrees`` if the ratio's interval includes 1."""

    AGREES = "agrees"
    FASTER = "faster"
    SLOWER = "slower"
    UNDECIDED = "undecided"  # too few starts for an interval
    NOT_COMPARABLE = "not comparable"


class CellAgreement(msgspec.Struct, frozen=True, kw_only=True):
    """One cell, end-to-end in ns, then and now.

    ``ratio`` is how many times as long it takes now, unpaired; ``None`` where one run did not time it. ``reason`` says
    why a cell is not comparable; where only the image is another, the ratio is there all the same.
    """

    cell: Cell
    then_ns: Estimate | None
    now_ns: Estimate | None
    ratio: Estimate | None
    agreement: Agreement
    reason: str | None = None


class Repetition(msgspec.Struct, frozen=True, kw_only=True):
    """A run against the one it repeats; ``differences`` are what else is not the same, in words.

    ``not_started`` counts the first run's cells that were not started this time: nobody asked for them, or they cannot
    be had here.
    """

    then_run_id: str
    now_run_id: str
    then_host: str
    now_host: str
    differences: tuple[str, ...]
    cells: tuple[CellAgreement, ...]
    not_started: int = 0
    paired: bool = False


def repetition(then: RunManifest, then_frame: pd.DataFrame, now: RunManifest, now_frame: pd.DataFrame) -> Repetition:
    """Hold a run against the one it repeats: every cell that was started again and that either of them timed.

    Both frames must be drawn from one source (`coldstart.store.frames.tidy` with a common profile).
    """
    first, second = (dict(frames.by_cell(frames.timed(frame))) for frame in (then_frame, now_frame))
    started = {cell for cell, _ in frames.by_cell(now_frame)}
    images = {(image.workload, image.variant): image for image in then.images}
    here = {(image.workload, image.variant): image for image in now.images}
    return Repetition(
        then_run_id=then.run_id,
        now_run_id=now.run_id,
        then_host=then.host.host_id,
        now_host=now.host.host_id,
        differences=_differences(then, now),
        cells=tuple(
            _agreement(
                cell,
                first.get(cell),
                second.get(cell),
                other_image=_is_other(cell, images.get(cell.image_key), here.get(cell.image_key)),
            )
            for cell in dict.fromkeys((*first, *second))
            if cell in started
        ),
        not_started=len(first.keys() - started),
    )


def _agreement(cell: Cell, then: pd.DataFrame | None, now: pd.DataFrame | None, *, other_image: bool) -> CellAgreement:
    first, second = (None if rows is None else frames.values(rows, "e2e_ns") for rows in (then, now))
    ratio = None if first is None or second is None else unpaired_ratio(first, second)
    agreement, reason = _call(ratio), None
    if ratio is None:
        reason = "not timed then" if first is None else "not timed here"
    elif other_image:
        agreement, reason = Agreement.NOT_COMPARABLE, "another image"
    return CellAgreement(
        cell=cell,
        then_ns=None if first is None else median_interval(first),
        now_ns=None if second is None else median_interval(second),
        ratio=ratio,
        agreement=agreement,
        reason=reason,
    )


def _is_other(cell: Cell, then: Image | None, now: Image | None) -> bool:
    """Whether the cell's starts are of two images; where the image is pulled, one compressed otherwise is another."""
    if then is None or now is None:
        return False
    is_pulled_otherwise = cell.tier is Tier.ABSENT and then.digest != now.digest
    return then.image_id != now.image_id or is_pulled_otherwise


def _call(ratio: Estimate | None) -> Agreement:
    if ratio is None:
        return Agreement.NOT_COMPARABLE
    if ratio.lower is None or ratio.upper is None:
        return Agreement.UNDECIDED
    if ratio.lower > 1:
        return Agreement.SLOWER
    return Agreement.FASTER if ratio.upper < 1 else Agreement.AGREES


def _differences(then: RunManifest, now: RunManifest) -> tuple[str, ...]:
    pairs: list[tuple[str, object, object]] = [
        ("host", then.host.host_id, now.host.host_id),
        ("board", then.host.board, now.host.board),
        ("CPU", then.host.cpu_model, now.host.cpu_model),
        ("kernel", then.host.kernel, now.host.kernel),
        ("engine", _engine(then), _engine(now)),
        ("platform", then.engine.platform, now.engine.platform),
        ("registry's link", then.registry.link, now.registry.link),
    ]
    runtimes = {facts.name: facts for facts in now.runtimes}
    pairs += [
        (f"runtime {facts.name}", facts.version, runtimes[facts.name].version)
        for facts in then.runtimes
        if facts.name in runtimes
    ]
    images = {(image.workload, image.variant): image for image in now.images}
    pairs += [
        (f"{what} {image.workload}/{image.variant}", before, after)
        for image in then.images
        if (other := images.get((image.workload, image.variant))) is not None
        for what, before, after in (
            ("image", image.image_id, other.image_id),
            ("manifest of image", image.digest, other.digest),
        )
    ]
    return tuple(f"{what}: {before} then, {after} now" for what, before, after in pairs if before != after)


def _engine(manifest: RunManifest) -> str:
    return f"{manifest.engine.name} {manifest.engine.version} ({manifest.engine.where})"
