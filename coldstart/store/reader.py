"""Run directories read back: everything is checked, and what cannot be trusted is an error that names its line."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from coldstart.decoding import UNREADABLE
from coldstart.errors import CorruptRunError, InputFileError, UsageError
from coldstart.model.run import SCHEMA_VERSION, RunManifest
from coldstart.model.sample import Sample
from coldstart.opening import RECORD_BYTES, read_regular
from coldstart.store.lines import LineChecker, NotJsonError, set_aside_remedy
from coldstart.store.migrations import MIGRATIONS, Migration, Record, Registry, migrated, steps_from
from coldstart.store.run_id import begun, is_safe_name

MANIFEST_NAME = "run.json"
SAMPLES_NAME = "samples.jsonl"
SET_ASIDE_NAME = "samples.set-aside.jsonl"
DEFAULT_RESULTS = Path("results")

_RESTORE = "Restore the file from a copy, or measure again."


class StoredRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run as stored; ``samples`` in the order they were measured.

    ``repaired`` says what had to be put right to read it (a sentence), ``None`` if nothing had to.
    """

    path: Path
    manifest: RunManifest
    samples: tuple[Sample, ...]
    repaired: str | None = None


class Manifest(NamedTuple):
    """A manifest brought to the present schema, and the version it was stored in."""

    manifest: RunManifest
    stored_version: int


class SampleFile(NamedTuple):
    """The samples of a file, how many of its bytes hold them, and what was wrong with the rest."""

    samples: tuple[Sample, ...]
    good_bytes: int
    repaired: str | None


def open_run(
    path_or_id: str | os.PathLike[str], results_dir: Path = DEFAULT_RESULTS, migrations: Registry = MIGRATIONS
) -> StoredRun:
    """Read a run, given its folder or its ID under ``results_dir``. Nothing on disk is changed.

    Raises:
        UsageError: there is no such run; the message has the nearest ones.
        CorruptRunError: it cannot be trusted, or was written by a newer coldstart.
        InputFileError: a file cannot be read.
    """
    path = find_run(path_or_id, results_dir)
    manifest, stored_version = read_manifest(path, migrations)
    file = read_samples(path, manifest.run_id, steps_from(stored_version, migrations))
    return StoredRun(path=path, manifest=manifest, samples=file.samples, repaired=repairs(path, file))


def find_run(path_or_id: str | os.PathLike[str], results_dir: Path = DEFAULT_RESULTS) -> Path:
    """The folder of a run, given that or its ID under ``results_dir``.

    Raises:
        UsageError: there is none; the message has the nearest IDs.
    """
    text = os.fspath(path_or_id)
    for candidate in (Path(text), results_dir / text):
        if text and os.path.isdir(candidate):  # noqa: PTH112  Path's own raises on names too long or with a NUL
            return candidate
    known = sorted((entry.parent.name for entry in results_dir.glob(f"*/{MANIFEST_NAME}")), key=begun)
    nearest = difflib.get_close_matches(text, known, n=3, cutoff=0.3) or known[-3:][::-1]
    hint = (
        f"Nearest there: {', '.join(nearest)}." if nearest else "There are no runs there; measure with: coldstart run"
    )
    raise UsageError(f"no run {text!r}: neither a folder nor an ID under {results_dir}. {hint}")


def newest_run(results_dir: Path = DEFAULT_RESULTS) -> Path:
    """The folder of the run that was begun last: IDs begin with their time.

    Raises:
        UsageError: there are no runs.
    """
    runs = [entry.parent for entry in results_dir.glob(f"*/{MANIFEST_NAME}")]
    if not runs:
        raise UsageError(f"there are no runs under {results_dir}; measure with: coldstart run")
    return max(runs, key=lambda run: begun(run.name))


def read_manifest(run_dir: Path, migrations: Registry = MIGRATIONS) -> Manifest:
    """Read and migrate ``run.json``.

    Raises:
        CorruptRunError: missing, damaged or too new.
    """
    path = run_dir / MANIFEST_NAME
    missing = CorruptRunError(
        run_dir,
        f"has no {MANIFEST_NAME}: not a run, or one that ended before its first trial.",
        "Name another folder; this one holds no results.",
    )
    try:
        record = msgspec.json.decode(_read(path, missing), type=Record)
    except UNREADABLE as error:
        raise CorruptRunError(path, f"is damaged: {error}.", _RESTORE) from error
    version = record.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise CorruptRunError(path, "is damaged: it has no schema_version.", _RESTORE)
    for step in _steps(path, version, record, migrations):
        record = migrated(step.manifest, record, str(path), _RESTORE)
    try:
        manifest = msgspec.convert({**record, "schema_version": SCHEMA_VERSION}, RunManifest)
    except UNREADABLE as error:
        raise CorruptRunError(path, f"is damaged: {error}.", _RESTORE) from error
    if not is_safe_name(manifest.run_id):  # it becomes part of paths, such as the report's
        raise CorruptRunError(path, f"is damaged: run_id {manifest.run_id!r} is not a plain name.", _RESTORE)
    return Manifest(manifest, version)


def read_samples(run_dir: Path, run_id: str, steps: Sequence[Migration] = ()) -> SampleFile:
    """Read and migrate ``samples.jsonl``; a last line that a crash tore is left out and reported.

    Raises:
        CorruptRunError: missing, or anything else is wrong with it; the message names the line.
    """
    path = run_dir / SAMPLES_NAME
    lines = read_lines(run_dir)
    checker = LineChecker(path, run_id, steps)
    samples: list[Sample] = []
    good_bytes = 0
    for number, line in enumerate(lines.all, start=1):
        try:
            samples.append(checker.sample(line, number))
        except NotJsonError as error:
            where = f"{path}:{number}"
            if number < len(lines.all):
                raise CorruptRunError(where, f"is damaged: {error}.", set_aside_remedy(run_dir)) from error
            repaired = f"{where}: the last line was torn by a crash ({len(line)} bytes); its trial was left out"
            return SampleFile(tuple(samples), good_bytes, repaired)
        good_bytes += len(line) + 1
    if lines.lacks_end:  # whole but for its newline: nothing is lost
        return SampleFile(tuple(samples), good_bytes - 1, f"{path}:{len(samples)}: the last line lacked its line end")
    return SampleFile(tuple(samples), good_bytes, None)


def repairs(run_dir: Path, file: SampleFile) -> str | None:
    """What had to be put right to read a samples file, now or before: lines that were set aside count for ever.

    Raises:
        InputFileError: the file of such lines cannot be read.
    """
    sentences = [] if file.repaired is None else [file.repaired]
    if count := len(set_aside_lines(run_dir)):
        lines, trials = ("1 line", "its trial is") if count == 1 else (f"{count} lines", "their trials are")
        sentences.append(f"{lines} that could not be read, set aside in {SET_ASIDE_NAME}: {trials} left out")
    return "; ".join(sentences) or None


def set_aside_lines(run_dir: Path) -> tuple[bytes, ...]:
    """Lines that `coldstart.store.repair` moved out of ``samples.jsonl``, as they were.

    Raises:
        InputFileError: they cannot be read.
    """
    try:
        return tuple(read_regular(run_dir / SET_ASIDE_NAME, sys.maxsize).split(b"\n")[:-1])
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise InputFileError(run_dir / SET_ASIDE_NAME, f"cannot be read: {error.strerror}.") from error


class Lines(NamedTuple):
    """The lines of a samples file, without their ends; whether the last one has none."""

    all: tuple[bytes, ...]
    lacks_end: bool


def read_lines(run_dir: Path) -> Lines:
    """The lines of ``samples.jsonl`` as they are.

    Raises:
        CorruptRunError: it is missing.
        InputFileError: it cannot be read.
    """
    path = run_dir / SAMPLES_NAME
    *lines, tail = _read(path, CorruptRunError(path, "is missing.", _RESTORE)).split(b"\n")
    return Lines((*lines, tail) if tail else tuple(lines), bool(tail))


def _steps(path: Path, version: int, record: Record, migrations: Registry) -> tuple[Migration, ...]:
    if version > SCHEMA_VERSION:
        writer = record.get("coldstart_version")
        needed = f">={writer}" if isinstance(writer, str) and writer else ""
        raise CorruptRunError(
            path,
            f"has schema version {version}; this coldstart reads up to {SCHEMA_VERSION}.",
            f"Read it with the version that wrote it: pip install 'coldstart{needed}'",
        )
    try:
        return steps_from(version, migrations)
    except LookupError as error:
        raise CorruptRunError(
            path, f"has schema version {version}, which nothing migrates.", "Measure again."
        ) from error


def _read(path: Path, missing: CorruptRunError) -> bytes:
    try:
        return read_regular(path, sys.maxsize if path.name == SAMPLES_NAME else RECORD_BYTES)
    except FileNotFoundError as error:
        raise missing from error
    except OSError as error:
        raise InputFileError(path, f"cannot be read: {error.strerror}.") from error
