"""``coldstart compare``: within a run, between runs, and what has nothing in common."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coldstart.cli import compare as module
from coldstart.model.cell import Cell, CellPair, Side, Tier, Trial
from coldstart.model.run import Comparison
from coldstart.model.sample import Outcome, Phase, Sample, Source
from coldstart.store.writer import RunWriter
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_run import Done
from tests.unit.factories import (
    MS,
    make_cell,
    make_experiment,
    make_host,
    make_image,
    make_manifest,
    make_sample,
    make_span,
    make_spans,
)

RUNC, CRUN = make_cell(), make_cell(runtime="crun")


class Compare:
    """The command, and the runs it looks at."""

    def __init__(self, coldstart: Run, capfd: pytest.CaptureFixture[str], results: Path) -> None:
        self._coldstart = coldstart
        self._capfd = capfd
        self.results = results

    def __call__(self, *arguments: str) -> Done:
        code = self._coldstart("compare", *arguments, "--results", str(self.results))
        return Done(code, *self._capfd.readouterr())

    def effects(self, *arguments: str) -> list[dict[str, Any]]:
        done = self(*arguments, "--json")
        assert done.code == 0, done.err
        found: list[dict[str, Any]] = json.loads(done.out)
        return found

    def store(self, run_id: str, samples: Sequence[Sample], **fields: Any) -> str:
        experiment = make_experiment(runtime=("runc", "crun"))
        with RunWriter.create(
            self.results, make_manifest(**{"run_id": run_id, "experiment": experiment, **fields})
        ) as w:
            for sample in samples:
                w.append(sample)
        return run_id


def starts(run_id: str, inits_ms: dict[Cell, Sequence[int]], side: Side | None = None, **fields: Any) -> list[Sample]:
    return [
        make_sample(Trial(block=block, position=0, cell=cell, side=side), run_id=run_id, init_ns=value * MS, **fields)
        for cell, values in inits_ms.items()
        for block, value in enumerate(values)
    ]


@pytest.fixture
def compare(coldstart: Run, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Compare:
    return Compare(coldstart, capfd, tmp_path / "results")


@pytest.fixture
def one(compare: Compare) -> str:
    """A run in which crun is 20 ms quicker."""
    return compare.store("one", starts("one", {RUNC: [100 + n for n in range(6)], CRUN: [80 + n for n in range(6)]}))


def init_shift(effects: list[dict[str, Any]]) -> float:
    (effect,) = (effect for effect in effects if effect["column"] == "init_ns")
    return float(effect["shift_ns"]["value"])


def test_levels_of_a_factor_are_compared_with_the_runs_first(compare: Compare, one: str) -> None:
    effects = compare.effects(one, "--by", "runtime")
    assert init_shift(effects) == -20 * MS
    assert {effect["pair"]["baseline"]["runtime"] for effect in effects} == {"runc"}
    assert all(effect["paired"] for effect in effects)


def test_another_level_can_be_the_reference(compare: Compare, one: str) -> None:
    assert init_shift(compare.effects(one, "--by", "runtime", "--against", "crun")) == 20 * MS


def test_two_runs_are_compared_unpaired_in_the_cells_they_share(compare: Compare, one: str) -> None:
    two = compare.store("two", starts("two", {RUNC: [110 + n for n in range(6)]}))
    effects = compare.effects(one, two)
    assert init_shift(effects) == 10 * MS
    assert {effect["paired"] for effect in effects} == {False}
    assert {effect["pair"]["baseline"]["runtime"] for effect in effects} == {"runc"}


def test_a_gates_run_is_compared_as_the_gate_did(compare: Compare) -> None:
    pair = CellPair(baseline=RUNC, candidate=RUNC)
    comparison = Comparison(candidate=make_experiment(), pairs=(pair,))
    samples = [
        *starts("gate", {RUNC: [100, 101]}, Side.BASELINE),
        *starts("gate", {RUNC: [107, 108]}, Side.CANDIDATE),
    ]
    run = compare.store("gate", samples, comparison=comparison)
    assert init_shift(compare.effects(run)) == 7 * MS


def test_the_table_says_that_it_is_paired_and_shows_the_interval(compare: Compare, one: str) -> None:
    out = compare(one, "--by", "runtime").out
    assert "Phases, paired by block" in out
    assert "-20.0 ms (-20.0 ms to -20.0 ms)" in out


def test_it_can_be_had_as_markdown(compare: Compare, one: str) -> None:
    out = compare(one, "--by", "runtime", "--markdown").out
    assert out.startswith("## Comparison\n")
    assert "| docker/runc→crun/hello/alpine/absent/bridge | init | 6 |" in out


def test_other_hosts_and_experiments_are_compared_and_told(compare: Compare, one: str) -> None:
    two = compare.store(
        "two",
        starts("two", {RUNC: [100]}),
        host=make_host(host_id="f" * 16),
        experiment=make_experiment(name="other"),
    )
    done = compare(one, two)
    assert done.code == 0
    assert [message.partition("(")[0] for message in done.messages] == [
        "coldstart: the runs are of different hosts ",
        "coldstart: the runs are of different experiments ",
    ]


def test_runs_of_one_host_and_experiment_need_no_word(compare: Compare, one: str) -> None:
    assert compare(one, one).err == ""


def test_runs_of_different_sources_are_compared_on_the_one_both_have(compare: Compare) -> None:
    engine = make_spans(init_ns=100 * MS)
    (init,) = (span for span in engine if span.phase is Phase.INIT)
    traced = make_span(Phase.INIT, init.start_ns + 30 * MS, init.end_ns, source=Source.TRACE)  # sees it shorter
    first = compare.store("first", starts("first", {RUNC: [100]}, source="trace", spans=(*engine, traced)))
    second = compare.store("second", starts("second", {RUNC: [100]}))
    assert init_shift(compare.effects(first, second)) == 0
    assert init_shift(compare.effects(second, first)) == 0
    assert init_shift(compare.effects(first, first)) == 0


def test_every_factor_can_be_compared_by(compare: Compare) -> None:
    warm, cached = make_cell(tier=Tier.WARM), make_cell(tier=Tier.CACHED)
    experiment = make_experiment(tier=(Tier.WARM, Tier.CACHED))
    run = compare.store("tiers", starts("tiers", {warm: [100, 101], cached: [150, 151]}), experiment=experiment)
    assert init_shift(compare.effects(run, "--by", "tier")) == 50 * MS
    assert init_shift(compare.effects(run, "--by", "tier", "--against", "cached")) == -50 * MS


def test_without_the_packages_of_reports_nothing_is_compared(
    compare: Compare, one: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "can_report", lambda: False)
    done = compare(one, one)
    assert (done.code, done.messages) == (
        2,
        ["coldstart: a comparison needs packages that are not installed: pip install 'coldstart[report]'"],
    )


def test_a_gates_run_without_a_whole_block_has_nothing_to_compare(compare: Compare) -> None:
    comparison = Comparison(candidate=make_experiment(), pairs=(CellPair(baseline=RUNC, candidate=RUNC),))
    compare.store("half", starts("half", {RUNC: [100, 101]}, Side.BASELINE), comparison=comparison)
    done = compare("half")
    assert (done.code, done.messages) == (2, ["coldstart: there is nothing to compare: no block with both sides."])


def test_a_run_in_which_every_start_failed_has_no_cell_to_compare(compare: Compare, one: str) -> None:
    compare.store("failed", starts("failed", {RUNC: [100]}, outcome=Outcome.EXITED))
    assert compare("failed", one).code == 2


def test_a_run_without_a_sample_has_no_cell_to_compare(compare: Compare, one: str) -> None:
    compare.store("empty", [])
    for runs in (("empty", one), (one, "empty"), ("empty", "empty")):
        done = compare(*runs)
        assert (done.code, "no cell that both runs timed" in done.messages[-1]) == (2, True)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [("run.json", "{", "run.json: is damaged"), ("samples.jsonl", "x\n{}\n", "samples.jsonl:1: is damaged")],
)
def test_a_damaged_run_is_refused_with_the_place_of_the_damage(
    compare: Compare, one: str, name: str, text: str, message: str
) -> None:
    compare.store("two", starts("two", {RUNC: [100]}))
    (compare.results / "two" / name).write_text(text)
    done = compare(one, "two")
    assert (done.code, done.out, len(done.messages)) == (2, "", 1)
    assert message in done.messages[0]


def test_a_run_of_a_newer_version_is_refused(compare: Compare, one: str) -> None:
    compare.store("new", starts("new", {RUNC: [100]}), schema_version=99)
    done = compare(one, "new")
    assert (done.code, "has schema version 99" in done.messages[0]) == (2, True)


@pytest.mark.parametrize(("arguments", "word"), [((), "RUN"), (("one", "--by", "colour"), "colour")])
@pytest.mark.usefixtures("one")
def test_what_the_command_does_not_take_ends_with_2(compare: Compare, arguments: tuple[str, ...], word: str) -> None:
    done = compare(*arguments)
    assert (done.code, word in done.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("one",), "nothing to compare in it"),
        (("one", "--against", "crun"), "name that, too"),
        (("one", "--by", "runtime", "--against", "rnc"), "unknown runtime 'rnc'; did you mean 'runc'"),
        (("one", "--by", "tier"), "no two levels of tier"),
        (("one", "one", "one"), "compare two runs"),
        (("one", "one", "--by", "runtime"), "compare two runs"),
        (("one", "lonely"), "no cell that both runs timed"),
        (("one", "none"), "no run 'none'"),
    ],
)
@pytest.mark.usefixtures("one")
def test_what_cannot_be_compared_ends_with_2(compare: Compare, arguments: tuple[str, ...], message: str) -> None:
    compare.store("lonely", starts("lonely", {make_cell(variant="scratch"): [100]}))
    done = compare(*arguments)
    assert done.code == 2
    assert message in done.messages[-1]


def test_runs_of_one_image_that_was_packed_otherwise_are_compared_with_a_word(compare: Compare) -> None:
    image = make_image()
    packed = tuple(msgspec.structs.replace(layer, digest=f"{layer.digest}0") for layer in image.layers)
    for name, layers in (("a", image.layers), ("b", packed)):
        compare.store(
            name,
            starts(name, {RUNC: [100 + n for n in range(6)]}),
            images=(msgspec.structs.replace(image, layers=layers),),
        )
    assert "2 layers of the same content are packed otherwise" in compare("a", "b").err
    assert compare("a", "a").err == ""


@pytest.mark.parametrize("other", [("--by", "runtime"), ("plain",)])
def test_two_sides_of_one_name_are_not_mixed(compare: Compare, other: tuple[str, ...]) -> None:
    pairs = (CellPair(baseline=RUNC, candidate=RUNC),)
    mixed = Comparison(candidate=make_experiment(name="other"), pairs=pairs)
    compare.store("mixed", starts("mixed", {RUNC: [100]}), comparison=mixed)
    compare.store("plain", starts("plain", {RUNC: [100]}))
    done = compare("mixed", *other)
    assert (done.code, "would be taken for one" in done.err) == (2, True), done.err
