"""Workloads: folders, each with a ``workload.toml``, its sources, and a Dockerfile a variant.

Those of the catalogue come with coldstart; one's own are anywhere, and named by their folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from coldstart.decoding import UNREADABLE, decode_toml, read_named
from coldstart.discovery import catalogue_dir
from coldstart.errors import InputFileError, UnknownNameError, UsageError
from coldstart.images.bases import NAMES as BASE_NAMES
from coldstart.model.probe import ProbeSpec
from coldstart.opening import is_file

FILE_NAME = "workload.toml"

_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")  # also a repository's: github.com/distribution/reference
_VARIANT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # also a tag


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to package a workload: ``bases`` are the base images its Dockerfile takes as arguments."""

    dockerfile: str
    description: str
    bases: tuple[str, ...] = ()


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """An application to start: ``folder`` is the build context, ``ready`` how its readiness is judged.

    ``wheels`` are the pip requirements files, in that folder, whose wheels its builds find in ``wheels/``.
    """

    name: str
    description: str
    ready: ProbeSpec
    variants: dict[str, Variant]
    folder: Path
    wheels: tuple[str, ...] = ()

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
    wheels: tuple[str, ...] = ()


def load_workload(path: Path) -> Workload:
    """Read and check one ``workload.toml``, and that the files it names exist.

    Raises:
        InputFileError: unreadable, not TOML, a key missing, unknown or of the wrong type, a file missing.
        UnknownNameError: a base nobody makes.
    """
    try:
        file = msgspec.convert(decode_toml(read_named(path).decode("utf-8-sig")), _File)
    except OSError as error:
        raise InputFileError(path, f"cannot be read ({error.strerror}).") from error
    except UNREADABLE as error:
        raise InputFileError(path, f"{error}.", "Keys: name, description, ready, wheels, variants.NAME.") from error
    if file.name != path.resolve().parent.name:
        raise InputFileError(
            f"{path}, key name", f"{file.name!r} is not its folder's name, {path.resolve().parent.name!r}."
        )
    if not _NAME.fullmatch(file.name):
        raise InputFileError(
            f"{path}, key name",
            f"{file.name!r} cannot be a repository's name.",
            "Use lower-case letters and digits, with single . _ - between them.",
        )
    if not file.variants:
        raise InputFileError(f"{path}, key variants", "at least one variant is needed.")
    try:
        ready = ProbeSpec.parse(file.ready)
    except UsageError as error:
        raise InputFileError(f"{path}, key ready", str(error)) from error
    for name, variant in file.variants.items():
        _check(path, name, variant)
    for name in file.wheels:
        _check_file(path, name, f"{path}, key wheels")
    return Workload(
        name=file.name,
        description=file.description,
        ready=ready,
        variants=file.variants,
        folder=path.parent,
        wheels=file.wheels,
    )


def catalogue(folder: Path | None = None) -> dict[str, Workload]:
    """Every workload of the catalogue (or of ``folder``), by name.

    Raises:
        InputFileError, UnknownNameError: as `load_workload`.
    """
    root = catalogue_dir("workloads") if folder is None else folder
    workloads = (load_workload(path) for path in sorted(root.glob(f"*/{FILE_NAME}")))
    return {workload.name: workload for workload in workloads}


def with_own(folders: Mapping[str, str]) -> dict[str, Workload]:
    """The catalogue's workloads and one's own, by name; ``folders`` has the latter's.

    Raises:
        InputFileError: one is called as a workload of the catalogue is and is another; and as `load_workload`.
        UnknownNameError: as `load_workload`.
    """
    known = catalogue()
    for name, folder in folders.items():
        own = load_workload(Path(folder) / FILE_NAME)
        if name in known and known[name].folder.resolve() != own.folder.resolve():
            raise InputFileError(
                f"{own.folder / FILE_NAME}, key name",
                f"the catalogue has a workload {name!r}.",
                "Give the folder, and the name in it, another.",
            )
        known[name] = own
    return known


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
    if not _VARIANT_NAME.fullmatch(name):
        raise InputFileError(where, f"{name!r} cannot be a tag.", "Use letters, digits and . _ -")
    _check_file(path, variant.dockerfile, f"{where}.dockerfile")
    for base in variant.bases:
        if base not in BASE_NAMES:
            raise UnknownNameError("base", base, BASE_NAMES, f"{where}.bases")


def _check_file(path: Path, name: str, where: str) -> None:
    if Path(name).name != name:
        raise InputFileError(where, f"{name!r} is not a file name in that folder.")
    if not is_file(path.parent / name):
        raise InputFileError(where, f"there is no {path.parent / name}.")
