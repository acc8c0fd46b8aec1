"""What becomes of runs into which faults are injected: 500 of them, of every kind, seeded.

    pytest benchmarks/bench_faults.py -k faults --faults 500                  about an hour and a half, as root
    pytest benchmarks/bench_faults.py -k faults --faults 500 --cold-results results/reference

    pytest benchmarks/bench_faults.py -k fuzz                                 half an hour; no engine, no root

Faults are banked in ``faults/faults.json`` under ``--cold-results``: what the file has already is kept, and more are
injected until there are as many as wanted, so that a session that was cut short is simply repeated. A fault is one of
the file's seed and its number: which kind, at which instant, and with what details. Each is injected into a real run
on a testbed of its own (``COLDSTART_STATE_DIR``, by default one beside the user's); nothing else on the machine is
touched, and no network but the testbed's own is used.

After each fault it is looked at whether every sample that the run said had ended is stored; the run can be opened and
exported; it ended within its limit, with an exit code that fits, without a traceback; and, once the testbed is down,
whether a process, mount, loop device, cgroup, trace instance, temporary file or folder is left.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from benchmarks import fuzz
from benchmarks.fault_ground import Ground, ground_config
from benchmarks.faults import Fault, Row, inject, order, table
from coldstart import __version__
from coldstart.plan.schedule import new_seed
from coldstart.pytest_plugin import VIRTUAL, replay_rounds

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = pytest.mark.benchmark(timer=VIRTUAL, group="faults")


class FaultRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The bank: ``clean_s`` is how long a run without a fault took in each session."""

    coldstart_version: str
    seed: int
    clean_s: tuple[float, ...]
    table: tuple[Row, ...]
    faults: tuple[Fault, ...]


def bench_faults(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> None:
    """Faults into real runs, until there are as many as wanted; none may lose, hang, or leave anything."""
    path = Path(request.config.getoption("--cold-results")) / "faults" / "faults.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    banked = _banked(path)
    only = request.config.getoption("--fault-kind")
    config, done = ground_config(), {fault.number: fault for fault in banked.faults}
    with Ground.open(config.root, config.cache) as ground:
        clean_s = (*banked.clean_s, round(ground.clean_s, 2))
        for number, kind in order(banked.seed, request.config.getoption("--faults")):
            if number in done or only not in kind.name:
                continue
            fault = inject(ground, kind, number, banked.seed)
            done[number] = fault
            faults = tuple(done[each] for each in sorted(done))
            _keep(path, msgspec.structs.replace(banked, clean_s=clean_s, faults=faults, table=table(faults)))
            found = "; ".join(fault.findings) or "nothing found"
            _say(f"{number}: {kind.name} ({fault.detail}) after {fault.instant_ms} ms: {fault.exit_code}, {found}")
    faults = tuple(done.values())
    replay_rounds(benchmark, [round(fault.seconds * 1e9) for fault in faults])
    found_in = [fault for fault in faults if fault.findings]
    _say(f"{len(faults)} faults, {len(found_in)} of them with findings")
    assert not found_in, "\n".join(f"{fault.number} {fault.kind}: {fault.findings}" for fault in found_in)


def bench_fuzz(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> None:
    """Wrong input in bulk (`benchmarks.fuzz`); all of it is read, or refused with a message."""
    path = Path(request.config.getoption("--cold-results")) / "faults" / "fuzz.json"
    record = fuzz.run(path, request.config.getoption("--fuzz-inputs"))
    replay_rounds(benchmark, [round(one.seconds * 1e9) for one in record.targets.values()])
    _say(f"{record.inputs} inputs, {len(record.findings)} findings")
    assert not record.findings, "\n".join(f"{one.target} {one.number}: {one.what}" for one in record.findings)


def _banked(path: Path) -> FaultRecord:
    try:
        return msgspec.json.decode(path.read_bytes(), type=FaultRecord)
    except FileNotFoundError:
        return FaultRecord(coldstart_version=__version__, seed=new_seed(), clean_s=(), table=(), faults=())


def _keep(path: Path, record: FaultRecord) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    fresh.replace(path)


def _say(text: str) -> None:
    sys.__stderr__.write(f"{text}\n")  # type: ignore[union-attr]  # past pytest's capture: it takes hours
