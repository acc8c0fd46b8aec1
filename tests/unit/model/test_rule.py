"""What a gate tolerates, cell by cell."""

from __future__ import annotations

import pytest

from coldstart.model.cell import Cell, CellPair, Network, Tier
from coldstart.model.rule import Rule, matches

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
        ("*/main→pr/*", False),
        ("", False),
    ],
)
def test_a_level_or_pattern_names_the_cells_that_have_it_on_either_side(pattern: str, found: bool) -> None:
    assert matches(pattern, PAIR) is found


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
