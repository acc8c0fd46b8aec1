"""What starting a process costs, by a program that stamps as the injectors do."""

from __future__ import annotations

import sys
from pathlib import Path

from coldstart.truth.process_cost import ProcessCost

STAMPS = f"""#!{sys.executable}
import os, sys, time
begun = time.monotonic_ns()
folder = os.path.dirname(os.path.abspath(__file__))
lines = open(os.path.join(folder, "inject.conf")).read().split("\\n")
words = dict(line.split(" ", 1) for line in lines if line)
assert sys.argv[1:] == ["create"] and words["delay"] == "runtime_create 1" and words["settle"] == "0"
assert words["real"].startswith("inject-true /") and os.path.basename(__file__) == "inject-true"
with open(words["stamps"], "a") as out:
    out.write('{{"phase":"runtime_create","start_ns":%d,"end_ns":%d}}\\n' % (begun, begun + 1))
"""


def test_it_is_the_time_until_the_program_stamps(tmp_path: Path) -> None:
    cost = ProcessCost(tmp_path / "cost")
    cost.install(STAMPS.encode())
    found = [cost.measure_ns() for _ in range(2)]
    assert all(one is not None and 100_000 < one < 10_000_000_000 for one in found)


def test_a_program_that_stamps_nothing_has_no_cost(tmp_path: Path) -> None:
    cost = ProcessCost(tmp_path / "cost")
    cost.install(b"#!/bin/sh\nexit 1\n")
    assert cost.measure_ns() is None


def test_installing_again_forgets_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "cost").mkdir()
    (tmp_path / "cost" / "old").write_text("")
    ProcessCost(tmp_path / "cost").install(b"")
    assert {path.name for path in (tmp_path / "cost").iterdir()} == {"inject-true", "inject.conf"}
