"""A testbed is taken apart by what is found, whatever of it there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coldstart.errors import TestbedError
from coldstart.testbed import cgroups, mounts, processes, storage
from coldstart.testbed.config import Layout
from coldstart.testbed.marker import MARKER, Claim, claim_folder
from coldstart.testbed.repair import clear
from tests.unit.testbed.records import tagged


def test_where_nothing_is_left_nothing_is_removed(layout: Layout) -> None:
    assert clear(layout, None) == 0


def test_the_root_folder_stays(layout: Layout) -> None:
    claim = claim_folder(layout.root, layout.id)
    clear(layout, claim)
    assert [path.name for path in layout.root.iterdir()] == [MARKER]


def test_processes_are_ended_without_a_claim(layout: Layout) -> None:
    with tagged(layout, processes.ENGINE):
        assert (clear(layout, None), processes.find(layout)) == (1, ())


def test_a_data_root_elsewhere_is_removed(layout: Layout, tmp_path: Path) -> None:
    claim_folder(tmp_path / "data", layout.id)
    (tmp_path / "data" / "overlay2").mkdir()
    count = clear(layout, Claim(id=layout.id, made=True, data_root=tmp_path / "data"))
    assert (count, (tmp_path / "data").exists()) == (1, False)


def test_a_data_root_that_is_not_ours_is_left_alone(layout: Layout, tmp_path: Path) -> None:
    claim_folder(tmp_path / "data", "neighbour")
    with pytest.raises(TestbedError, match="belongs to another testbed"):
        clear(layout, Claim(id=layout.id, made=True, data_root=tmp_path / "data"))


def test_controllers_that_were_added_are_taken_back(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory\n")
    clear(layout, Claim(id=layout.id, made=True, controllers={str(tmp_path): ("cpu",)}))
    assert (tmp_path / "cgroup.subtree_control").read_text() == "-memory"


def test_each_part_is_removed_when_nothing_uses_it_any_more_and_all_are_counted(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes use cgroups and mounts; mounts use loop devices, and a data-root cannot go under a mount."""
    steps: list[str] = []

    def part(module: object, name: str, count: int) -> None:
        def take(*_: Any) -> int:
            steps.append(name)
            return count

        monkeypatch.setattr(module, name, take)

    part(processes, "end", 1)
    part(cgroups, "remove", 10)
    part(mounts, "unmount_below", 100)
    part(storage, "release_loops", 1000)
    claim_folder(tmp_path / "data", layout.id)
    count = clear(layout, Claim(id=layout.id, made=True, data_root=tmp_path / "data"))
    assert (count, steps) == (1112, ["end", "remove", "unmount_below", "release_loops"])
