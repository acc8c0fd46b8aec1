"""``coldstart selftest``: what it refuses, and how it tells what it found."""

from __future__ import annotations

import json

import pytest

from coldstart.cli import selftest as module
from coldstart.errors import NothingMeasuredError
from coldstart.model.truth import Arm, TruthTrial
from coldstart.runner.selftesting import Conducted
from tests.unit.analyse.test_recovery import MS, noisy, selftest
from tests.unit.cli.conftest import Run

AGAIN = ("--runtime", "runc", "--delays", "50ms,200ms")


def conclude(trials: list[TruthTrial], *, as_json: bool = False, interrupted: bool = False) -> int:
    """The exit code of a selftest that took 1 s per start and 20 s to set up."""
    conducted = Conducted(
        trials=tuple(trials),
        looks=(len(trials),) if trials else (),
        planned_looks=1,
        measured_ns=len(trials) * 1000 * MS,
        interrupted=interrupted,
    )
    return module._conclude(conducted, 20_000 * MS, AGAIN, as_json=as_json)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--delays", "5"), "'5' is not a duration"),
        (("--delays", "0ms"), "more than nothing"),
        (("--delays", "11s"), "up to 10s"),
        (("--delays", "5ms,5ms"), "name each delay once"),
        (("--runtime", "runc,runc"), "given twice"),
        (("--budget", "9"), "'9' is not a duration"),
        (("--runtime", "crum"), "unknown runtime 'crum'"),
    ],
)
def test_what_makes_no_sense_ends_with_2(
    coldstart: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert coldstart("selftest", *arguments) == 2
    assert message in capsys.readouterr().err


def test_all_bounds_met_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(selftest()) == 0
    shown = capsys.readouterr().out
    assert "MISSED" not in shown
    assert "UNDECIDED" not in shown
    assert shown.endswith("met: all 96 bounds\n")


def test_a_missed_bound_ends_with_1_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(selftest(found=0.5)) == 1
    shown = capsys.readouterr().out
    assert shown.count("MISSED") == 6
    assert "missed: ns found in unpack for each injected: 0.500 (" in shown
    assert "missed: unpack beyond the 50.0 ms injected: -25.0 ms (" in shown
    assert shown.endswith("missed: 24 of 96 bounds\n")


def test_a_leak_is_shown_with_both_phases_and_its_bound(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(selftest(leak={"create": 5 * MS})) == 1
    shown = capsys.readouterr().out
    assert "a delay in unpack moved create: +5.00 ms (" in shown
    assert "allowed -3.00 ms to +3.00 ms" in shown


def test_undecided_ends_with_3_and_says_what_would_decide_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(noisy(selftest(runs=12), 2 * MS)) == 3
    shown = capsys.readouterr().out
    assert "MISSED" not in shown
    assert "UNDECIDED" in shown
    assert " of 96 bounds, for their intervals are too wide" in shown
    last = shown.splitlines()[-1]
    starts = int(last.split(" ")[1])
    assert starts > 12 * 16
    assert f"{(starts + 20) // 60} min {(starts + 20) % 60:02d} s at this pace" in last
    assert "coldstart selftest --runtime runc --delays 50ms,200ms --runs " in last


def test_a_long_list_is_cut_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    conclude(noisy(selftest(runs=2), 9 * MS))
    shown = capsys.readouterr().out
    assert shown.count("undecided: ") == 12 + 1 + 1
    assert "more; --json shows all" in shown


def test_json_has_the_state_the_bounds_and_what_would_decide(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(noisy(selftest(runs=12), 2 * MS), as_json=True) == 3
    shown = json.loads(capsys.readouterr().out)
    assert (shown["state"], len(shown["claims"])) == ("undecided", 96)
    assert set(shown["to_decide"]) == {"starts", "seconds", "command"}
    assert conclude(selftest(), as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["to_decide"] is None


def test_an_interrupted_selftest_shows_what_it_has_and_ends_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(selftest(found=0.5), interrupted=True) == 130
    assert "missed: 24 of 96 bounds" in capsys.readouterr().out
    assert conclude([], interrupted=True) == 130


def test_a_selftest_in_which_nothing_started_is_no_selftest() -> None:
    broken = TruthTrial(block=0, position=0, arm=Arm(runtime="runc"), source="trace", failure="exited: no")
    with pytest.raises(NothingMeasuredError, match="exited: no"):
        conclude([broken])
    with pytest.raises(NothingMeasuredError, match="--budget"):
        conclude([])
