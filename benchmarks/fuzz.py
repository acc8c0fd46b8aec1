"""Wrong input in bulk: each one has to be read, or refused with a message, in bounded time and memory.

    python -m benchmarks.fuzz --inputs 100000           an hour of one core; goes on where it was stopped
    pytest benchmarks/bench_faults.py -k fuzz           the same

An input is made from the seed, its target's name and its number alone. A finding is any exception that is not a
`ColdstartError` of exit code 2 or 4, a hang, or a dead process; it is recorded with its input, made as small as may be.
"""

from __future__ import annotations

import argparse
import base64
import json
import math
import mmap
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import msgspec

from benchmarks.fuzzing import engines, images, runs, written
from benchmarks.fuzzing.runs import with_good_run
from benchmarks.fuzzing.target import Files, Target
from coldstart import __version__
from coldstart.errors import EXIT_ENVIRONMENT, EXIT_USAGE, ColdstartError

TARGETS = (*written.TARGETS, *runs.TARGETS, *images.TARGETS, *engines.TARGETS)
SEED = 20261126
INPUTS = 100_000
BATCH = 200  # inputs of one process
WALL_FACTOR = 6  # of the CPU limit, for what only waits: generous, since the machine may be busy
MEMORY_LIMIT_BYTES = 2 << 30  # beyond what the process has at its start
_SHRINKS, _SHRINK_S = 200, 20.0
_SHOWN_BYTES = 4096


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """An input that was neither read nor refused; ``files`` are its smallest known form, in base 64 where binary."""

    target: str
    number: int
    what: str
    where: str
    files: dict[str, str] = {}


class Tally(msgspec.Struct, kw_only=True):
    """What became of a target's inputs so far."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    seconds: float = 0.0


class Record(msgspec.Struct, kw_only=True):
    """All that was fuzzed under one seed."""

    coldstart_version: str = __version__
    seed: int = SEED
    inputs: int = 0
    findings: list[Finding] = []
    duration_s: float = 0.0
    targets: dict[str, Tally] = {}


class _Overrun(BaseException):
    """An input took too long."""


class _Problem(NamedTuple):
    what: str
    where: str


def plan(inputs: int, targets: Sequence[Target] = TARGETS) -> dict[str, int]:
    """How many inputs each target gets of so many, by its share; at least one."""
    whole = sum(target.share for target in targets)
    return {target.name: math.ceil(inputs * target.share / whole) for target in targets}


def make(target: Target, seed: int, number: int) -> Files:
    """The input of that number."""
    return target.make(random.Random(f"{seed} {target.name} {number}"))  # noqa: S311  repeatable, not secret


def attempt(target: Target, files: Files) -> _Problem | bool:
    """Read the input: whether it was read (else refused), or what went wrong."""
    folder = Path(tempfile.mkdtemp(prefix="coldstart-fuzz-"))
    try:
        with _bounded(target.cpu_limit_s):
            target.read(files, folder)
    except ColdstartError as error:
        if error.exit_code in {EXIT_USAGE, EXIT_ENVIRONMENT} and str(error).strip():
            return False
        return _Problem(f"{type(error).__name__} with exit code {error.exit_code}: {error}"[:300], _place(error))
    except (Exception, _Overrun) as error:  # noqa: BLE001  anything else is what is looked for
        return _Problem(f"{type(error).__name__}: {error}"[:300], _place(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return True


def shrunk(target: Target, files: Files, problem: _Problem) -> Files:
    """The files with as much cut out of them as leaves the same problem at the same place."""
    left, end = _SHRINKS, time.monotonic() + _SHRINK_S
    kind = problem.what.partition(":")[0]
    for name in files:
        size = len(files[name]) // 2
        while size and left:
            at = 0
            while at < len(files[name]) and left and time.monotonic() < end:
                left -= 1
                fewer = {**files, name: files[name][:at] + files[name][at + size :]}
                found = attempt(target, fewer)
                if isinstance(found, _Problem) and (found.what.partition(":")[0], found.where) == (kind, problem.where):
                    files = fewer
                else:
                    at += size
            size //= 2
    return files


def fuzz(target: Target, numbers: range, seed: int = SEED) -> tuple[Tally, list[Finding]]:
    """Try the inputs of these numbers in this process."""
    tally, findings = Tally(), []
    for number in numbers:
        begun = time.monotonic()
        files = make(target, seed, number)
        found = attempt(target, files)
        tally.inputs += 1
        tally.seconds += time.monotonic() - begun
        if isinstance(found, _Problem):
            smallest = files if found.what.startswith(_Overrun.__name__) else shrunk(target, files, found)
            findings.append(_finding(target, number, found, smallest))
        elif found:
            tally.read += 1
        else:
            tally.refused += 1
    return tally, findings


def fuzz_apart(target: Target, numbers: range, seed: int = SEED) -> tuple[Tally, list[Finding]]:
    """As `fuzz`, in a process of its own: one that dies, or has to be killed, is a finding."""
    begun = time.monotonic()
    current = mmap.mmap(-1, 8)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _in_child(target, numbers, seed, writer, current)
    os.close(writer)
    tally = Tally()
    findings: list[Finding] = []
    with os.fdopen(reader, "rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):  # a process can die while it writes
                one, found = msgspec.json.decode(line, type=tuple[Tally, list[Finding]])
                tally, findings = _sum(tally, one), [*findings, *found]
    _, status = os.waitpid(child, 0)
    if status == 0:
        return tally, findings
    number = int.from_bytes(current[:8], "little")
    files = make(target, seed, number)
    findings.append(_finding(target, number, _Problem(f"the process died (status {status})", ""), files))
    tally.inputs, tally.seconds = number - numbers.start + 1, time.monotonic() - begun
    rest, more = (
        fuzz_apart(target, range(number + 1, numbers.stop), seed) if number + 1 < numbers.stop else (Tally(), [])
    )
    return _sum(tally, rest), [*findings, *more]


def run(path: Path, inputs: int = INPUTS, seed: int = SEED, budget_s: float | None = None) -> Record:
    """Fuzz all targets, from where the record at ``path`` ends; it is written after each batch."""
    record = _opened(path, seed)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="coldstart-fuzz-") as folder, with_good_run(Path(folder)):
        for target, numbers in _batches(record, plan(inputs)):
            if budget_s is not None and time.monotonic() - begun > budget_s:
                break
            attempt(target, make(target, seed, 0))  # what it imports is there for every batch's process
            tally, findings = fuzz_apart(target, numbers, seed)
            record.targets[target.name] = _sum(record.targets.get(target.name, Tally()), tally)
            record.findings += findings
            record.inputs = sum(one.inputs for one in record.targets.values())
            record.duration_s = round(sum(one.seconds for one in record.targets.values()), 1)
            _write(path, record)
    return record


def _batches(record: Record, wanted: dict[str, int]) -> Iterator[tuple[Target, range]]:
    for target in TARGETS:
        done = record.targets[target.name].inputs if target.name in record.targets else 0
        for start in range(done, wanted[target.name], BATCH):
            yield target, range(start, min(start + BATCH, wanted[target.name]))


def _in_child(target: Target, numbers: range, seed: int, writer: int, current: mmap.mmap) -> None:
    status = 1
    try:
        _limit_memory()
        with os.fdopen(writer, "wb") as stream:
            for number in numbers:
                current[:8] = number.to_bytes(8, "little")
                stream.write(msgspec.json.encode(fuzz(target, range(number, number + 1), seed)) + b"\n")
                stream.flush()  # a later input may end the process
        status = 0
    finally:
        os._exit(status)


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_LIMIT_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


@contextmanager
def _bounded(cpu_s: float) -> Iterator[None]:
    """Bound the time of what is done inside: by the CPU it uses, and, for what only waits, by the clock."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _Overrun(f"more than {cpu_s:g} s of CPU, or {WALL_FACTOR * cpu_s:g} s in all")

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, cpu_s), signal.SIGALRM: (signal.ITIMER_REAL, WALL_FACTOR * cpu_s)}
    before = {number: signal.signal(number, stop) for number in timers}
    for timer, limit_s in timers.values():
        signal.setitimer(timer, limit_s)
    try:
        yield
    finally:
        for timer, _ in timers.values():
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _place(error: BaseException) -> str:
    """The innermost place in the package."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/coldstart/" in frame.filename and "/site-packages/" not in frame.filename]
    frame = (own or list(frames))[-1]
    return f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"


def _finding(target: Target, number: int, problem: _Problem, files: Files) -> Finding:
    shown = {name: _shown(content) for name, content in files.items() if len(content) <= _SHOWN_BYTES}
    return Finding(target=target.name, number=number, what=problem.what, where=problem.where, files=shown)


def _shown(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(content).decode()


def _sum(first: Tally, second: Tally) -> Tally:
    return Tally(
        inputs=first.inputs + second.inputs,
        read=first.read + second.read,
        refused=first.refused + second.refused,
        seconds=round(first.seconds + second.seconds, 3),
    )


def _opened(path: Path, seed: int) -> Record:
    if not path.exists():
        return Record(seed=seed)
    record = msgspec.json.decode(path.read_bytes(), type=Record)
    return record if (record.seed, record.coldstart_version) == (seed, __version__) else Record(seed=seed)


def _write(path: Path, record: Record) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(json.dumps(msgspec.to_builtins(record), indent=1) + "\n", errors="backslashreplace")
    fresh.replace(path)


def main() -> None:
    """The command line of this file."""
    parser = argparse.ArgumentParser(description="Fuzz everything that reads what others wrote.")
    parser.add_argument("--inputs", type=int, default=INPUTS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--budget-s", type=float)
    parser.add_argument("--out", type=Path, default=Path("results/faults/fuzz.json"))
    said = parser.parse_args()
    record = run(said.out, said.inputs, said.seed, said.budget_s)
    lines: list[Any] = [
        f"{name}: {one.inputs} inputs, {one.read} read, {one.refused} refused, {one.seconds:.0f} s"
        for name, one in record.targets.items()
    ]
    sys.stdout.write("\n".join([*lines, f"{record.inputs} inputs, {len(record.findings)} findings", ""]))
    for finding in record.findings:
        sys.stdout.write(f"{finding.target} {finding.number}: {finding.what!r} at {finding.where}\n")


if __name__ == "__main__":
    main()
