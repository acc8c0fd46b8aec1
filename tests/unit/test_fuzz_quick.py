"""A fixed, quick part of what benchmarks/fuzz.py does in bulk: wrong input is read or refused, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import fuzz
from benchmarks.fuzzing.runs import with_good_run
from benchmarks.fuzzing.target import Files, Rng, Target
from coldstart.errors import EngineError, UsageError

INPUTS = 3000
QUICK = {name: count for name, count in fuzz.plan(INPUTS).items() if name != "runs: figures"}


@pytest.fixture(scope="module", autouse=True)
def _good_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with with_good_run(tmp_path_factory.mktemp("good")):
        yield


@pytest.mark.parametrize("name", QUICK)
def test_wrong_input_is_read_or_refused(name: str) -> None:
    (target,) = [target for target in fuzz.TARGETS if target.name == name]
    tally, findings = fuzz.fuzz_apart(target, range(QUICK[name]))
    assert findings == []
    assert (tally.inputs, tally.read + tally.refused) == (QUICK[name], QUICK[name])


def test_an_input_is_made_from_its_number_alone() -> None:
    for target in fuzz.TARGETS:
        assert fuzz.make(target, 1, 5) == fuzz.make(target, 1, 5)


def test_a_plan_has_as_many_inputs_as_were_asked_for() -> None:
    assert sum(fuzz.plan(100_000).values()) == pytest.approx(100_000, abs=len(fuzz.TARGETS))


# --- the fuzzer itself: what it takes for a finding ---


def _target(read: object, cpu_limit_s: float = 10.0) -> Target:
    def make(_: Rng) -> Files:
        return {"x": b"begin BAD end"}

    assert callable(read)
    return Target("mine", 1, make, read, cpu_limit_s)


def _refuse(*_: object) -> None:
    raise UsageError("no")


def _refuse_as_an_engine(*_: object) -> None:
    raise EngineError("no")


def _refuse_without_a_word(*_: object) -> None:
    raise UsageError("")


def _fail_on_bad(files: Files, _: Path) -> None:
    if b"BAD" in files["x"]:
        raise KeyError("BAD")


def _loop(*_: object) -> None:
    while True:
        pass


def _die(*_: object) -> None:
    os._exit(9)


@pytest.mark.parametrize("read", [_refuse, _refuse_as_an_engine])
def test_a_refusal_with_a_message_is_no_finding(read: object) -> None:
    tally, findings = fuzz.fuzz(_target(read), range(2))
    assert (tally.refused, findings) == (2, [])


@pytest.mark.parametrize(
    ("read", "what"), [(_refuse_without_a_word, "UsageError"), (_fail_on_bad, "KeyError: 'BAD'"), (_loop, "_Overrun")]
)
def test_anything_else_is_a_finding(read: object, what: str) -> None:
    _, findings = fuzz.fuzz(_target(read, cpu_limit_s=0.2), range(1))
    assert [finding.what.startswith(what) for finding in findings] == [True]


def test_a_finding_keeps_its_smallest_input() -> None:
    _, (finding,) = fuzz.fuzz(_target(_fail_on_bad), range(1))
    assert finding.files == {"x": "BAD"}


def test_a_process_that_dies_is_a_finding_and_the_rest_is_tried() -> None:
    tally, findings = fuzz.fuzz_apart(_target(_die), range(2))
    assert (tally.inputs, [finding.number for finding in findings]) == (2, [0, 1])


def test_what_was_found_before_a_process_died_is_kept(tmp_path: Path) -> None:
    def fail_then_die(*_: object) -> None:
        if (tmp_path / "failed").exists():
            os._exit(9)
        (tmp_path / "failed").touch()
        raise KeyError("BAD")

    def make(_: Rng) -> Files:
        return {}

    tally, findings = fuzz.fuzz_apart(Target("mine", 1, make, fail_then_die, 10.0), range(2))
    assert (tally.inputs, [finding.what.partition(":")[0] for finding in findings]) == (
        2,
        ["KeyError", "the process died (status 2304)"],
    )


def test_a_record_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    path = tmp_path / "fuzz.json"
    first = fuzz.run(path, inputs=40, budget_s=0)
    assert first.inputs == 0
    names = fuzz.plan(40)
    record = fuzz.Record(targets={name: fuzz.Tally(inputs=count, read=count) for name, count in names.items()})
    fuzz._write(path, record)
    assert fuzz.run(path, inputs=40).targets == record.targets
