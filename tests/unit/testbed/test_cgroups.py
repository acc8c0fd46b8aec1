"""Our cgroup goes, and so do the controllers a runtime turned on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from coldstart.errors import TestbedError
from coldstart.testbed import cgroups
from coldstart.testbed.config import Layout
from coldstart.testbed.mounts import Mount


def hierarchy(point: Path, kind: str = "cgroup2") -> Mount:
    """A mounted hierarchy."""
    return Mount(device="0:26", point=point, kind=kind, source=kind)


@pytest.mark.parametrize(
    ("kinds", "version"),
    [
        (("cgroup2",), "v2"),
        (("cgroup", "cgroup"), "v1"),
        (("cgroup", "cgroup2"), "hybrid"),
        (("tmpfs", "cgroup2"), "v2"),
        (("tmpfs",), None),
        ((), None),
    ],
)
def test_the_version_follows_from_what_is_mounted(kinds: tuple[str, ...], version: str | None) -> None:
    assert cgroups.version(tuple(hierarchy(Path("/x"), kind) for kind in kinds)) == version


def test_points_are_those_of_the_kinds_asked_for_once_each() -> None:
    table = tuple(
        hierarchy(Path(point), kind) for point, kind in [("/a", "cgroup"), ("/b", "cgroup2"), ("/a", "cgroup")]
    )
    assert cgroups.points(table, "cgroup") == (Path("/a"),)


def test_points_of_several_kinds_keep_the_tables_order() -> None:
    table = (hierarchy(Path("/b"), "cgroup2"), hierarchy(Path("/a"), "cgroup"), hierarchy(Path("/c"), "tmpfs"))
    assert cgroups.points(table, "cgroup", "cgroup2") == (Path("/b"), Path("/a"))


def test_the_controllers_of_each_hierarchy_are_read(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory\n")
    assert cgroups.controllers((hierarchy(tmp_path),)) == {str(tmp_path): ("cpu", "memory")}


def test_a_hierarchy_that_gives_nothing_has_no_controllers(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("\n")
    assert cgroups.controllers((hierarchy(tmp_path),)) == {str(tmp_path): ()}


def test_a_hierarchy_that_cannot_be_read_does_not_hide_the_next(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu\n")
    assert cgroups.controllers((hierarchy(tmp_path / "gone"), hierarchy(tmp_path))) == {str(tmp_path): ("cpu",)}


def test_a_v1_hierarchy_has_no_controllers_to_give(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu\n")
    assert cgroups.controllers((hierarchy(tmp_path, "cgroup"),)) == {}


def test_a_controller_that_was_added_is_taken_back(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory\n")
    cgroups.restore({str(tmp_path): ("cpu",)})
    assert (tmp_path / "cgroup.subtree_control").read_text() == "-memory"


def test_controllers_that_were_there_before_stay(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory\n")
    cgroups.restore({str(tmp_path): ("memory", "cpu", "io")})
    assert (tmp_path / "cgroup.subtree_control").read_text() == "cpu memory\n"


def test_a_hierarchy_that_is_gone_does_not_keep_the_next_from_being_restored(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("memory\n")
    cgroups.restore({str(tmp_path / "gone"): (), str(tmp_path): ()})
    assert (tmp_path / "cgroup.subtree_control").read_text() == "-memory"


def test_a_controller_a_neighbour_relies_on_does_not_keep_the_next_from_being_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory\n")
    written = []

    def write(_: Path, text: str) -> None:
        written.append(text)
        if text == "-cpu":
            raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(Path, "write_text", write)
    cgroups.restore({str(tmp_path): ()})
    assert written == ["-cpu", "-memory"]


def test_our_cgroup_is_removed_with_those_nested_in_it_from_every_hierarchy(tmp_path: Path, layout: Layout) -> None:
    for name in ("v1", "v2"):
        (tmp_path / name / layout.name / "container" / "init").mkdir(parents=True)
    table = (hierarchy(tmp_path / "v1", "cgroup"), hierarchy(tmp_path / "v2"))
    removed = cgroups.remove(layout, table)
    assert (removed, {path.name for path in tmp_path.rglob("*")}) == (6, {"v1", "v2"})


def test_the_cgroups_of_others_stay(tmp_path: Path, layout: Layout) -> None:
    (tmp_path / f"{layout.name}0" / layout.name).mkdir(parents=True)
    assert cgroups.remove(layout, (hierarchy(tmp_path),)) == 0


def test_a_cgroup_that_stays_in_use_is_an_error_that_names_it(
    tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "_REMOVE_TIMEOUT_NS", -1)
    (tmp_path / layout.name).mkdir()
    (tmp_path / layout.name / "in-use").touch()
    with pytest.raises(TestbedError, match=rf"{tmp_path / layout.name} is still in use.*cgroup\.procs"):
        cgroups.remove(layout, (hierarchy(tmp_path),))


def test_a_cgroup_is_waited_for_while_the_kernel_still_counts_a_dead_process(
    tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = tmp_path / layout.name / "in-use"
    busy.parent.mkdir()
    busy.touch()
    monkeypatch.setattr(time, "sleep", lambda _: busy.unlink())
    assert cgroups.remove(layout, (hierarchy(tmp_path),)) == 1


def test_a_cgroup_that_went_by_itself_is_removed(tmp_path: Path) -> None:
    assert cgroups._removed(tmp_path / "gone")
