"""Runs on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from coldstart.model.run import RunManifest
from coldstart.model.sample import Sample
from coldstart.store.writer import RunWriter
from tests.unit.factories import make_manifest, make_sample, make_trial

Store = Callable[..., Path]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Store samples (three, of blocks 0 to 2, unless given) under ``results`` and name the run's folder."""

    def write(*samples: Sample, manifest: RunManifest | None = None) -> Path:
        given = samples or tuple(make_sample(make_trial(block=block)) for block in range(3))
        with RunWriter.create(tmp_path / "results", manifest or make_manifest()) as writer:
            for sample in given:
                writer.append(sample)
            return writer.path

    return write
