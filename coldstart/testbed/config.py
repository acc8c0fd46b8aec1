"""A testbed's identity: where it lives, what it is called, and the record others find it by."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec

from coldstart.decoding import UNREADABLE
from coldstart.errors import TestbedError, UsageError
from coldstart.opening import open_regular, read_regular

DEFAULT_ROOT = Path("/var/lib/coldstart")
DEFAULT_CACHE = Path("/var/cache/coldstart")
REGISTRY_ADDRESS = (
    "198.18.0.2:5000"  # RFC 2544's benchmarking range: routed nowhere, so it can hide nothing of the host
)
REGISTRY_NETWORK = "198.18.0.0/30"  # the engine's end, the registry's, and what stands before that in its namespace
RESOLVER = "10.0.2.3"  # slirp4netns(1): its DNS forwarder; it refuses at once while there is no egress
RESOLVER_NETWORK = "10.0.2.0/24"  # slirp4netns(1): the network it configures
LOCAL_LINK = "local link"

_ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")
_SUN_PATH_MAX = 107  # unix(7): sun_path holds 108 bytes with its NUL


class Layout(msgspec.Struct, frozen=True):
    """Every path and name of the testbed whose state is in ``root``; other roots are other testbeds."""

    root: Path

    @classmethod
    def of(cls, root: Path) -> Self:
        """The layout for ``root``, made absolute: the testbed's id depends on it.

        Raises:
            UsageError: no engine could run there.
        """
        layout = cls(Path(os.path.realpath(root)))
        longest = layout.exec_root / "containerd" / "containerd-debug.sock"
        if len(os.fsencode(longest)) > _SUN_PATH_MAX:
            raise UsageError(
                f"{layout.root}: too long a path for the engine's sockets (unix(7) allows {_SUN_PATH_MAX} bytes). "
                "Choose a shorter COLDSTART_STATE_DIR."
            )
        refuse_hidden_place(layout.root, "COLDSTART_STATE_DIR")
        return layout

    @property
    def id(self) -> str:
        """Short hash of the root's path: equal for every process that means this testbed."""
        return hashlib.sha256(os.fsencode(self.root)).hexdigest()[:8]

    @property
    def name(self) -> str:
        """What the testbed's cgroups and private mounts are called."""
        return f"coldstart-{self.id}"

    @property
    def state(self) -> Path:
        """The persisted `Testbed`; it exists only while the testbed is up."""
        return self.root / "state.json"

    @property
    def hold(self) -> Path:
        """Locked by whoever measures on the testbed; names them."""
        return self.root / "hold.json"

    @property
    def run(self) -> Path:
        """Sockets, namespaces and configuration; for its owner only."""
        return self.root / "run"

    @property
    def log(self) -> Path:
        """Logs, only ever appended to."""
        return self.root / "log"

    @property
    def data(self) -> Path:
        """The engine's data-root, unless another was asked for."""
        return self.root / "data"

    @property
    def loop_file(self) -> Path:
        """The journaled filesystem under `data`, where the folder's own filesystem has no journal."""
        return self.root / "data.ext4"

    @property
    def exec_root(self) -> Path:
        """The engine's run-time state."""
        return self.run / "exec"

    @property
    def socket(self) -> Path:
        """The engine's API."""
        return self.run / "docker.sock"

    @property
    def engine_netns(self) -> Path:
        """The engine's network namespace, bound to a file."""
        return self.run / "netns" / "engine"

    @property
    def registry_netns(self) -> Path:
        """The registry's network namespace, bound to a file."""
        return self.run / "netns" / "registry"


class Medium(StrEnum):
    """What the engine's data are kept on: the disk under the testbed's root, or memory, which has no disk's noise."""

    DISK = "disk"
    MEMORY = "memory"


class TestbedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of ``up``: only what was asked; defaults are decided where they are used.

    ``tools`` is a folder whose programs the engine finds before the machine's own: injectors of known delays.
    """

    __test__: ClassVar[bool] = False  # pytest: a name, not a test

    root: Path = DEFAULT_ROOT
    cache: Path = DEFAULT_CACHE
    runtimes: dict[str, Path] = {}
    tools: Path | None = None
    data_root: Path | None = None
    medium: Medium = Medium.DISK
    registry: str | None = None

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        runtimes: Mapping[str, Path] | None = None,
        data_root: Path | None = None,
        registry: str | None = None,
    ) -> Self:
        """The configuration for the folders of COLDSTART_STATE_DIR and COLDSTART_CACHE_DIR, or the default ones.

        Raises:
            UsageError: a folder the engine could not use, or a registry address that is none.
        """
        if data_root is not None:
            data_root = Path(os.path.realpath(data_root))
            refuse_hidden_place(data_root, "--data-root")
        return cls(
            root=Path(environ.get("COLDSTART_STATE_DIR") or DEFAULT_ROOT),
            cache=Path(environ.get("COLDSTART_CACHE_DIR") or _default_cache(environ)),
            runtimes=dict(runtimes or {}),
            data_root=data_root,
            registry=None if registry is None else _checked_address(registry),
        )

    @property
    def layout(self) -> Layout:
        """Where this testbed lives."""
        return Layout.of(self.root)

    @property
    def registry_storage(self) -> Path:
        """The registry's blobs; they outlive ``down``."""
        return Path(os.path.realpath(self.cache)) / "registry"


class ProcessRef(msgspec.Struct, frozen=True, kw_only=True):
    """A process, told from a later one of the same id by when it started (clock ticks since boot)."""

    pid: int
    start_ticks: int
    name: str
    role: str | None = None


class Testbed(msgspec.Struct, frozen=True, kw_only=True):
    """A running testbed, as persisted in its root.

    ``storage`` says in words what the engine's data are on. ``registry_netns``, ``registry_storage`` and
    ``registry_log`` are ``None`` for an external registry; ``registry_link`` is then how it is reached.
    """

    __test__: ClassVar[bool] = False  # pytest: a name, not a test

    id: str
    root: Path
    docker_socket: Path
    engine_netns: Path
    registry_netns: Path | None
    registry_address: str
    registry_link: str
    registry_storage: Path | None
    registry_log: Path | None
    engine_log: Path
    data_root: Path
    storage: str
    loop_device: str | None
    loop_mount: Path | None
    cgroup_parent: str
    runtimes: dict[str, Path]
    processes: tuple[ProcessRef, ...]
    started_at: str

    @property
    def docker_host(self) -> str:
        """The engine's address as DOCKER_HOST takes it."""
        return f"unix://{self.docker_socket}"


def write_record(path: Path, record: object, mode: int = 0o644) -> None:
    """Replace ``path`` by ``record`` as JSON; a reader, or a crash, sees the old or the new one."""
    fresh = path.with_name(f".{path.name}.new")
    descriptor = open_regular(fresh, os.O_WRONLY | os.O_CREAT, mode)
    try:
        with open(descriptor, "w") as file:  # noqa: PTH123  a descriptor
            file.truncate()  # of a writer that was killed
            file.write(encode_record(record) + "\n")
        fresh.replace(path)
    except OSError:  # a full disk is not to be filled further by what is of no use
        fresh.unlink(missing_ok=True)
        raise


def encode_record(record: object) -> str:
    """A record of this package as indented JSON, paths as text."""
    return msgspec.json.format(msgspec.json.encode(record, enc_hook=_encode), indent=2).decode()


def load_testbed(layout: Layout) -> Testbed | None:
    """The persisted testbed, running or not; ``None`` if there is none.

    Raises:
        TestbedError: the record cannot be read.
    """
    try:
        return msgspec.json.decode(read_regular(layout.state), type=Testbed, dec_hook=decode_path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UNREADABLE as error:
        raise TestbedError(f"{layout.state}: {error}. Remove this testbed: coldstart testbed down") from error


def decode_path(kind: type, value: Any) -> Any:
    """Let msgspec read paths."""
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)


OWN_PLACES = ("/run", "/etc", "/opt", "/proc", "/sys", "/dev")
"""Where the engine's mount namespace is not the host's."""


def refuse_hidden_place(path: Path, asked_by: str) -> None:
    """Refuse what the engine, which has its own /run, /etc and /opt, would not see as the host does.

    Raises:
        UsageError: ``path`` is in one of them.
    """
    for hidden in OWN_PLACES:
        if path.is_relative_to(os.path.realpath(hidden)):
            raise UsageError(f"{asked_by} {path}: the testbed's engine has its own {hidden}. Choose another place.")


def _default_cache(environ: Mapping[str, str]) -> Path:
    """The machine's for root; for anybody else, who can only measure an engine of their own, theirs."""
    if os.geteuid() == 0:
        return DEFAULT_CACHE
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coldstart"


def _checked_address(registry: str) -> str:
    match = _ADDRESS.fullmatch(registry)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise UsageError(f"--registry {registry!r}: write HOST:PORT, such as 192.168.1.10:5000.")
    host = match["host"].lower()
    if host.startswith("["):
        raise UsageError(
            f"--registry {registry!r}: the testbed's network speaks IPv4 only. Name the registry by its IPv4 address, "
            "or by a name that has one."
        )
    if host == "localhost" or host.startswith("127."):
        raise UsageError(
            f"--registry {registry!r}: the engine has its own network namespace, where {host} is itself. "
            "Name this machine by its address on the network."
        )
    return registry


def _encode(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))
