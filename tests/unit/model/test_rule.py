"""What a gate tolerates, cell by cell."""

from __future__ import annotations

import msgspec
import pytest

from coldstart.errors import UnknownNameError, UsageError
from coldstart.model.cell import Cell, CellPair, Network, Tier
from coldstart.model.rule import Rule, check_patterns, check_questions, matches, names_of

CELL = Cell(engine="docker", runtime="crun", workload="app", variant="main", tier=Tier.ABSENT, network=Network.BRIDGE)
PAIR = CellPair(
    baseline=CELL,
    candidate=Cell(
        engine="docker", runtime="crun", workload="app", variant="pr", tier=Tier.ABSENT, network=Network.BRIDGE
    ),
)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("absent", True),
        ("warm", False),
        ("main", True),
        ("pr", True),
        ("abs", False),
        ("*/absent/*", True),
        ("*/pr/*", True),
        ("docker/crun/app/main/absent/bridge", True),
        ("docker/runc/*", False),
        ("*/CRUN/*", False),
        ("ABSENT", False),
        ("*/main→pr/*", True),
        ("main→pr", True),
        ("", False),
    ],
)
def test_a_level_or_pattern_names_the_cells_that_have_it_on_either_side(pattern: str, found: bool) -> None:
    assert matches(pattern, names_of(PAIR)) is found


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (
            "abesnt",
            "--max-slowdown abesnt=…: unknown level or phase 'abesnt'; did you mean 'absent'? Known: absent, app",
        ),
        ("unpak", "did you mean 'unpack'?"),
        ("e2e", "unknown level or phase 'e2e'"),
        ("", "unknown level or phase ''"),
        (
            "docker/runc/app/main/absent/bridge",
            "unknown cell 'docker/runc/app/main/absent/bridge'; did you mean 'docker/crun",
        ),
        ("*/warm/*", "unknown cell '*/warm/*'"),
    ],
)
def test_a_pattern_that_names_nothing_is_refused_with_the_nearest(pattern: str, words: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        check_questions(Rule(cells={"absent": 0.1, pattern: 0.2}), [PAIR])
    assert words in str(caught.value)


def test_patterns_and_phases_that_name_something_are_asked() -> None:
    metrics = dict.fromkeys(("pull", "unpack", "create", "init", "readiness"), 0.1)
    check_questions(Rule(cells={"absent": 0.1, "*/pr/*": 0.2}, metrics=metrics), [PAIR])
    check_patterns(Rule(cells={"cold": 0.1}), ["warm", "x/cold"])


@pytest.mark.parametrize("phase", ["pull", "unpack"])
def test_a_phase_of_pulls_is_refused_where_nobody_pulls(phase: str) -> None:
    warm = msgspec.structs.replace(CELL, tier=Tier.WARM)
    with pytest.raises(UsageError, match=f"--max-slowdown {phase}=…: only starts of tier absent pull"):
        check_questions(Rule(metrics={phase: 0.1}), [CellPair(baseline=warm, candidate=warm)])
    check_questions(Rule(metrics={"create": 0.1}), [CellPair(baseline=warm, candidate=warm)])


def test_the_last_match_decides_what_is_tolerated() -> None:
    rule = Rule(max_slowdown=0.05, cells={"absent": 0.10, "*/crun/*": 0.20, "warm": 0.30})
    assert rule.tolerated(PAIR) == 0.20


def test_of_two_matches_a_narrower_one_that_comes_first_does_not_decide() -> None:
    assert Rule(cells={"docker/crun/app/main/absent/bridge": 0.10, "*": 0.20}).tolerated(PAIR) == 0.20


def test_what_is_tolerated_of_a_phase_is_not_what_is_tolerated_of_end_to_end() -> None:
    assert Rule(max_slowdown=0.07, metrics={"pull": 0.30}).tolerated(PAIR) == 0.07


def test_without_a_match_the_rules_own_is_tolerated() -> None:
    assert Rule(max_slowdown=0.07, cells={"warm": 0.30}).tolerated(PAIR) == 0.07


def test_a_pairs_name_shows_what_differs() -> None:
    assert PAIR.key == "docker/crun/app/main→pr/absent/bridge"


def test_the_levels_of_the_looks_add_up_to_alpha() -> None:
    rule = Rule(alpha=0.04, looks=(6, 12, 24, 48))
    assert rule.alpha_at_look == 0.01
