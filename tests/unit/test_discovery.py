"""Plug-ins are found by being there: modules of a package, then entry points."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from coldstart.discovery import catalogue_dir, discover, load
from coldstart.errors import UnknownNameError

PACKAGE = "coldstart_test_plugins"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A package with the modules alpha, broken, base, _private and machinery, and one entry point, outside."""
    folder = tmp_path / PACKAGE
    folder.mkdir()
    for name in ("__init__", "alpha", "base", "_private", "machinery"):
        (folder / f"{name}.py").write_text(f"NAME = {name!r}\n")
    (folder / "broken.py").write_text("raise RuntimeError('imported too early')\n")
    metadata = tmp_path / "elsewhere-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        f"[{PACKAGE}]\noutside = coldstart_test_outside\nalpha = coldstart_test_outside\n"
    )
    (tmp_path / "coldstart_test_outside.py").write_text("NAME = 'outside'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module(PACKAGE)
    for name in [name for name in sys.modules if name.startswith("coldstart_test_")]:
        del sys.modules[name]


def test_public_modules_and_entry_points_are_found(package: ModuleType) -> None:
    assert set(discover(package)) == {"alpha", "broken", "machinery", "outside"}


def test_a_hidden_module_is_not_found(package: ModuleType) -> None:
    assert "machinery" not in discover(package, hidden=frozenset({"machinery"}))


def test_finding_a_plug_in_does_not_import_it(package: ModuleType) -> None:
    discover(package)
    assert f"{PACKAGE}.alpha" not in sys.modules


def test_a_module_is_loaded_by_its_name(package: ModuleType) -> None:
    assert load(package, "thing", "machinery").NAME == "machinery"


def test_an_entry_point_of_another_distribution_is_loaded_by_its_name(package: ModuleType) -> None:
    assert load(package, "thing", "outside").NAME == "outside"


def test_our_own_module_wins_over_an_entry_point_of_its_name(package: ModuleType) -> None:
    assert load(package, "thing", "alpha").NAME == "alpha"


def test_an_unknown_plug_in_is_answered_with_the_nearest(package: ModuleType) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown thing 'alfa'; did you mean 'alpha'\?"):
        load(package, "thing", "alfa")


def test_the_base_module_is_no_plug_in(package: ModuleType) -> None:
    with pytest.raises(UnknownNameError, match="unknown thing 'base'"):
        load(package, "thing", "base")


@pytest.mark.parametrize("part", ["experiments", "workloads", "targets"])
def test_in_a_checkout_the_catalogue_is_the_benchmarks_folder(part: str) -> None:
    assert catalogue_dir(part) == Path(__file__).resolve().parents[2] / "benchmarks" / part
