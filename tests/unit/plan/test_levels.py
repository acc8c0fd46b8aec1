"""Comma lists of levels, and counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.errors import UnknownNameError, UsageError
from coldstart.model.cell import Network, Tier
from coldstart.plan.levels import (
    MAX_RUNS,
    checked_runs,
    checked_timeout_ns,
    checked_warmup,
    checked_workloads,
    parse_levels,
    parse_networks,
    parse_tiers,
    parse_workloads,
)


def test_a_comma_list_is_read_in_its_order() -> None:
    assert parse_levels("runtime", "runc, crun ,runsc") == ("runc", "crun", "runsc")


def test_tiers_are_read_as_tiers() -> None:
    assert parse_tiers("warm,absent") == (Tier.WARM, Tier.ABSENT)


def test_networks_are_read_as_networks() -> None:
    assert parse_networks("host,none") == (Network.HOST, Network.NONE)


def test_an_unknown_level_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown tier 'cashed'; did you mean 'cached'\?"):
        parse_tiers("warm,cashed")


def test_an_unknown_network_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown network 'brigde'; did you mean 'bridge'\?"):
        parse_networks("brigde")


def test_a_level_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="runtime 'runc' is given twice"):
        parse_levels("runtime", "runc,crun,runc")


@pytest.mark.parametrize("text", ["", " ", ",", "runc,", ",runc", "runc,,crun", "a b", "../x", "a/b", "-x", "naïve"])
def test_what_no_factor_can_be_called_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be a runtime: names are letters, digits"):
        parse_levels("runtime", text)


@pytest.mark.parametrize("name", ["io.containerd.runc.v2", "crun-wasm", "go1.25+x", "a_b", "7"])
def test_names_that_exist_are_accepted(name: str) -> None:
    assert parse_levels("runtime", name) == (name,)


@pytest.mark.parametrize("runs", [0, -1, MAX_RUNS + 1])
def test_runs_out_of_range_are_refused(runs: int) -> None:
    with pytest.raises(UsageError, match=f"{runs} runs cannot be measured; ask for 1 to"):
        checked_runs(runs)


@pytest.mark.parametrize("runs", [1, MAX_RUNS])
def test_runs_in_range_are_accepted(runs: int) -> None:
    assert checked_runs(runs) == runs


@pytest.mark.parametrize("warmup", [-1, MAX_RUNS + 1])
def test_warm_up_blocks_out_of_range_are_refused(warmup: int) -> None:
    with pytest.raises(UsageError, match="warm-up blocks cannot be run; ask for 0 to"):
        checked_warmup(warmup)


@pytest.mark.parametrize("warmup", [0, MAX_RUNS])
def test_no_warm_up_is_a_choice(warmup: int) -> None:
    assert checked_warmup(warmup) == warmup


@pytest.mark.parametrize("timeout_ns", [0, -1])
def test_a_timeout_of_nothing_is_refused(timeout_ns: int) -> None:
    with pytest.raises(UsageError, match="timeout of nothing"):
        checked_timeout_ns(timeout_ns)


def test_the_shortest_timeout_is_accepted() -> None:
    assert checked_timeout_ns(1) == 1


def test_a_workload_with_a_slash_is_a_folder_and_called_as_it_is(tmp_path: Path) -> None:
    found = checked_workloads(["hello", "./app", "../other"], tmp_path / "here")
    assert found.names == ("hello", "app", "other")
    assert found.folders == {"app": str(tmp_path / "here" / "app"), "other": str(tmp_path / "other")}


def test_a_list_of_workloads_has_names_and_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_workloads("hello, ./app/") == (("hello", "app"), {"app": str(tmp_path / "app")})


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["a/app", "b/app"], "workload 'app' is given twice"),
        (["./my app"], "'my app' cannot be a workload"),
        (["/"], "'' cannot be a workload"),
        ([], "no workload is given"),
    ],
)
def test_folders_that_cannot_be_levels_are_refused(texts: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        checked_workloads(texts)
