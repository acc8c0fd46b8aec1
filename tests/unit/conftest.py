"""An engine of somebody's own, without one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.engines.fake_daemon import FakeDaemon, serving


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    """A Docker in memory; its socket's path is short, as unix(7) needs it."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "docker.sock") as fake:
        yield fake
