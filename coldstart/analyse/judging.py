"""One claim against one cell, pair of cells or image: the verdict, and what differs from what was claimed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import pandas as pd

from coldstart.analyse import frames
from coldstart.analyse.contrasts import BlockTimes, block_times, cell_ratio
from coldstart.analyse.estimate import Estimate, exact, mean_interval, median_interval
from coldstart.model.cell import Cell
from coldstart.model.image import Image
from coldstart.model.sample import Outcome
from coldstart.model.target import Conditions, Statistic, Target, Verdict

_FACTORS = ("engine", "runtime", "workload", "variant", "tier")
# A claim about another runtime, variant or tier is another claim; one about another engine or workload is the same
# claim under other conditions, and worth showing with the difference named. What a claim compares is never relaxed.
_RELAXED = frozenset({"engine", "workload"})


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """How a claim fared in one cell (``against`` another) or for one image (workload and variant).

    ``note`` names differences from the claim's conditions, failures left out, and why there is no verdict.
    """

    target: Target
    verdict: Verdict
    note: str
    cell: Cell | None = None
    against: Cell | None = None
    image: tuple[str, str] | None = None
    measured: Estimate | None = None


def decide(limit: float, measured: Estimate) -> Verdict:
    """Met if the whole interval is at or below ``limit``, missed if it is all above, else undecided."""
    if measured.lower is None or measured.upper is None:
        return Verdict.UNDECIDED
    if measured.upper <= limit:
        return Verdict.MET
    return Verdict.MISSED if measured.lower > limit else Verdict.UNDECIDED


def judge_times(target: Target, frame: pd.DataFrame) -> tuple[Judgement, ...]:
    """A mean or median, in every cell the claim is about."""
    groups = dict(frames.by_cell(frames.planned(frame)))
    cells = _matching(target.applies_to, groups)
    if not cells:
        return (_not_measured(target, f"no cell of this run has {describe(target.applies_to)}"),)
    return tuple(_judge_time(target, cell, groups[cell]) for cell in cells)


def judge_ratio(target: Target, frame: pd.DataFrame) -> tuple[Judgement, ...]:
    """A ratio, for every pair of cells that differ as the claim says and in nothing else.

    Ratios carry over between machines and engines, so another engine or workload is named and does not keep it from
    being judged; unless that is what the claim compares.
    """
    assert target.against is not None
    cells = [cell for cell, _ in frames.by_cell(frames.planned(frame))]
    relaxed = _RELAXED - treatment(target)
    pairs = [
        (cell, other)
        for cell in _matching(target.applies_to, cells, relaxed)
        if (other := _denominator(target, cell, cells, relaxed))
    ]
    if not pairs:
        wanted = f"{describe(target.applies_to)} against {describe(target.against)}"
        note = f"no two cells of this run are {wanted}, all else equal{_lacking(target, cells)}"
        return (_not_measured(target, note),)
    times = block_times(frame, target.metric)
    return tuple(_judge_pair(target, cell, other, times) for cell, other in pairs)


def treatment(target: Target) -> frozenset[str]:
    """The factors that a claim compares levels of: those in which its denominator differs from it."""
    if target.against is None:
        return frozenset()
    return frozenset(
        factor
        for factor in _FACTORS
        if (level := getattr(target.against, factor)) is not None and level != getattr(target.applies_to, factor)
    )


def judge_images(target: Target, images: Sequence[Image]) -> tuple[Judgement, ...]:
    """A size or a ratio of sizes, exactly, for every image the claim is about."""
    found = _matching_images(target.applies_to, images, _RELAXED - treatment(target))
    if target.against is not None:
        found = [image for image in found if _counterpart(target.against, image, images) is not None]
    if not found:
        against = f" against {describe(target.against)}" if target.against else ""
        return (_not_measured(target, f"no image of this run has {describe(target.applies_to)}{against}"),)
    return tuple(_judge_image(target, image, images) for image in found)


def _judge_time(target: Target, cell: Cell, rows: pd.DataFrame) -> Judgement:
    observed = frames.values(frames.timed(rows), target.metric)
    if not len(observed):
        ends = ", ".join(f"{count} {outcome}" for outcome, count in sorted(rows["outcome"].value_counts().items()))
        return Judgement(target=target, cell=cell, verdict=Verdict.NOT_MEASURED, note=f"no timing: {ends}")
    measured = (mean_interval if target.statistic is Statistic.MEAN else median_interval)(observed)
    differences = _differences(target.applies_to, cell)
    notes = [*differences, *_failures(rows), *_too_few(measured)]
    verdict = Verdict.NOT_ALIKE if differences else decide(target.limit, measured)
    return Judgement(
        target=target,
        cell=cell,
        measured=measured,
        verdict=verdict if target.verdict else Verdict.SHOWN,
        note="; ".join(notes),
    )


def _judge_pair(target: Target, cell: Cell, other: Cell, times: BlockTimes) -> Judgement:
    assert target.against is not None
    try:
        measured = cell_ratio(times, cell, other)
    except ValueError as error:
        return Judgement(target=target, cell=cell, against=other, verdict=Verdict.NOT_MEASURED, note=str(error))
    if measured is None:
        note = "no block timed both"
        return Judgement(target=target, cell=cell, against=other, verdict=Verdict.NOT_MEASURED, note=note)
    differences = [*_differences(target.applies_to, cell), *_differences(_denominator_of(target), other)]
    verdict = decide(target.limit, measured) if target.verdict else Verdict.SHOWN
    return Judgement(
        target=target,
        cell=cell,
        against=other,
        measured=measured,
        verdict=verdict,
        note="; ".join([*dict.fromkeys(differences), *_too_few(measured)]),
    )


def _judge_image(target: Target, image: Image, images: Sequence[Image]) -> Judgement:
    key = (image.workload, image.variant)
    compared = [image] if target.against is None else [image, _counterpart(target.against, image, images)]
    sizes = [size for one in compared if (size := getattr(one, target.metric, None))]
    if len(sizes) < len(compared):
        note = f"{target.metric} of the image is not known"
        return Judgement(target=target, image=key, verdict=Verdict.NOT_MEASURED, note=note)
    measured = exact(sizes[0] / sizes[1] if target.against is not None else sizes[0])
    verdict = decide(target.limit, measured)
    differs = target.applies_to.workload not in {None, image.workload}
    note = f"claimed for workload {target.applies_to.workload}, measured on {image.workload}" if differs else ""
    if differs and target.statistic is Statistic.SIZE:
        verdict = Verdict.NOT_ALIKE
    return Judgement(
        target=target, image=key, measured=measured, verdict=verdict if target.verdict else Verdict.SHOWN, note=note
    )


def _matching(conditions: Conditions, cells: Iterable[Cell], relaxed: frozenset[str] = _RELAXED) -> list[Cell]:
    """Cells that match wholly; if there are none, those that differ in nothing but the relaxed factors."""
    cells = list(cells)
    wholly = [cell for cell in cells if not _mismatches(conditions, cell)]
    return wholly or [cell for cell in cells if _mismatches(conditions, cell) <= relaxed]


def _mismatches(conditions: Conditions, cell: Cell) -> set[str]:
    return {
        factor
        for factor in _FACTORS
        if (wanted := getattr(conditions, factor)) is not None and wanted != getattr(cell, factor)
    }


def _lacking(target: Target, cells: Sequence[Cell]) -> str:
    """What the claim compares and this run has not: ``: it has no engine oci, and no engine containerd``."""
    assert target.against is not None
    wanted = [
        (factor, level)
        for factor in sorted(treatment(target))
        for level in (getattr(target.applies_to, factor), getattr(target.against, factor))
        if level is not None
    ]
    missing = [
        f"no {factor} {level}" for factor, level in wanted if level not in {getattr(cell, factor) for cell in cells}
    ]
    return f": it has {' and '.join(missing)}" if missing else ""


def _denominator(target: Target, cell: Cell, cells: list[Cell], relaxed: frozenset[str]) -> Cell | None:
    """The cell that is as ``against`` says and else like ``cell``; in a relaxed factor like ``cell`` if need be."""
    assert target.against is not None
    changes = {name: value for name in _FACTORS if (value := getattr(target.against, name)) is not None}
    strict = msgspec.structs.replace(cell, **changes)
    alike = msgspec.structs.replace(cell, **{k: v for k, v in changes.items() if k not in relaxed})
    return next((found for found in (strict, alike) if found in cells and found != cell), None)


def _denominator_of(target: Target) -> Conditions:
    """All the claim says of its denominator: what ``against`` changes, else what ``applies_to`` has."""
    assert target.against is not None
    stated = {name: getattr(target.against, name) or getattr(target.applies_to, name) for name in _FACTORS}
    return Conditions(**stated)


def _differences(conditions: Conditions, cell: Cell) -> list[str]:
    return [
        f"claimed for {factor} {getattr(conditions, factor)}, measured on {getattr(cell, factor)}"
        for factor in _FACTORS
        if factor in _mismatches(conditions, cell)
    ]


def _failures(rows: pd.DataFrame) -> list[str]:
    outcomes = [Outcome(outcome) for outcome in rows["outcome"]]
    kinds = {
        "failed": sum(outcome.is_failure for outcome in outcomes),
        "were not observed": sum(outcome.is_unseen for outcome in outcomes),
    }
    return [f"{count} of {len(rows)} starts {what} and are not in it" for what, count in kinds.items() if count]


def _too_few(measured: Estimate) -> list[str]:
    return [f"n = {measured.n} is too few for an interval"] if measured.lower is None else []


def _matching_images(conditions: Conditions, images: Sequence[Image], relaxed: frozenset[str]) -> list[Image]:
    """Images of the claim's workload and variant; if there are none, those of the variant it names."""
    alike = [image for image in images if conditions.variant in {None, image.variant}]
    wholly = [image for image in alike if conditions.workload in {None, image.workload}]
    return wholly or (alike if conditions.variant and "workload" in relaxed else [])


def _counterpart(against: Conditions, image: Image, images: Sequence[Image]) -> Image | None:
    wanted = (against.workload or image.workload, against.variant or image.variant)
    found = next((other for other in images if (other.workload, other.variant) == wanted), None)
    return found if found is not image else None


def describe(conditions: Conditions) -> str:
    """The conditions in words: ``runtime crun, tier warm``; ``any start`` where there are none."""
    stated = [(name, getattr(conditions, name)) for name in _FACTORS]
    return ", ".join(f"{name} {value}" for name, value in stated if value is not None) or "any start"


def _not_measured(target: Target, note: str) -> Judgement:
    return Judgement(target=target, verdict=Verdict.NOT_MEASURED, note=note)
