"""Known delays in real starts are where the spans say, and one start is drawn; as users type it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coldstart.model.truth import POINTS
from coldstart.testbed import lifecycle
from coldstart.testbed.config import Testbed, TestbedConfig
from tests.engine import host_snapshot

pytestmark = pytest.mark.engine

ROOT = Path("/var/lib/coldstart-test-5")
DELAY_NS = 50_000_000


def coldstart(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "coldstart", *arguments],
        env={**os.environ, "COLDSTART_STATE_DIR": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def selftest(testbed_config: TestbedConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """One start of each arm with runc and crun; too few for intervals, enough to see where each delay went."""
    results = tmp_path_factory.mktemp("selftest")
    assert testbed_config.cache == TestbedConfig.from_environment().cache
    before = host_snapshot.take()
    done = coldstart(ROOT, "selftest", "-n", "1", "--delays", "50ms", "--results", str(results), "--json")
    lifecycle.down(ROOT, lambda _: None)
    assert done.returncode == 3, done.stderr  # one start decides nothing
    (stored,) = (results / "selftest").glob("*.json")
    return {
        "recovery": json.loads(done.stdout),
        "record": json.loads(stored.read_bytes()),
        "left": host_snapshot.difference(before, host_snapshot.take()),
    }


def test_every_span_contains_the_delay_injected_into_it(selftest: dict[str, object]) -> None:
    recovery = selftest["recovery"]
    assert isinstance(recovery, dict)
    contained = {claim["point"]: claim for claim in recovery["claims"] if claim["kind"] == "contained"}
    assert set(contained) == {str(point) for point in POINTS}
    assert {claim["state"] for claim in contained.values()} == {"met"}, recovery["failures"]
    assert all(1 <= claim["estimate"]["n"] <= 2 for claim in contained.values())  # one by each runtime


def test_one_start_is_undecided_and_says_what_would_decide(selftest: dict[str, object]) -> None:
    recovery = selftest["recovery"]
    assert isinstance(recovery, dict)
    assert recovery["state"] == "undecided"
    assert recovery["to_decide"]["starts"] > 20
    assert "--delays 50ms --runs" in recovery["to_decide"]["command"]


def test_what_starting_a_process_costs_is_stored_with_each_start(selftest: dict[str, object]) -> None:
    record = selftest["record"]
    assert isinstance(record, dict)
    costs = [trial["process_ns"] for trial in record["trials"] if not trial["failure"]]
    assert costs
    assert all(50_000 < cost < 1_000_000_000 for cost in costs)


def test_every_injector_stamped_what_it_was_told(selftest: dict[str, object]) -> None:
    record = selftest["record"]
    assert isinstance(record, dict)
    injected = [
        stamp["end_ns"] - stamp["start_ns"]
        for trial in record["trials"]
        if not trial["failure"]
        for stamp in trial["stamps"]
    ]
    assert len(injected) >= len(POINTS)
    assert all(DELAY_NS <= length < 2 * DELAY_NS for length in injected)


def test_a_control_start_is_told_nothing_and_stamps_nothing(selftest: dict[str, object]) -> None:
    record = selftest["record"]
    assert isinstance(record, dict)
    controls = [trial for trial in record["trials"] if trial["arm"]["point"] is None]
    assert [len(trial["stamps"]) for trial in controls] == [0] * 8  # four of each runtime


def test_a_selftest_leaves_the_host_as_it_was(selftest: dict[str, object]) -> None:
    assert selftest["left"] == []


def test_one_start_is_drawn_in_the_terminal_and_as_a_figure(testbed: Testbed, tmp_path: Path) -> None:
    done = coldstart(testbed.root, "trace", "--runtime", "crun", "--svg", str(tmp_path / "start.svg"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "docker/crun/hello/alpine/absent/bridge, source trace"
    names = [line.strip().split("  ")[0] for line in lines[2:]]
    wanted = ["pull", "unpack layer 1", "unpack layer 2", "create", "init", "shim", "runtime create", "network hook"]
    wanted += ["runtime start", "readiness", "exec to listening", "listening to answer"]
    assert [name for name in names if name in wanted] == wanted
    assert (tmp_path / "start.svg").read_text().lstrip().startswith("<?xml")
