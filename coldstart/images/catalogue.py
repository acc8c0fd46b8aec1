"""Workloads: folders of the catalogue, each with a ``workload.toml``, its sources, and a Dockerfile a variant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from coldstart.discovery import catalogue_dir
from coldstart.errors import InputFileError, UnknownNameError, UsageError
from coldstart.images.bases import NAMES as BASE_NAMES
from coldstart.model.probe import ProbeSpec

FILE_NAME = "workload.toml"


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to package a workload: ``bases`` are the base images its Dockerfile takes as arguments."""

    dockerfile: str
    description: str
    bases: tuple[str, ...] = ()


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """An application to start: ``folder`` is the build context, ``ready`` how its readiness is judged."""

    name: str
    description: str
    ready: ProbeSpec
    variants: dict[str, Variant]
    folder: Path

    def variant(self, name: str) -> Variant:
        """The variant called ``name``.

        Raises:
            UnknownNameError: it has none of that name.
        """
        if name not in self.variants:
            raise UnknownNameError("variant", name, self.variants, f"workload {self.name}")
        return self.variants[name]


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workload.toml as written."""

    name: str
    description: str
    ready: str
    variants: dict[str, Variant]


def load_workload(path: Path) -> Workload:
    """Read and check one ``workload.toml``, and that its Dockerfiles exist.

    Raises:
        InputFileError: unreadable, not TOML, a key missing, unknown or of the wrong type, a Dockerfile missing.
        UnknownNameError: a base nobody makes.
    """
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise InputFileError(path, f"cannot be read ({error.strerror}).") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputFileError(path, f"{error}.", "Keys: name, description, ready, variants.NAME.") from error
    if file.name != path.parent.name:
        raise InputFileError(f"{path}, key name", f"{file.name!r} is not its folder's name, {path.parent.name!r}.")
    if not file.variants:
        raise InputFileError(f"{path}, key variants", "at least one variant is needed.")
    try:
        ready = ProbeSpec.parse(file.ready)
    except UsageError as error:
        raise InputFileError(f"{path}, key ready", str(error)) from error
    for name, variant in file.variants.items():
        _check(path, name, variant)
    return Workload(
        name=file.name, description=file.description, ready=ready, variants=file.variants, folder=path.parent
    )


def catalogue(folder: Path | None = None) -> dict[str, Workload]:
    """Every workload of the catalogue (or of ``folder``), by name.

    Raises:
        InputFileError, UnknownNameError: as `load_workload`.
    """
    root = catalogue_dir("workloads") if folder is None else folder
    workloads = (load_workload(path) for path in sorted(root.glob(f"*/{FILE_NAME}")))
    return {workload.name: workload for workload in workloads}


def find(workloads: Mapping[str, Workload], workload: str, variant: str) -> tuple[Workload, Variant]:
    """A workload and one of its variants, by name.

    Raises:
        UnknownNameError: there is none.
    """
    if workload not in workloads:
        raise UnknownNameError("workload", workload, workloads)
    return workloads[workload], workloads[workload].variant(variant)


def _check(path: Path, name: str, variant: Variant) -> None:
    where = f"{path}, key variants.{name}"
    if Path(variant.dockerfile).name != variant.dockerfile:
        raise InputFileError(f"{where}.dockerfile", f"{variant.dockerfile!r} is not a file name in that folder.")
    if not (path.parent / variant.dockerfile).is_file():
        raise InputFileError(f"{where}.dockerfile", f"there is no {path.parent / variant.dockerfile}.")
    for base in variant.bases:
        if base not in BASE_NAMES:
            raise UnknownNameError("base", base, BASE_NAMES, f"{where}.bases")
