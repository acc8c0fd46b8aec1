"""Published claims against what was measured here."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from coldstart.analyse import frames
from coldstart.analyse.judging import Judgement, judge_images, judge_ratio, judge_times
from coldstart.analyse.resources import PARTS
from coldstart.decoding import decode_toml, read_named
from coldstart.discovery import catalogue_dir
from coldstart.errors import InputFileError, UnknownNameError, UsageError
from coldstart.model.image import Image
from coldstart.model.target import Publication, Statistic, Target, Verdict
from coldstart.units import parse_bytes, parse_duration_ns

TIME_METRICS = frozenset(frames.PHASE_COLUMNS)
SIZE_METRICS = frozenset({"compressed_bytes", "unpacked_bytes", "binary_bytes"})
MEMORY_METRIC = "memory_bytes"
OTHER_METRICS = frozenset({MEMORY_METRIC})
_PERCENT = re.compile(r"[0-9]+(?:\.[0-9]+)?\s*%")
_METRICS = TIME_METRICS | SIZE_METRICS | OTHER_METRICS
_SIZES = (Statistic.SIZE, Statistic.SIZE_RATIO)
_RATIOS = (Statistic.RATIO, Statistic.SIZE_RATIO)


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """One claim over all the cells it was held against; ``verdict`` is ``None`` where they disagree."""

    target: Target
    judgements: tuple[Judgement, ...]
    verdict: Verdict | None

    def count(self, verdict: Verdict) -> int:
        """How many of its judgements came out so."""
        return sum(judgement.verdict is verdict for judgement in self.judgements)


def load_targets(name: str) -> Publication:
    """The targets file ``name`` of the catalogue.

    Raises:
        UnknownNameError: the catalogue has no such file.
        InputFileError: it is not valid; the message names the file and the key.
    """
    folder = catalogue_dir("targets")
    known = {path.stem: path for path in folder.glob("*.toml")}
    if name not in known:
        raise UnknownNameError("targets file", name, known)
    return read_targets(known[name])


def read_targets(path: Path) -> Publication:
    """Read and check a targets file.

    Raises:
        InputFileError: unreadable, not TOML, an unknown or missing key, a claim that contradicts itself.
    """
    try:
        table = decode_toml(read_named(path).decode("utf-8-sig"))
        _read_units(path, table)
        publication = msgspec.convert(table, Publication)
    except OSError as error:
        raise InputFileError(path, f"cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputFileError(path, "is not UTF-8 text.", "Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise InputFileError(path, f"is not valid TOML: {error}.") from error
    except RecursionError as error:
        raise InputFileError(path, "is nested too deeply to be a targets file.") from error
    except msgspec.ValidationError as error:
        raise InputFileError(path, f"{error}.", "See benchmarks/targets/article.toml for the keys.") from error
    seen: set[str] = set()
    for number, target in enumerate(publication.target):
        where = f"{path}: target[{number}] {target.id!r}"
        if target.id in seen:
            raise InputFileError(where, "the id is used twice.", "Give each claim its own.")
        seen.add(target.id)
        _check(where, target)
    return publication


def judge(targets: Sequence[Target], frame: pd.DataFrame, images: Sequence[Image]) -> tuple[Judgement, ...]:
    """Hold every claim against every cell or image it is about: at least one judgement a claim, in the claims' order.

    ``frame`` is tidy (`coldstart.store.frames`). A claim nothing here could test gets one ``not measured`` judgement
    that says what was missing.
    """
    return tuple(judgement for target in targets for judgement in _judge_one(target, frame, images))


def overviews(judgements: Sequence[Judgement]) -> tuple[Overview, ...]:
    """One line a claim, in order of appearance."""
    by_id: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        by_id.setdefault(judgement.target.id, []).append(judgement)
    found = []
    for group in by_id.values():
        verdicts = {judgement.verdict for judgement in group}
        found.append(
            Overview(
                target=group[0].target,
                judgements=tuple(group),
                verdict=verdicts.pop() if len(verdicts) == 1 else None,
            )
        )
    return tuple(found)


def _of_memory(timed: pd.DataFrame) -> str:
    """Why a claim about memory is not judged: it is one figure, and what is observed are parts that it may add up."""
    columns = [memory for _, memory, _ in PARTS.values() if memory in timed]
    if not any(timed[column].notna().any() for column in columns):
        return "no source of this run observes the memory of processes"
    return (
        "the memory of engine, shim and OCI runtime is observed for each of them apart and that of the app not at all, "
        "and the claim does not say which of them its figure adds up"
    )


def _judge_one(target: Target, frame: pd.DataFrame, images: Sequence[Image]) -> tuple[Judgement, ...]:
    if target.statistic in _SIZES:
        return judge_images(target, images)
    timed = frames.timed(frame)
    if target.metric == MEMORY_METRIC:
        return (Judgement(target=target, verdict=Verdict.NOT_MEASURED, note=_of_memory(timed)),)
    if target.metric not in frame.columns or (len(timed) and timed[target.metric].isna().all()):
        note = f"no source of this run observes {target.metric}"
        return (Judgement(target=target, verdict=Verdict.NOT_MEASURED, note=note),)
    return judge_ratio(target, frame) if target.statistic is Statistic.RATIO else judge_times(target, frame)


def _read_units(path: Path, table: dict[str, Any]) -> None:
    """Turn limits with a unit (``"500ms"``, ``"60m"``, ``"75%"``) into ns, bytes and plain ratios, in place.

    Raises:
        InputFileError: a unit that is none, or that does not go with the metric.
    """
    found = table.get("target")
    targets = [target for target in found if isinstance(target, dict)] if isinstance(found, list) else []
    for number, target in enumerate(targets):
        limit = target.get("limit")
        if not isinstance(limit, str):
            continue
        metric, statistic = str(target.get("metric")), str(target.get("statistic"))
        if metric not in _METRICS or statistic not in set(Statistic):
            target["limit"] = 1.0  # what is wrong is the metric or the statistic, and is told as such
            continue
        try:
            target["limit"] = _with_unit(limit, metric, is_ratio=statistic in {str(one) for one in _RATIOS})
        except UsageError as error:
            where = f"{path}: target[{number}] {target.get('id')!r}: limit"
            raise InputFileError(where, str(error)) from error


def _with_unit(limit: str, metric: str, *, is_ratio: bool) -> float:
    if is_ratio:
        if not _PERCENT.fullmatch(limit.strip()):
            raise UsageError(f"{limit!r} is not a share: write a ratio such as 0.75, or 75%.")
        return float(limit.strip().removesuffix("%")) / 100
    return float(parse_duration_ns(limit) if metric.endswith("_ns") else parse_bytes(limit))


def _check(where: str, target: Target) -> None:
    metrics = SIZE_METRICS if target.statistic in _SIZES else TIME_METRICS | OTHER_METRICS
    if target.metric not in metrics:
        raise InputFileError(
            where,
            f"metric {target.metric!r} is none that {target.statistic} has.",
            f"Known: {', '.join(sorted(metrics))}.",
        )
    if not 0 < target.limit < math.inf:
        raise InputFileError(where, f"limit must be positive, not {target.limit}.")
    if target.statistic in _RATIOS and target.against is None:
        raise InputFileError(where, f"{target.statistic} needs 'against', the denominator.")
    if target.statistic not in _RATIOS and target.against is not None:
        raise InputFileError(where, f"'against' belongs to ratios, and this is a {target.statistic}.")
