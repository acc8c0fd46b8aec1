"""Container options as people write them, on a command line or in a file, to the record that a run stores.

Names, units and meanings are those of ``docker run``
(https://docs.docker.com/reference/cli/docker/container/run/).
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from coldstart.decoding import UNREADABLE, read_named
from coldstart.errors import UsageError
from coldstart.model.options import ContainerOptions
from coldstart.units import parse_bytes

Named = Callable[[str], str]
_OUR_LABELS = "coldstart."
_MEMORY_LEAST_BYTES = 6 * 1024 * 1024  # dockerd refuses less
_CPUS_MOST = 4096
_CPU_LIST = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*", re.ASCII)
_CAPABILITY = re.compile(r"[A-Za-z_]+")
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252})")
_DNS_OPTION = re.compile(r"[a-z0-9-]+(:\d+)?", re.ASCII)
_ULIMIT = re.compile(r"[a-z]+=-?\d{1,19}(:-?\d{1,19})?", re.ASCII)
_SECCOMP_BUILT_IN = {"unconfined", "builtin"}
_MOUNT_KEYS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}


class WrittenOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[options]`` of an experiment file, and what the command line gives by the same names."""

    memory: str | None = None
    cpus: float | None = None
    cpuset_cpus: str | None = None
    env: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str | None = None
    entrypoint: str | tuple[str, ...] | None = None
    workdir: str | None = None
    hostname: str | None = None
    tmpfs: tuple[str, ...] = ()
    shm_size: str | None = None
    read_only: bool = False
    init: bool = False
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    ulimits: tuple[str, ...] = ()
    add_hosts: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


def read_options(written: WrittenOptions, named: Named, *, base: Path = Path()) -> ContainerOptions:
    """Check each option and turn its text into what the engine is asked for.

    ``named`` gives the place of an option in messages; files that an option names are relative to ``base``.

    Raises:
        UsageError: a value that Docker would refuse or that no run could repeat, with its place.
    """
    binds, in_memory = _mounts(written.mounts, named("mounts"))
    entrypoint = written.entrypoint
    return ContainerOptions(
        env=tuple(checked_env(entry, named("env")) for entry in written.env),
        volumes=(*(_volume(text, named("volumes")) for text in written.volumes), *binds),
        devices=tuple(_device(text, named("devices")) for text in written.devices),
        memory_bytes=_memory(written.memory, named("memory")),
        cpus=_cpus(written.cpus, named("cpus")),
        cpuset_cpus=_cpuset(written.cpuset_cpus, named("cpuset_cpus")),
        command=written.command,
        user=_word(written.user, named("user"), "a user or UID, such as 1000:1000"),
        entrypoint=(entrypoint,) if isinstance(entrypoint, str) else entrypoint,
        workdir=_absolute(written.workdir, named("workdir")),
        hostname=_matching(_HOSTNAME, written.hostname, named("hostname"), "a host name, such as app"),
        tmpfs=(*(_required(_absolute(text, named("tmpfs"))) for text in written.tmpfs), *in_memory),
        shm_bytes=_size(written.shm_size, named("shm_size")),
        read_only=written.read_only,
        init=written.init,
        privileged=written.privileged,
        cap_add=_each(_CAPABILITY, written.cap_add, named("cap_add"), "a capability, such as NET_ADMIN"),
        cap_drop=_each(_CAPABILITY, written.cap_drop, named("cap_drop"), "a capability, such as ALL"),
        security_opt=tuple(_security(text, named("security_opt"), base) for text in written.security_opt),
        ulimits=_each(_ULIMIT, written.ulimits, named("ulimits"), "NAME=SOFT[:HARD], such as nofile=1024:4096"),
        add_hosts=tuple(_host(text, named("add_hosts")) for text in written.add_hosts),
        dns=tuple(_address(text, named("dns")) for text in written.dns),
        dns_options=_each(_DNS_OPTION, written.dns_options, named("dns_options"), "NAME[:NUMBER], such as ndots:1"),
        labels=tuple(_label(text, named("labels")) for text in written.labels),
    )


def passed_on(entry: str, place: str) -> str:
    """A variable; its name alone takes the caller's value, as with Docker, and one that the caller lacks is removed.

    Raises:
        UsageError: it is not a variable, or not text.
    """
    value = os.environ.get(entry) if "=" not in entry else None
    return checked_env(entry if value is None else f"{entry}={value}", place)


def checked_env(entry: str, place: str) -> str:
    """``entry``, if it is a variable that a run can store.

    Raises:
        UsageError: it is not.
    """
    name = entry.partition("=")[0]
    if not name or any(character.isspace() for character in name):
        raise UsageError(f"{place}: {entry!r} is not an environment variable; write NAME=value, or NAME to pass yours.")
    if "\0" in entry or not _is_text(entry):
        raise UsageError(f"{place}: the value of {name!r} is not text, and a run stores text.")
    return entry


def _volume(text: str, place: str) -> str:
    """Two absolute paths: a named volume would keep what an earlier start wrote."""
    source, _, rest = text.partition(":")
    if not source.startswith("/") or not rest.startswith("/"):
        raise UsageError(f"{place} {text!r}: write an absolute host folder and a path, such as /data:/data:ro.")
    return text


def _device(text: str, place: str) -> str:
    if not text.startswith("/"):
        raise UsageError(f"{place} {text!r}: write a device's path, such as /dev/gpiomem.")
    return text


def _memory(text: str | None, place: str) -> int | None:
    if text is None:
        return None
    limit_bytes = _bytes(text, place)
    if limit_bytes < _MEMORY_LEAST_BYTES:
        raise UsageError(f"{place} {text}: Docker's least is 6m.")
    return limit_bytes


def _cpus(cpus: float | None, place: str) -> float | None:
    if cpus is not None and not 0 < cpus <= _CPUS_MOST:  # TOML has nan and inf
        raise UsageError(f"{place} {cpus:g}: write a number of CPUs above 0 and up to {_CPUS_MOST}, such as 0.5.")
    return cpus


def _cpuset(text: str | None, place: str) -> str | None:
    if text is not None and not _CPU_LIST.fullmatch(text):
        raise UsageError(f"{place} {text!r}: write CPU numbers and ranges, such as 0-1 or 0,2.")
    return text


def _is_text(entry: str) -> bool:
    try:
        entry.encode()
    except UnicodeEncodeError:
        return False
    return True


def _required(text: str | None) -> str:
    assert text is not None
    return text


def _word(text: str | None, place: str, example: str) -> str | None:
    if text is not None and (not text or any(character.isspace() for character in text)):
        raise UsageError(f"{place}: {text!r} is not {example}.")
    return text


def _absolute(text: str | None, place: str) -> str | None:
    if text is not None and not text.startswith("/"):
        raise UsageError(f"{place}: {text!r} is not an absolute path in the container, such as /app.")
    return text


def _matching(pattern: re.Pattern[str], text: str | None, place: str, example: str) -> str | None:
    if text is not None and pattern.fullmatch(text) is None:
        raise UsageError(f"{place}: {text!r} is not {example}.")
    return text


def _each(pattern: re.Pattern[str], texts: Iterable[str], place: str, example: str) -> tuple[str, ...]:
    return tuple(_required(_matching(pattern, text, place, example)) for text in texts)


def _bytes(text: str, place: str) -> int:
    try:
        return parse_bytes(text)
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from error


def _size(text: str | None, place: str) -> int | None:
    if text is None:
        return None
    size_bytes = _bytes(text, place)
    if size_bytes == 0:
        raise UsageError(f"{place}: {text!r} leaves no memory; write a size such as 64m.")
    return size_bytes


def _security(text: str, place: str, base: Path) -> str:
    """As Docker's command line does, a seccomp profile is read here: the engine takes its content."""
    name, equals, value = text.partition("=")
    if name != "seccomp" or not equals or value in _SECCOMP_BUILT_IN or value.startswith("{"):
        if not text or any(character.isspace() for character in name):
            raise UsageError(f"{place}: {text!r} is not NAME=VALUE, such as seccomp=unconfined.")
        return text
    path = base / Path(value).expanduser()
    try:
        return "seccomp=" + msgspec.json.encode(msgspec.json.decode(read_named(path), type=dict[str, object])).decode()
    except OSError as error:
        raise UsageError(f"{place}: the seccomp profile {path} cannot be read ({error.strerror}).") from error
    except UNREADABLE as error:
        raise UsageError(f"{place}: the seccomp profile {path} is not a JSON object ({error}).") from error


def _host(text: str, place: str) -> str:
    name, separator, address = text.partition("=" if "=" in text else ":")
    if not separator or not name or (address != "host-gateway" and not _is_address(address.strip("[]"))):
        raise UsageError(f"{place}: {text!r} is not NAME:ADDRESS, such as db:10.0.0.5.")
    return f"{name}:{address.strip('[]')}"


def _address(text: str, place: str) -> str:
    if not _is_address(text):
        raise UsageError(f"{place}: {text!r} is not an IP address.")
    return text


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _label(text: str, place: str) -> str:
    name, _, value = text.partition("=")
    if not name:
        raise UsageError(f"{place}: {text!r} has no name; write NAME=value.")
    if name.startswith(_OUR_LABELS):
        raise UsageError(f"{place}: {text!r}: labels that begin with {_OUR_LABELS} mark what coldstart may remove.")
    return f"{name}={value}"


def _mounts(texts: Iterable[str], place: str) -> tuple[list[str], list[str]]:
    """Docker's ``--mount`` as the volumes and the tmpfs entries that mean the same."""
    binds: list[str] = []
    in_memory: list[str] = []
    for text in texts:
        pairs = (part.partition("=") for part in text.split(","))
        fields = {_MOUNT_KEYS.get(key.strip(), key.strip()): value for key, _, value in pairs}
        kind, source, target = (fields.pop(key, "") for key in ("type", "source", "target"))
        is_read_only = fields.pop("readonly", "false") in {"", "true", "1"}
        if fields or not target.startswith("/") or ":" in source + target:
            raise UsageError(
                f"{place}: {text!r} is not understood: write type=bind,source=/HOST,target=/PATH[,readonly] or "
                "type=tmpfs,target=/PATH, or use --volume or --tmpfs."
            )
        if kind == "tmpfs" and not source:
            in_memory.append(target)
        elif kind == "bind" and source.startswith("/"):
            binds.append(f"{source}:{target}" + (":ro" if is_read_only else ""))
        else:
            raise UsageError(f"{place}: {text!r}: only binds of absolute paths and tmpfs are the same at every start.")
    return binds, in_memory
