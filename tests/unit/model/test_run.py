"""What a manifest says of a run with two sides."""

from __future__ import annotations

from typing import Any

import pytest

from coldstart.errors import UsageError
from coldstart.model.cell import CellPair
from coldstart.model.options import ContainerOptions
from coldstart.model.run import Comparison, RunManifest
from tests.unit.factories import make_cell, make_experiment, make_image, make_manifest

SAME = CellPair(baseline=make_cell(), candidate=make_cell())
OTHER = CellPair(baseline=make_cell(), candidate=make_cell(runtime="crun"))
WITH_OPTIONS = make_experiment(options=ContainerOptions(env=("A=1",)))


def compared(*pairs: CellPair, **fields: Any) -> RunManifest:
    comparison = Comparison(**{"candidate": make_experiment(), "pairs": pairs, **fields})
    return make_manifest(experiment=make_experiment(), comparison=comparison)


@pytest.mark.parametrize("fields", [{"candidate": WITH_OPTIONS}, {"images": (make_image(variant="pr"),)}])
def test_two_contenders_of_one_name_are_not_taken_for_one(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"go by the name {SAME.key}, and would be taken for one"):
        compared(OTHER, SAME, **fields).refuse_mixed_sides()


def test_a_start_against_itself_and_sides_of_different_names_may_be_looked_at_as_cells() -> None:
    compared(SAME).refuse_mixed_sides()
    compared(OTHER, candidate=WITH_OPTIONS).refuse_mixed_sides()
    make_manifest().refuse_mixed_sides()
