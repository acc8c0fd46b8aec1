"""Times that somebody else measured: hyperfine's JSON, or a CSV with a column of end-to-end times."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from coldstart.decoding import UNREADABLE, read_named
from coldstart.errors import InputFileError
from coldstart.model.sample import Outcome
from coldstart.opening import is_folder

SUFFIXES = (".json", ".csv")
_COLUMNS = {"e2e_ns": 1, "seconds": 1_000_000_000}
"""Columns that hold a start's time, as ``coldstart export`` writes it or in seconds, and their unit in ns."""
_CELL = ("engine", "runtime", "workload", "variant", "tier", "network")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)\w*", re.ASCII | re.IGNORECASE)
_SHORTEST_NS, _LONGEST_NS = 1, 10**16  # no start takes less or more; beyond, figures would lose their digits
_MOST_BYTES = 256 << 20
_SHOWN = 40  # characters of a value in a message
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
    return Path(name).suffix in SUFFIXES and not is_folder(name)


def read_times(path: Path) -> dict[str, Times]:
    """The times of a file, by the names of what was started, in its order.

    hyperfine's ``--export-json`` has a name a command. A CSV has a header with ``e2e_ns`` or ``seconds``, and names by
    ``name`` or by the columns that ``coldstart export`` writes; rows whose ``outcome`` is not ok are failures, those
    that were repeated or are of a warm-up do not count.

    Raises:
        InputFileError: unreadable, neither format, nothing in it, or a time that cannot be one (NaN, zero, negative);
            with its line or place.
    """
    try:
        data = read_named(path, _MOST_BYTES)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InputFileError(path, f"cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        remedy = "Name a JSON file of hyperfine's, or a CSV."
        raise InputFileError(f"{path}, line {line}", "is not UTF-8 text.", remedy) from error
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
            path, f"is not an export of hyperfine's: {error}.", "Write it with: hyperfine --export-json FILE"
        ) from error
    for place, one in enumerate(file.results):
        codes = one.exit_codes or [0] * len(one.times)
        if len(codes) != len(one.times):
            raise InputFileError(
                f"{path}, results[{place}]", f"has {len(one.times)} times and {len(codes)} exit codes."
            )
        for start, (seconds, code) in enumerate(zip(one.times, codes, strict=True)):
            where = f"{path}, results[{place}].times[{start}]"
            yield one.command, _checked(where, seconds, 1_000_000_000) if code == 0 else None


def _csv(path: Path, text: str) -> Iterator[tuple[str, float | None]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    header = _header(path, reader)
    column = next((name for name in _COLUMNS if name in header), None)
    if column is None:
        raise InputFileError(
            f"{path}, line 1", f"has no column {' or '.join(_COLUMNS)}.", "Name the column of times so."
        )
    if repeated := [name for name in header if header.count(name) > 1]:
        raise InputFileError(
            f"{path}, line 1", f"names column {repeated[0]!r} twice.", "Give each column its own name."
        )
    for row in _rows(path, reader):
        where = f"{path}, line {reader.line_num}"
        if None in row or None in row.values():
            raise InputFileError(where, f"has not the {len(header)} values that the header names.")
        outcome = _outcome(where, row.get("outcome") or Outcome.OK.value)
        if row.get("warmup", "").lower() in {"true", "1"} or not (outcome is Outcome.OK or outcome.is_failure):
            continue
        name = row.get("name") or "/".join(row[part] for part in _CELL if part in row) or path.stem
        yield name, _time(f"{where}, column {column}", row[column], column) if outcome is Outcome.OK else None


def _header(path: Path, reader: csv.DictReader[str]) -> Sequence[str]:
    try:
        return reader.fieldnames or []
    except csv.Error as error:
        raise InputFileError(f"{path}, line {max(reader.line_num, 1)}", f"is not a line of CSV: {error}.") from error


def _rows(path: Path, reader: csv.DictReader[str]) -> Iterator[dict[str, str]]:
    """The rows; a field of more than 128 KiB is refused, as where a quote is never closed."""
    begun = reader.line_num + 1
    try:
        for row in reader:
            yield row
            begun = reader.line_num + 1
    except csv.Error as error:
        raise InputFileError(f"{path}, line {begun}", f"is not a line of CSV: {error}.") from error


def _outcome(where: str, text: str) -> Outcome:
    try:
        return Outcome(text)
    except ValueError as error:
        known = ", ".join(outcome.value for outcome in Outcome)
        raise InputFileError(f"{where}, column outcome", f"{text!r} is none of {known}.") from error


def _time(where: str, text: str, column: str) -> float:
    if not _NUMBER.fullmatch(text.strip()):
        raise InputFileError(where, f"{text[:_SHOWN]!r} is not a time.", _FAILED)
    return _checked(where, float(text), _COLUMNS[column])


def _checked(where: str, value: float, unit_ns: int) -> float:
    """The time in ns."""
    time_ns = value * unit_ns
    if not _SHORTEST_NS <= time_ns <= _LONGEST_NS:
        raise InputFileError(where, f"{value!r} is not a time between 1 ns and 116 days.", _FAILED)
    return time_ns
