"""experiment.toml to a validated `Experiment`, strictly: what is not understood is refused, with the nearest name.

The format, with ``[options]`` and all but ``name``, ``runs`` and the first four factors optional::

    name = "article"
    description = "what it shows"
    runs = 20                   # measured blocks
    warmup = 1                  # blocks before them, declared to be left out
    timeout = "30s"             # for one start, from its request until it is ready
    ready = "http:8080/"        # instead of each workload's own probe
    targets = ["article"]       # published claims to compare with
    egress = true               # open the testbed to other networks, for apps that need them; default: false

    [factors]                   # the cells are the full crossing of these
    runtime = ["runc", "crun"]
    workload = ["hello"]        # or a folder, "./my-app", relative to this file
    variant = ["alpine"]        # a pair that a workload does not offer is left out
    tier = ["absent", "cached", "warm"]
    engine = ["docker"]
    network = ["bridge"]

    [options]                   # every container's, with Docker's names and units
    memory = "512m"
    cpus = 0.5
    cpuset_cpus = "0-1"
    env = ["NAME=value"]
    volumes = ["/host:/container:ro"]
    devices = ["/dev/gpiomem"]
    command = ["/server", "--fast"]
    user = "1000:1000"          # likewise entrypoint, workdir, hostname, shm_size = "64m", read_only = true, init and
    ulimits = ["nofile=4096"]   # privileged; and lists: mounts, tmpfs, cap_add, cap_drop, security_opt, add_hosts, dns,
                                # dns_options, labels
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from coldstart.decoding import decode_toml, read_named
from coldstart.discovery import catalogue_dir
from coldstart.errors import InputFileError, UnknownNameError, UsageError
from coldstart.model.cell import Network, Tier
from coldstart.model.experiment import Experiment
from coldstart.model.options import ContainerOptions
from coldstart.model.probe import ProbeSpec
from coldstart.plan.containers import WrittenOptions, read_options
from coldstart.plan.levels import checked_levels, checked_runs, checked_timeout_ns, checked_warmup, checked_workloads
from coldstart.units import parse_duration_ns

Record = TypeVar("Record", bound=msgspec.Struct)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOML_PLACE = re.compile(r"^(.*) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)
_MSGSPEC_PLACE = re.compile(r"^(.*?)(?: - at `\$\.?(.*)`)?$", re.DOTALL)


class _Factors(msgspec.Struct, frozen=True, kw_only=True):
    runtime: tuple[str, ...]
    workload: tuple[str, ...]
    variant: tuple[str, ...]
    tier: tuple[str, ...]
    engine: tuple[str, ...] = ("docker",)
    network: tuple[str, ...] = (Network.BRIDGE,)


class _File(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    runs: int
    factors: _Factors
    description: str = ""
    warmup: int = 0
    timeout: str = "30s"
    ready: str | None = None
    targets: tuple[str, ...] = ()
    egress: bool = False
    options: WrittenOptions = WrittenOptions()


_TABLES: dict[str, type[msgspec.Struct]] = {"factors": _Factors, "options": WrittenOptions}


def catalogue() -> tuple[str, ...]:
    """Names of the experiments that come with coldstart, sorted."""
    return tuple(sorted(path.stem for path in catalogue_dir("experiments").glob("*.toml")))


def load_experiment(name_or_path: str) -> Experiment:
    """The experiment of that name in the catalogue, or in the file: a path has a ``/`` or ends in ``.toml``.

    Raises:
        UnknownNameError: no such name in the catalogue.
        InputFileError: the file cannot be read, or says something that is not understood.
    """
    if "/" in name_or_path or name_or_path.endswith(".toml"):
        path = Path(name_or_path)
    else:
        known = catalogue()
        if name_or_path not in known:
            raise UnknownNameError("experiment", name_or_path, known)
        path = catalogue_dir("experiments") / f"{name_or_path}.toml"
    try:
        data = read_named(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        known_names = ", ".join(catalogue())
        raise InputFileError(
            path, f"cannot be read: {reason}.", f"Experiments known by name: {known_names}."
        ) from error
    return parse_experiment(data, str(path), path.parent)


def parse_experiment(data: bytes, where: str, base: Path = Path()) -> Experiment:
    """Validate an experiment file's bytes; ``where`` names the file in messages, ``base`` is what folders start from.

    Raises:
        InputFileError: not TOML (with its line), a key that is unknown, missing or of the wrong type, or a value that
            makes no sense.
        UnknownNameError: a tier or network that does not exist. Runtimes, engines, workloads and variants depend on
            the machine and are checked by `coldstart.plan.schedule.check_levels`.
    """
    table = _parse_toml(data, where)
    _refuse_unknown_keys(table, where)
    return _experiment(_converted(table, _File, where), where, base)


def _converted(table: Mapping[str, object], kind: type[Record], where: str) -> Record:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        what, key = _MSGSPEC_PLACE.fullmatch(str(error)).groups()  # type: ignore[union-attr]  # it matches any text
        raise InputFileError(f"{where}: {key}" if key else where, what.replace("`", "'") + ".") from error


def _parse_toml(data: bytes, where: str) -> dict[str, Any]:
    try:
        text = data.decode("utf-8-sig")
        return decode_toml(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputFileError(f"{where}:{line}", "is not UTF-8 text.", "Save the file as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.fullmatch(str(error))
        what, line_text, column = place.groups() if place else (str(error), None, None)
        at = f"{line_text}:{column}" if line_text else str(text.rstrip("\n").count("\n") + 1)
        raise InputFileError(f"{where}:{at}", f"is not TOML: {what}.", "See https://toml.io for the syntax.") from error


def _refuse_unknown_keys(table: dict[str, Any], where: str) -> None:
    _check_keys(table, _File, where)
    for name, struct in _TABLES.items():
        if isinstance(table.get(name), dict):
            _check_keys(table[name], struct, f"{where}: {name}")


def _check_keys(table: dict[str, Any], struct: type[msgspec.Struct], where: str) -> None:
    for key in sorted(table.keys() - set(struct.__struct_fields__)):
        home = next((name for name, other in _TABLES.items() if key in other.__struct_fields__), None)
        remedy = f"It belongs under [{home}]." if home else ""
        raise InputFileError(where, f"{UnknownNameError('key', key, struct.__struct_fields__)}", remedy)


def _experiment(file: _File, where: str, base: Path) -> Experiment:
    if not _NAME.fullmatch(file.name):
        raise InputFileError(
            f"{where}: name",
            f"{file.name!r} cannot be a file's name.",
            "Use up to 64 letters, digits and . _ - , beginning with a letter or digit.",
        )
    with _reading(f"{where}: runs"):
        runs = checked_runs(file.runs)
    with _reading(f"{where}: warmup"):
        warmup = checked_warmup(file.warmup)
    with _reading(f"{where}: timeout"):
        timeout_ns = checked_timeout_ns(parse_duration_ns(file.timeout))
    with _reading(f"{where}: ready"):
        ready = None if file.ready is None else ProbeSpec.parse(file.ready)
    with _reading(f"{where}: factors.workload"):
        workloads = checked_workloads(file.factors.workload, base)
    others = [factor for factor in _Factors.__struct_fields__ if factor != "workload"]
    factors = {factor: _levels(factor, getattr(file.factors, factor), where) for factor in others}
    return Experiment(
        name=file.name,
        description=file.description,
        engine=factors["engine"],
        runtime=factors["runtime"],
        workload=workloads.names,
        folders=workloads.folders,
        variant=factors["variant"],
        tier=tuple(Tier(level) for level in factors["tier"]),
        network=tuple(Network(level) for level in factors["network"]),
        runs=runs,
        warmup=warmup,
        ready=ready,
        timeout_ns=timeout_ns,
        targets=_targets(file.targets, where),
        egress=file.egress,
        options=_of_file(file.options, f"{where}: options", base),
    )


def _levels(factor: str, names: tuple[str, ...], where: str) -> tuple[str, ...]:
    known = {"tier": tuple(Tier), "network": tuple(Network)}.get(factor)
    key = f"{where}: factors.{factor}"
    try:
        return checked_levels(factor, names, known, key)
    except UnknownNameError:
        raise
    except UsageError as error:
        raise InputFileError(key, str(error).removeprefix(f"{key}: ")) from error


def _targets(names: tuple[str, ...], where: str) -> tuple[str, ...]:
    if not names:
        return ()
    with _reading(f"{where}: targets"):
        return checked_levels("target", names)


def parse_options(table: Mapping[str, object], where: str, base: Path = Path()) -> ContainerOptions:
    """The options of a table as under ``[options]``; ``where`` names it in messages.

    Raises:
        InputFileError: a key that is unknown or of the wrong type, or a value that makes no sense.
    """
    _check_keys(dict(table), WrittenOptions, where)
    return _options(_converted(table, WrittenOptions, where), where, base)


def _options(options: WrittenOptions, where: str, base: Path) -> ContainerOptions:
    with _reading(where):
        return read_options(options, lambda name: name, base=base)


def _of_file(options: WrittenOptions, where: str, base: Path) -> ContainerOptions:
    for entry in options.env:
        if "=" not in entry:
            # Docker would copy the variable from whoever runs it: not repeatable elsewhere.
            raise InputFileError(f"{where}.env", f"{entry!r} has no value.", "Write NAME=value.")
    return _options(options, where, base)


@contextmanager
def _reading(where: str) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        raise InputFileError(where, str(error)) from error
