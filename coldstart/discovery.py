"""What is added without an edit elsewhere: modules of a package, entry points, the catalogue."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from coldstart.errors import UnknownNameError


def discover(package: ModuleType, hidden: frozenset[str] = frozenset()) -> dict[str, Callable[[], Any]]:
    """Loaders by name: the public modules of ``package`` (``base`` and ``hidden`` apart), then entry points.

    Entry points belong to the group named as the package is (``coldstart.probes``). A loader imports on call and
    returns a module or whatever the entry point names.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415  6 ms that --version need not pay

    loaders: dict[str, Callable[[], Any]] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_") and module.name not in hidden | {"base"}:
            name = f"{package.__name__}.{module.name}"
            loaders[module.name] = lambda name=name: importlib.import_module(name)  # type: ignore[misc]
    for point in entry_points(group=package.__name__):
        loaders.setdefault(point.name, point.load)
    return loaders


def load(package: ModuleType, kind: str, name: str, hidden: frozenset[str] = frozenset()) -> Any:
    """The plug-in called ``name``.

    Raises:
        UnknownNameError: there is none; ``kind`` is what the message calls it.
    """
    loaders = discover(package, hidden)
    if name not in loaders:
        raise UnknownNameError(kind, name, loaders)
    return loaders[name]()


def catalogue_dir(part: str) -> Path:
    """The folder of ``experiments``, ``workloads`` or ``targets``: in a checkout ``benchmarks/``, else in the wheel."""
    package = Path(__file__).resolve().parent
    shipped = package / "_catalogue" / part
    return shipped if shipped.is_dir() else package.parent / "benchmarks" / part
