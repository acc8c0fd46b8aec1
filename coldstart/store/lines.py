"""One line of ``samples.jsonl``: decoded, migrated, and checked, by whoever reads it and before it is written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from coldstart.errors import CorruptRunError
from coldstart.model.cell import Cell, Side
from coldstart.model.sample import Sample
from coldstart.model.timeline import phases_of
from coldstart.store.migrations import Migration, migrated

_INT64 = 2**63
_MANY_DIGITS = re.compile(rb"[0-9]{19}")  # fewer make no number beyond 64 bits; a digest may have as many
_SHOWN = 40  # characters of a value in a message


class NotJsonError(Exception):
    """A line that is not valid JSON: torn, if it is the last one."""


class LineChecker:
    """Checks the lines of one run in their order; no two may be of one trial.

    ``steps`` bring older lines to the present schema; ``seen`` are the samples of the lines before.
    """

    def __init__(self, path: Path, run_id: str, steps: Sequence[Migration] = (), seen: Iterable[Sample] = ()) -> None:
        self._path = path
        self._run_id = run_id
        self._steps = steps
        self._remedy = set_aside_remedy(path.parent)
        self._whole = msgspec.json.Decoder(Sample)
        self._loose = msgspec.json.Decoder()
        self._first_line = {_trial(sample): number for number, sample in enumerate(seen, start=1)}

    def sample(self, line: bytes, number: int) -> Sample:
        """The sample that line ``number`` holds.

        Raises:
            NotJsonError: it is not valid JSON.
            CorruptRunError: it is no sample, has impossible times, or is of another run or of a trial seen before.
        """
        where = f"{self._path}:{number}"
        sample = self._decoded(line, where)
        problem = self._problem(sample)
        if problem is None and _MANY_DIGITS.search(line) and _has_huge(msgspec.to_builtins(sample)):
            problem = "has a number beyond 64 bits"
        trial = _trial(sample)
        if problem is None and trial in self._first_line:
            problem = f"repeats the trial of line {self._first_line[trial]}"
        if problem is not None:
            raise CorruptRunError(where, f"{problem}.", self._remedy)
        self._first_line[trial] = number
        return sample

    def forget(self, sample: Sample) -> None:
        """Its line could not be written after all, so its trial may come again."""
        self._first_line.pop(_trial(sample), None)

    def _decoded(self, line: bytes, where: str) -> Sample:
        try:
            if not self._steps:
                return self._whole.decode(line)
            record = self._loose.decode(line)
            for step in self._steps:
                record = migrated(step.sample, record, where, self._remedy)
            return msgspec.convert(record, Sample)
        except msgspec.ValidationError as error:
            # Schema errors are met before the end of a torn line is: only a whole one is more than torn.
            self._require_json(line)
            raise CorruptRunError(where, f"is no sample: {error}.", self._remedy) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise NotJsonError(str(error)) from error

    def _require_json(self, line: bytes) -> None:
        try:
            self._loose.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise NotJsonError(str(error)) from error

    def _problem(self, sample: Sample) -> str | None:
        if sample.run_id != self._run_id:
            return f"belongs to run {sample.run_id!r}, not to {self._run_id!r}"
        try:
            datetime.fromisoformat(sample.started_at)
        except ValueError:
            return f"has no time in started_at: {sample.started_at[:_SHOWN]!r}"
        try:
            phases_of(sample)
        except ValueError as error:
            return str(error)
        return None


def _trial(sample: Sample) -> tuple[int, Cell, int, Side | None]:
    trial = sample.trial
    return trial.block, trial.cell, trial.attempt, trial.side


def _has_huge(value: Any) -> bool:
    """Whether an integer in it is beyond what a table can hold."""
    if isinstance(value, dict):
        return any(map(_has_huge, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_huge, value))
    return isinstance(value, int) and not -_INT64 <= value < _INT64


def set_aside_remedy(run_dir: Path) -> str:
    """What to do about a line that cannot be read."""
    return (
        "Restore the file from a copy, or set the lines aside that cannot be read: "
        f"coldstart repair {shlex.quote(str(run_dir))}"
    )
