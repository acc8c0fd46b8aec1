"""``coldstart gate`` of what was measured before: two stored runs, or two files of times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coldstart.model.cell import Tier, Trial
from coldstart.model.sample import Outcome
from coldstart.store.writer import RunWriter
from tests.unit.cli.test_gate import IMAGES, Gate, gate
from tests.unit.factories import MS, make_cell, make_host, make_manifest, make_sample

__all__ = ["gate"]

MAIN, PR = "20261124T104500Z-article-77f0", "20261125T104500Z-article-1a2b"
CELL = make_cell(tier=Tier.WARM)


def store(gate: Gate, run_id: str, length_ms: float, n: int = 10, failed: int = 0, **fields: Any) -> str:
    """A run of one warm cell: ``failed`` starts that exited, and ``n`` that took so long."""
    with RunWriter.create(gate.results, make_manifest(run_id=run_id, **fields)) as writer:
        for block in range(failed + n):
            sample = make_sample(
                Trial(block=block, position=0, cell=CELL),
                outcome=Outcome.EXITED if block < failed else Outcome.OK,
                run_id=run_id,
                create_ns=1,
                readiness_ns=1,
                gap_ns=0,
                init_ns=round((length_ms + block / 1000) * MS),
            )
            writer.append(sample)
    return run_id


def times(folder: Path, name: str, length_ms: float, n: int = 10) -> str:
    """A CSV of so many starts."""
    rows = "\n".join(str(round((length_ms + start / 1000) * MS)) for start in range(n))
    (folder / name).write_text(f"e2e_ns\n{rows}\n")
    return str(folder / name)


@pytest.mark.parametrize(("length_ms", "code", "said"), [(100, 0, "not slower than"), (130, 1, "regression — ")])
def test_a_stored_run_is_judged_against_an_earlier_one(gate: Gate, length_ms: float, code: int, said: str) -> None:
    done = gate(store(gate, MAIN, 100), store(gate, PR, length_ms))
    assert (done.code, done.out.startswith(said)) == (code, True), done.err
    assert "Unpaired: the sides were measured at different times" in " ".join(done.out.split())
    assert "coldstart calibrate" not in done.out


def test_what_the_second_lacks_is_never_a_pass(gate: Gate) -> None:
    done = gate(store(gate, MAIN, 100), store(gate, PR, 100, n=0, failed=1))
    assert (done.code, "nothing was timed of both sides" in done.out) == (4, True), done.out


def test_a_run_without_a_sample_says_so(gate: Gate) -> None:
    done = gate(store(gate, MAIN, 100), store(gate, PR, 100, n=0))
    assert (done.code, "nothing was measured" in done.err) == (4, True)


def test_another_host_is_refused(gate: Gate) -> None:
    done = gate(store(gate, MAIN, 100), store(gate, PR, 100, host=make_host(host_id="another")))
    assert (done.code, "different hosts" in done.err, done.out) == (2, True, "")


def test_too_few_starts_are_inconclusive(gate: Gate) -> None:
    runs = store(gate, MAIN, 100, n=3), store(gate, PR, 100, n=3)
    assert gate(*runs).code == 3
    assert gate(*runs, "--on-inconclusive", "fail").code == 1


def test_hard_limits_and_tolerances_hold(gate: Gate) -> None:
    runs = store(gate, MAIN, 100), store(gate, PR, 130)
    assert gate(*runs, "--max-slowdown", "40%").code == 0
    assert gate(*runs, "--max-slowdown", "40%", "--max-layers", "1").code == 1


def test_a_tolerance_that_neither_run_has_a_cell_for_is_refused(gate: Gate) -> None:
    done = gate(store(gate, MAIN, 100), store(gate, PR, 100), "--max-slowdown", "absent=10%")
    assert (done.code, "unknown level or phase 'absent'" in done.err) == (2, True)


def test_a_run_that_holds_two_sides_is_not_mixed_with_another(gate: Gate) -> None:
    both = gate.stored(130)
    for runs in ((both, store(gate, MAIN, 100)), (MAIN, both)):
        done = gate(*runs)
        assert (done.code, "stored holds two sides already" in done.err) == (2, True), done.err


def test_a_run_that_is_not_there_is_told_with_the_nearest(gate: Gate) -> None:
    done = gate(store(gate, MAIN, 100), MAIN.replace("77f0", "77f1"))
    assert (done.code, f"Nearest there: {MAIN}" in done.err) == (2, True)


@pytest.mark.parametrize(("length_ms", "code"), [(100, 0), (130, 1)])
def test_files_of_times_are_judged(gate: Gate, tmp_path: Path, length_ms: float, code: int) -> None:
    done = gate(times(tmp_path, "main.csv", 100), times(tmp_path, "pr.csv", length_ms), "--json")
    verdict = json.loads(done.out)
    assert (done.code, verdict["source"], verdict["paired"]) == (code, "imported", False), done.err


def test_a_file_of_times_that_holds_none_is_told_with_its_line(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "pr.csv").write_text("e2e_ns\n5\nnan\n")
    done = gate(times(tmp_path, "main.csv", 100), str(tmp_path / "pr.csv"))
    assert (done.code, "line 3, column e2e_ns" in done.err) == (2, True)


def named_times(folder: Path, name: str, cells: dict[str, float]) -> str:
    """A CSV of ten starts of each cell."""
    rows = [f"{cell},{round((length + start / 1000) * MS)}" for cell, length in cells.items() for start in range(10)]
    (folder / name).write_text("\n".join(["name,e2e_ns", *rows]))
    return str(folder / name)


def test_cells_of_a_file_of_times_have_tolerances_of_their_own(gate: Gate, tmp_path: Path) -> None:
    main = named_times(tmp_path, "main.csv", {"web/cold": 100, "web/warm": 50})
    pr = named_times(tmp_path, "pr.csv", {"web/cold": 115, "web/warm": 50})
    assert gate(main, pr).code == 1
    assert gate(main, pr, "--max-slowdown", "cold=20%").code == 0
    done = gate(main, pr, "--max-slowdown", "clod=20%")
    assert (done.code, "did you mean 'cold'" in done.err) == (2, True)


@pytest.mark.parametrize("option", [("--max-layers", "+0"), ("--max-slowdown", "init=5%")])
def test_a_file_of_times_has_neither_images_nor_phases(gate: Gate, tmp_path: Path, option: tuple[str, str]) -> None:
    done = gate(times(tmp_path, "main.csv", 100), times(tmp_path, "pr.csv", 100), *option)
    assert (done.code, "neither images nor phases" in done.err) == (2, True)


def test_a_run_and_a_file_of_times_are_not_of_one_kind(gate: Gate, tmp_path: Path) -> None:
    done = gate(store(gate, MAIN, 100), times(tmp_path, "pr.csv", 100))
    assert (done.code, "not of one kind" in done.err) == (2, True)


@pytest.mark.parametrize("option", [("--runtime", "crun"), ("--budget", "5m"), ("--ready", "exit"), IMAGES[:2]])
def test_what_only_a_measurement_can_heed_is_refused(gate: Gate, option: tuple[str, ...]) -> None:
    done = gate(store(gate, MAIN, 100), store(gate, PR, 100), *option)
    assert (done.code, "leave it out" in done.err) == (2, True), done.err
