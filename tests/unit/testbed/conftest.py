"""Folders that a testbed could be in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from coldstart.testbed import block
from coldstart.testbed.config import Layout


@pytest.fixture
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A testbed's root, absent yet, whose path leaves room for the engine's sockets."""
    return tmp_path_factory.mktemp("t") / "r"


@pytest.fixture
def layout(root: Path) -> Layout:
    """The layout of ``root``, whose folder is there."""
    root.mkdir()
    return Layout.of(root)


@pytest.fixture
def on_disk(tmp_path: Path) -> Path:
    """A folder whose files' pages can leave memory."""
    filesystem = block.filesystem_of(tmp_path)
    if filesystem is None or filesystem.kind in {"tmpfs", "ramfs"}:
        pytest.skip(f"{tmp_path} is in memory: its pages have no disk to go to")
    return tmp_path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is looked into first for executables."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder
