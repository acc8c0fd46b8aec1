"""Steps from an older schema are taken one by one, none left out."""

from __future__ import annotations

import pytest

from coldstart.model.run import SCHEMA_VERSION
from coldstart.store.migrations import MIGRATIONS, Migration, steps_from

ONE, TWO = (Migration(manifest=lambda record: record, sample=lambda record: record) for _ in range(2))


def test_the_present_schema_needs_no_step() -> None:
    assert steps_from(SCHEMA_VERSION) == ()


def test_steps_come_in_order() -> None:
    steps = steps_from(1, {2: TWO, 1: ONE}, to=3)
    assert (steps[0] is ONE, steps[1] is TWO, len(steps)) == (True, True, 2)


def test_a_missing_step_is_an_error() -> None:
    with pytest.raises(LookupError):
        steps_from(1, {1: ONE}, to=3)


def test_every_version_since_the_first_is_migrated() -> None:
    assert set(MIGRATIONS) == set(range(1, SCHEMA_VERSION))
