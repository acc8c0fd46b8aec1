"""``coldstart selftest``: what it refuses, and how it tells what it found."""

from __future__ import annotations

import json

import pytest

from coldstart.analyse.recovery import judge
from coldstart.cli import selftest as module
from coldstart.errors import NothingMeasuredError
from coldstart.model.sample import Phase
from coldstart.model.truth import Arm, TruthTrial
from tests.unit.analyse.test_recovery import MS, selftest, trial
from tests.unit.cli.conftest import Run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--delays", "5"), "'5' is not a duration"),
        (("--delays", "0ms"), "more than nothing"),
        (("--delays", "11s"), "up to 10s"),
        (("--delays", "5ms,5ms"), "name each delay once"),
        (("--runtime", "runc,runc"), "given twice"),
        (("--runtime", "crum"), "unknown runtime 'crum'"),
    ],
)
def test_what_makes_no_sense_ends_with_2(
    coldstart: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert coldstart("selftest", *arguments) == 2
    assert message in capsys.readouterr().err


def test_figures_within_their_bounds_are_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    module._print(judge(selftest()))
    told = capsys.readouterr().out
    assert "MISSED" not in told
    assert "runc: other phases stayed within the bound in " in told


def test_a_figure_out_of_bounds_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    module._print(judge(selftest(found=0.5)))
    assert capsys.readouterr().out.count("MISSED") == 12 + 6


def test_a_leak_is_told_with_both_phases_and_its_bound(capsys: pytest.CaptureFixture[str]) -> None:
    module._print(judge(selftest(leak={"create": 5 * MS})))
    assert "a delay in unpack moved create by +5.0" in capsys.readouterr().out


def test_too_few_starts_are_told_and_no_interval_is_made_up(capsys: pytest.CaptureFixture[str]) -> None:
    module._print(
        judge([trial(Arm(runtime="runc", point=Phase.UNPACK, delay_ns=MS), 0), trial(Arm(runtime="runc"), 0)])
    )
    assert "had too few starts for an interval" in capsys.readouterr().out


def test_json_is_the_whole_judgement(capsys: pytest.CaptureFixture[str]) -> None:
    module._conclude(tuple(selftest()), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (len(told["arms"]), len(told["slopes"])) == (12, 6)


def test_a_selftest_in_which_nothing_started_is_no_selftest() -> None:
    broken = TruthTrial(block=0, position=0, arm=Arm(runtime="runc"), source="trace", failure="exited: no")
    with pytest.raises(NothingMeasuredError, match="exited: no"):
        module._conclude((broken,), as_json=False)
