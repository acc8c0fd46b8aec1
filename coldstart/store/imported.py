"""Times that somebody else measured: hyperfine's JSON, or a CSV with a column of end-to-end times."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path

import msgspec

from coldstart.decoding import UNREADABLE
from coldstart.errors import InputFileError
from coldstart.model.sample import Outcome

SUFFIXES = (".json", ".csv")
_COLUMNS = {"e2e_ns": 1, "seconds": 1_000_000_000}
"""Columns that hold a start's time, as ``coldstart export`` writes it or in seconds, and their unit in ns."""
_CELL = ("engine", "runtime", "workload", "variant", "tier", "network")
_FAILED = "A start that failed is a row whose outcome is not ok, and without a time."


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """End-to-end times of one cell in ns, and how many starts of it failed."""

    values_ns: tuple[float, ...] = ()
    failed: int = 0


class _Command(msgspec.Struct, frozen=True):
    command: str
    times: list[float]
    exit_codes: list[int | None] = []


class _Hyperfine(msgspec.Struct, frozen=True):
    results: list[_Command]


def is_importable(name: str) -> bool:
    """Whether this is a file of times, by its name, and no run."""
    return Path(name).suffix in SUFFIXES and not Path(name).is_dir()


def read_times(path: Path) -> dict[str, Times]:
    """The times of a file, by the names of what was started, in its order.

    hyperfine's ``--export-json`` has a name a command. A CSV has a header with ``e2e_ns`` or ``seconds``, and names by
    ``name`` or by the columns that ``coldstart export`` writes; rows whose ``outcome`` is not ok are failures, those
    that were repeated or are of a warm-up do not count.

    Raises:
        InputFileError: unreadable, neither format, nothing in it, or a time that is none (NaN, zero, negative); with
            its line or place.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputFileError(path, f"cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise InputFileError(path, "is not UTF-8 text.", "Name a JSON file of hyperfine's, or a CSV.") from error
    rows = _hyperfine(path, text) if path.suffix == ".json" else _csv(path, text)
    values: dict[str, list[float]] = {}
    failed: dict[str, int] = {}
    for name, time_ns in rows:
        own = values.setdefault(name, [])
        if time_ns is None:
            failed[name] = failed.get(name, 0) + 1
        else:
            own.append(time_ns)
    if not values:
        raise InputFileError(path, "holds no start.", "Measure again, or name another file.")
    return {name: Times(values_ns=tuple(own), failed=failed.get(name, 0)) for name, own in values.items()}


def _hyperfine(path: Path, text: str) -> Iterator[tuple[str, float | None]]:
    try:
        file = msgspec.json.decode(text, type=_Hyperfine)
    except UNREADABLE as error:
        raise InputFileError(
            path, f"is no export of hyperfine's: {error}.", "Write it with: hyperfine --export-json FILE"
        ) from error
    for place, one in enumerate(file.results):
        codes = one.exit_codes or [0] * len(one.times)
        if len(codes) != len(one.times):
            raise InputFileError(
                f"{path}, results[{place}]", f"has {len(one.times)} times and {len(codes)} exit codes."
            )
        for start, (seconds, code) in enumerate(zip(one.times, codes, strict=True)):
            where = f"{path}, results[{place}].times[{start}]"
            yield one.command, _positive(where, seconds, 1_000_000_000) if code == 0 else None


def _csv(path: Path, text: str) -> Iterator[tuple[str, float | None]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    header = reader.fieldnames or []
    column = next((name for name in _COLUMNS if name in header), None)
    if column is None:
        raise InputFileError(
            f"{path}, line 1", f"has no column {' or '.join(_COLUMNS)}.", "Name the column of times so."
        )
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        if None in row or None in row.values():
            raise InputFileError(where, f"has not the {len(header)} values that the header names.")
        outcome = _outcome(where, row.get("outcome") or Outcome.OK.value)
        if row.get("warmup", "").lower() in {"true", "1"} or not (outcome is Outcome.OK or outcome.is_failure):
            continue
        name = row.get("name") or "/".join(row[part] for part in _CELL if part in row) or path.stem
        yield name, _time(f"{where}, column {column}", row[column], column) if outcome is Outcome.OK else None


def _outcome(where: str, text: str) -> Outcome:
    try:
        return Outcome(text)
    except ValueError as error:
        known = ", ".join(outcome.value for outcome in Outcome)
        raise InputFileError(f"{where}, column outcome", f"{text!r} is none of {known}.") from error


def _time(where: str, text: str, column: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise InputFileError(where, f"{text!r} is no time.", _FAILED) from error
    return _positive(where, value, _COLUMNS[column])


def _positive(where: str, value: float, unit_ns: int) -> float:
    if not math.isfinite(value) or value <= 0:
        raise InputFileError(where, f"{value!r} is no positive, finite time.", _FAILED)
    return value * unit_ns
