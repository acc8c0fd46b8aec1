"""A fixed part of `benchmarks/bench_faults.py`: one fault of each sort into a real run, and nothing lost or left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fault_ground import Ground
from benchmarks.faults import inject, kinds
from coldstart.testbed.config import TestbedConfig

pytestmark = pytest.mark.engine

ROOT = Path("/var/lib/coldstart-test-faults")
SEED = 20261126
QUICK = (
    "kill -9 of the run",
    "SIGTERM to the run",
    "SIGINT twice to the run",
    "registry answers: 500",
    "registry answers: corrupt",
    "full disk: results",
    "full disk: standard output",
    "kill -9 of containerd",
    "kill -9 of registry",
    "runtime: crash",
    "SIGHUP to the run, testbed of its own",
)


@pytest.fixture(scope="module")
def ground(testbed_config: TestbedConfig) -> Iterator[Ground]:
    """A testbed of their own, and how long a clean run takes on it."""
    with Ground.open(ROOT, testbed_config.cache) as opened:
        yield opened


@pytest.mark.parametrize("name", QUICK)
def test_a_fault_loses_nothing_leaves_nothing_and_is_reported(ground: Ground, name: str) -> None:
    (kind,) = (kind for kind in kinds() if kind.name == name)
    fault = inject(ground, kind, QUICK.index(name), SEED)
    assert fault.findings == (), f"{fault.detail} after {fault.instant_ms} ms: {fault.last_line}"
