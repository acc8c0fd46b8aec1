"""Making a damaged run readable again: lines that cannot be read are moved aside, where they are kept and counted."""

from __future__ import annotations

from pathlib import Path

import msgspec

from coldstart.errors import CorruptRunError
from coldstart.store.files import storing, write_inside
from coldstart.store.lines import LineChecker, NotJsonError
from coldstart.store.lock import RunLock
from coldstart.store.migrations import MIGRATIONS, Registry, steps_from
from coldstart.store.reader import SAMPLES_NAME, SET_ASIDE_NAME, read_lines, read_manifest, set_aside_lines


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a run: how many of its samples can be read, and why each line that was moved cannot."""

    kept: int
    reasons: tuple[str, ...]
    set_aside: Path


def set_aside(run_dir: Path, migrations: Registry = MIGRATIONS) -> Repair:
    """Move every line that cannot be read from ``samples.jsonl`` to a file beside it, byte for byte.

    A last line that a crash tore stays: every reader leaves it out, and `RunWriter.resume` removes it. Killed at any
    moment, the command can be repeated: a line is in the one file, or in the other, or for an instant in both.

    Raises:
        CorruptRunError: ``run.json`` is damaged, too: nothing can be repaired by it.
        StorageError: it cannot be written, or another process writes to it; nothing is lost.
    """
    manifest, version = read_manifest(run_dir)
    samples, aside = run_dir / SAMPLES_NAME, run_dir / SET_ASIDE_NAME
    with storing(run_dir, "Nothing was changed."):
        lock = RunLock.acquire(run_dir)
    try:
        lines = read_lines(run_dir)
        checker = LineChecker(samples, manifest.run_id, steps_from(version, migrations))
        good: list[bytes] = []
        bad: list[bytes] = []
        reasons: list[str] = []
        torn = b""
        for number, line in enumerate(lines.all, start=1):
            try:
                checker.sample(line, number)
            except NotJsonError as error:
                if number == len(lines.all):
                    torn = line
                    continue
                reasons.append(f"{samples}:{number}: is damaged: {error}.")
            except CorruptRunError as error:
                reasons.append(error.finding)
            else:
                good.append(line)
                continue
            bad.append(line)
        if bad:
            before = set_aside_lines(run_dir)
            with storing(aside, "Nothing was changed."):
                write_inside(run_dir, aside.name, _joined([*before, *(line for line in bad if line not in before)]))
            with storing(samples, "Nothing is lost."):
                write_inside(run_dir, samples.name, _joined(good) + torn)
        return Repair(kept=len(good), reasons=tuple(reasons), set_aside=aside)
    finally:
        lock.release()


def _joined(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)
