"""An engine that runs nothing, for tests and for trying the command line on a machine without containers.

It keeps images and containers in memory, sleeps its delays instead of working, writes the same log lines as dockerd,
and answers HTTP on a real socket of this process, so probes, sources and proofs treat it as they treat a real engine.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from coldstart.engines.base import (
    Capability,
    ContainerSpec,
    ContainerState,
    EngineAddress,
    Executed,
    Health,
    LayerEvent,
    Timed,
)
from coldstart.errors import EngineError, EngineUnreachableError
from coldstart.model.cell import Network
from coldstart.model.image import Healthcheck, Image, Layer, Provenance
from coldstart.model.run import EngineFacts, RuntimeFacts
from coldstart.units import NS_PER_S

NAME = "fake"
_IMAGES_MISBEHAVING = {"exits", "silent", "wrong-platform", "hangs"}
_SILENCE_S = 0.01  # for how long a pull that stalls is waited for
_IMAGES_CHECKED = {"checked", "unhealthy"}  # those with a HEALTHCHECK
_SAID = b"app: that was all\n"
_SAID_OFFLINE = b"app: could not resolve host: db\n"


class Delays(msgspec.Struct, frozen=True, kw_only=True):
    """What each step takes, in seconds; a layer is downloaded, then unpacked, then registered."""

    download_s: float = 0.002
    unpack_s: float = 0.003
    register_s: float = 0.001
    create_s: float = 0.001
    start_s: float = 0.002
    listen_s: float = 0.001


class Faults(msgspec.Struct, kw_only=True):
    """What is wrong with the engine, to be changed at any time.

    With ``is_dead`` it answers nothing. ``lost`` are the next answers of `FakeEngine.lost`. ``hanging`` names methods
    (``create``, ``start``, ``state``, ``remove_container``) that are not answered within their limit.
    """

    is_dead: bool = False
    lost: list[str] = []
    hanging: set[str] = set()


class _Container:
    def __init__(self, spec: ContainerSpec) -> None:
        self.spec = spec
        self.started_wall_ns: int | None = None
        self.finished_wall_ns: int | None = None
        self.exit_code: int | None = None
        self.output = b""
        self.ended = threading.Event()
        self.ready = threading.Event()
        self.ready_wall_ns: int | None = None
        self.server: socket.socket | None = None

    @property
    def running(self) -> bool:
        return self.started_wall_ns is not None and self.finished_wall_ns is None

    def end(self, exit_code: int) -> None:
        if self.running:
            self.exit_code, self.finished_wall_ns = exit_code, time.time_ns()
        if self.server is not None:
            with contextlib.suppress(OSError):
                self.server.shutdown(socket.SHUT_RDWR)  # wakes accept(); closing alone does not
            self.server.close()
        self.ended.set()


def connect(address: EngineAddress) -> FakeEngine:
    """A new fake engine; the address says nothing to it but how it is reached."""
    return FakeEngine(where=address.where)


def image(workload: str, variant: str) -> Image:
    """A made-up image of two layers, the same for the same names."""

    def digest(part: str) -> str:
        return "sha256:" + hashlib.sha256(f"{workload}/{variant}/{part}".encode()).hexdigest()

    return Image(
        workload=workload,
        variant=variant,
        reference=f"fake.invalid/{workload}-{variant}@{digest('manifest')}",
        image_id=digest("config"),
        platform="linux/amd64",
        digest=digest("manifest"),
        config_bytes=1000,
        layers=tuple(
            Layer(
                digest=digest(f"blob {index}"),
                diff_id=digest(f"layer {index}"),
                compressed_bytes=1_000_000 * (index + 1),
                unpacked_bytes=3_000_000 * (index + 1),
                files=100,
            )
            for index in range(2)
        ),
        provenance=(Provenance(what="made up", source="the fake engine"),),
        healthcheck=Healthcheck(is_set=variant in _IMAGES_CHECKED, interval_ns=1_000_000),
    )


def _exit_code(command: tuple[str, ...]) -> int:
    """A command is not run, but one that ends in ``exit N`` is taken at its word; no command is one that fails."""
    words = command[-1].split() if command else ["exit", "3"]
    return int(words[-1]) if words[-2:-1] == ["exit"] else 0


def _runs_on(command: tuple[str, ...]) -> bool:
    """A command that ends in ``sleep N`` is taken at its word as well, and what comes before it makes it ready."""
    return bool(command) and command[-1].split()[-2:-1] == ["sleep"]


def _notify(spec: ContainerSpec) -> None:
    """Tell who asked by NOTIFY_SOCKET and a volume, as sd_notify(3) does."""
    variables = dict(entry.split("=", 1) for entry in spec.options.env if "=" in entry)
    mounts = {inside: host for host, inside, *_ in (volume.split(":") for volume in spec.options.volumes)}
    host = mounts.get(variables.get("NOTIFY_SOCKET", ""))
    if host is not None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"STATUS=listening\nREADY=1\n", host)


class FakeEngine:
    """See `coldstart.engines.base.Engine`. Variants ``exits``, ``silent`` and ``wrong-platform`` misbehave so.

    Variant ``offline`` exits for want of a network.

    Variant ``hangs`` has a runtime that never ends its start, ``stalls`` a pull without progress, and of ``unseen`` the
    engine never says that it started. `faults` are the engine's own.

    Variants ``checked`` and ``unhealthy`` have a HEALTHCHECK, which agrees once the app listens, or never.
    """

    name = NAME
    capabilities = frozenset(
        {
            Capability.PULL,
            Capability.PULL_PROGRESS,
            Capability.PRIVATE,
            Capability.LAYER_LOG,
            Capability.CONTAINER_ADDRESS,
            Capability.SAME_MACHINE,
            Capability.STARTED_AT_EXEC,
            Capability.ZSTD_LAYERS,
        }
    )
    data_root: Path | None = None

    def __init__(self, where: str = "testbed", delays: Delays | None = None) -> None:
        self._where = where
        self._delays = delays or Delays()
        self.faults = Faults()
        self._present: dict[str, set[str]] = {}  # references by image ID
        self._containers: dict[str, _Container] = {}
        self._ids = itertools.count(1)
        self._log = bytearray()

    def facts(self) -> EngineFacts:
        """A fake says so everywhere."""
        return EngineFacts(
            name=self.name,
            version="0",
            api_version=None,
            where=self._where,
            platform="linux/amd64",
            storage_driver=None,
            containerd_version=None,
            decompressor=None,
            capabilities=tuple(sorted(self.capabilities)),
        )

    def runtimes(self) -> tuple[RuntimeFacts, ...]:
        """Two runtimes that are none."""
        return tuple(RuntimeFacts(name=name, path=None, version=None, sha256=None) for name in ("crun", "runc"))

    def has_image(self, image: Image) -> bool:
        """Whether it was pulled and not removed since."""
        self._answer("has_image")
        return image.image_id in self._present

    def has_reference(self, image: Image) -> bool:
        """Whether it was pulled under that name."""
        self._answer("has_reference")
        return image.reference in self._present.get(image.image_id, ())

    def remove_image(self, image: Image) -> None:
        """Forget it, whatever it was called."""
        self._present.pop(image.image_id, None)

    def kept_layers(self, image: Image) -> str | None:  # noqa: ARG002  whatever it is
        """All of it is ours to remove."""
        return None

    def layer_paths(self, image: Image) -> tuple[Path, ...]:
        """None: a fake's layers are nowhere."""
        raise EngineError(f"{image.reference}: a fake engine has no layer folders.")

    def pull(self, image: Image) -> Timed[tuple[LayerEvent, ...]]:
        """Timed: sleep through each layer, writing dockerd's log lines."""
        self._answer("pull")
        if image.variant == "stalls":
            time.sleep(_SILENCE_S)
            raise EngineError(f"pull of {image.reference}: no progress within {_SILENCE_S:g} s.")
        start_ns = time.monotonic_ns()
        events = []
        pulled: set[str] = set()
        for index, layer in enumerate(image.layers):
            assert layer.digest is not None  # ours all have one
            short = layer.digest.removeprefix("sha256:")[:12]
            if image.image_id in self._present:
                events.append(LayerEvent(time.monotonic_ns(), short, "Already exists"))
                continue
            is_repeated = short in pulled  # Docker unpacks it again, of what it has, and does not report it
            pulled.add(short)
            if not is_repeated:
                self._write_log(f'pulling blob \\"{layer.digest}\\"')
                time.sleep(self._delays.download_s)
                self._write_log(f"Downloaded {short} to tempfile /tmp/GetImageBlob{short}")
                events.append(LayerEvent(time.monotonic_ns(), short, "Download complete"))
            self._write_log(f"Applying tar in /fake/overlay2/{short}-{index}/diff")
            time.sleep(self._delays.unpack_s)
            self._write_log(f"Applied tar {layer.diff_id} to {short}-{index}, size: {layer.unpacked_bytes or 0}")
            time.sleep(self._delays.register_s)
            if not is_repeated:
                events.append(LayerEvent(time.monotonic_ns(), short, "Pull complete"))
        self._present.setdefault(image.image_id, set()).add(image.reference)
        return Timed(start_ns, time.monotonic_ns(), tuple(events))

    def create(self, spec: ContainerSpec) -> Timed[str]:
        """Timed: remember it."""
        if not self.has_reference(spec.image):
            raise EngineError(f"create of a container from {spec.image.reference}: No such image")
        if spec.runtime not in {runtime.name for runtime in self.runtimes()}:
            raise EngineError(f"create: unknown or invalid runtime name: {spec.runtime}")
        start_ns = time.monotonic_ns()
        self._answer("create", spec.limit_ns)
        time.sleep(self._delays.create_s)
        container_id = f"{next(self._ids):064x}"
        self._containers[container_id] = _Container(spec)
        return Timed(start_ns, time.monotonic_ns(), container_id)

    def take_warnings(self) -> tuple[str, ...]:
        """It has no kernel that could discard a limit."""
        return ()

    def start(self, container_id: str) -> Timed[None]:
        """Timed: its app listens after a while, unless its variant misbehaves."""
        container = self._container(container_id)
        variant = container.spec.image.variant
        start_ns = time.monotonic_ns()
        self._answer("start", container.spec.limit_ns, hangs=variant == "hangs")
        time.sleep(self._delays.start_s)
        if variant == "wrong-platform":
            raise EngineError("start: exec format error")
        container.started_wall_ns = time.time_ns()
        command = container.spec.options.command
        if _runs_on(command):
            container.ready.set()
            _notify(container.spec)
        elif variant in {"exits", "offline"} or command:
            container.output = _SAID_OFFLINE if variant == "offline" else _SAID
            container.end(exit_code=_exit_code(command))
        elif variant not in _IMAGES_MISBEHAVING:
            container.server = socket.create_server(("127.0.0.1", 0), backlog=16)
            threading.Thread(target=self._serve, args=(container,), daemon=True).start()
        return Timed(start_ns, time.monotonic_ns(), None)

    def state(self, container_id: str) -> ContainerState:
        """What is remembered."""
        self._answer("state")
        container = self._container(container_id)
        return ContainerState(
            running=container.running,
            pid=None,
            started_wall_ns=None if container.spec.image.variant == "unseen" else container.started_wall_ns,
            finished_wall_ns=container.finished_wall_ns,
            exit_code=container.exit_code,
            error="",
            address="127.0.0.1" if container.spec.network is not Network.NONE else None,
            health=self._health(container),
        )

    def execute(self, container_id: str, command: Sequence[str]) -> Timed[Executed]:
        """Not run either: taken at its word like a start's, but no command succeeds before its app listens."""
        container = self._container(container_id)
        start_ns = time.monotonic_ns()
        if not container.running:
            raise EngineError(f"exec: Container {container_id} is not running")
        exit_code = _exit_code(tuple(command)) if container.ready.is_set() else 1
        return Timed(start_ns, time.monotonic_ns(), Executed(exit_code, _SAID.decode()))

    def follow_output(self, container_id: str) -> Iterator[bytes]:
        """Its line, once it is written; then the end."""
        container = self._container(container_id)
        seen = 0
        while True:
            ended = container.ended.is_set()
            *lines, _ = container.output[seen:].split(b"\n")
            for line in lines:
                seen += len(line) + 1
                yield line
            if ended:
                return
            time.sleep(0.001)

    def output_tail(self, container_id: str, lines: int = 20) -> str:
        """The end of what it wrote."""
        container = self._containers.get(container_id)
        return "" if container is None else "\n".join(container.output.decode().splitlines()[-lines:])

    def wait_exit(self, container_id: str) -> Callable[[], Timed[int]]:
        """Wait on the container's own event."""
        container = self._container(container_id)
        start_ns = time.monotonic_ns()

        def wait() -> Timed[int]:
            container.ended.wait()
            return Timed(start_ns, time.monotonic_ns(), container.exit_code if container.exit_code is not None else 137)

        return wait

    def remove_container(self, container_id: str) -> None:
        """Stop its app and forget it."""
        self._answer("remove_container")
        container = self._containers.pop(container_id, None)
        if container is not None:
            container.end(exit_code=137)

    def sweep(self) -> int:
        """Forget all."""
        left = list(self._containers)
        for container_id in left:
            self.remove_container(container_id)
        return len(left)

    def endpoint(self, container_id: str, port: int) -> tuple[Path | None, tuple[str, int]]:
        """The app's real address; a port of its own choosing stands for every port."""
        container = self._container(container_id)
        if container.spec.network is Network.NONE:
            raise EngineError("the container has no network address; use a log or exit probe with --network none.")
        return None, ("127.0.0.1", container.server.getsockname()[1] if container.server else port)

    def obstacle_to_asking(self, network: Network) -> str | None:  # noqa: ARG002  the protocol's
        """None: its sockets are this process's."""
        return None

    def host_endpoint(self, port: int) -> tuple[Path | None, tuple[str, int]] | None:  # noqa: ARG002  the protocol's
        """None: its containers listen on ports of their own choosing."""
        return None

    def lost(self) -> str | None:
        """What the test says."""
        if self.faults.is_dead:
            return "the fake engine is dead."
        return self.faults.lost.pop(0) if self.faults.lost else None

    def daemons(self) -> tuple[int, ...]:
        """Nobody works for it."""
        return ()

    def log_mark(self) -> int:
        """Bytes written so far."""
        return len(self._log)

    def log_since(self, mark: int) -> bytes:
        """The lines after that."""
        return bytes(self._log[mark:])

    def close(self) -> None:
        """Stop every app."""
        self.sweep()

    def _answer(self, method: str, limit_ns: int = 0, *, hangs: bool = False) -> None:
        """Raise as a real engine's method does that is not answered within its limit."""
        if self.faults.is_dead:
            raise EngineUnreachableError(f"fake: no answer to {method}")
        if hangs or method in self.faults.hanging:
            time.sleep(limit_ns / NS_PER_S)
            raise EngineError(f"{method}: no answer within {limit_ns / NS_PER_S:g} s")

    def _container(self, container_id: str) -> _Container:
        if container_id not in self._containers:
            raise EngineError(f"No such container: {container_id}")
        return self._containers[container_id]

    def _health(self, container: _Container) -> Health | None:
        if container.started_wall_ns is None or container.spec.image.variant not in _IMAGES_CHECKED:
            return None
        if container.spec.image.variant == "unhealthy":
            return Health(status="unhealthy", failed_wall_ns=container.started_wall_ns, output="no answer\n")
        if not container.ready.is_set():
            return Health(status="starting")
        return Health(status="healthy", passed_wall_ns=container.ready_wall_ns, shortest_ns=0)

    def _write_log(self, message: str) -> None:
        wall = time.time_ns()
        stamp = dt.datetime.fromtimestamp(wall // 1_000_000_000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
        self._log += f'time="{stamp}.{wall % 1_000_000_000:09d}Z" level=debug msg="{message}"\n'.encode()

    def _serve(self, container: _Container) -> None:
        time.sleep(self._delays.listen_s)
        container.output += b"listening\n"
        container.ready_wall_ns = time.time_ns()
        container.ready.set()
        with contextlib.suppress(OSError):  # who asked to be told may have gone meanwhile
            _notify(container.spec)
        assert container.server is not None
        while True:
            try:
                client, _ = container.server.accept()
            except OSError:
                return
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
