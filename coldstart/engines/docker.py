"""Docker, over its own API (https://docs.docker.com/reference/api/engine/), versions 20 to 29.

Every container carries `CONTAINER_LABEL`, every image we build `LABEL`. On an engine that is not ours alone nothing
without them, and no image we did not pull, is ever removed.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from coldstart.engines.base import (
    START_LIMIT_NS,
    Capability,
    ContainerSpec,
    ContainerState,
    EngineAddress,
    Executed,
    LayerEvent,
    Timed,
)
from coldstart.engines.bounded import BoundedConnection, Limits, UnansweredError
from coldstart.engines.daemons import Activity, daemon_pids, end_container
from coldstart.engines.http import Connection, Response
from coldstart.engines.progress import layer_events, pull_error
from coldstart.engines.reach import Reach, container_netns, reach
from coldstart.engines.runtimes import runtime_facts
from coldstart.engines.vitals import Vitals
from coldstart.engines.wire import (
    CONTAINER_LABEL,
    LABEL,
    OWNER,
    container_state,
    create_body,
    lines,
    message_of,
    unframed,
)
from coldstart.errors import EngineError, EngineUnreachableError
from coldstart.model.cell import Network
from coldstart.model.image import Image
from coldstart.model.run import EngineFacts, RuntimeFacts
from coldstart.units import NS_PER_S

NAME = "docker"

_SHIM_RUNTIMES = ("io.containerd.",)  # registered by dockerd for itself; aliases of runc, no runtimes of their own
_DRIVER_TYPE, _SNAPSHOTTER = "driver-type", "io.containerd.snapshotter.v1"  # moby, daemon/info.go
_EXEC_POLL_S = 0.001
_INSTEAD = "Use a log, exec or healthcheck probe, which go through the engine."
_ZSTD_SINCE = 23
_STARTED_AT_EXEC = (1, 45)  # Docker 26's API, the newest seen to set State.StartedAt after the start
_LABEL_FILTER = quote(f'{{"label":["{CONTAINER_LABEL}={OWNER}"]}}')


def _api(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def connect(address: EngineAddress) -> DockerEngine:
    """Connect and learn what this Docker can do.

    Raises:
        EngineUnreachableError: nobody answers, with the remedy.
    """
    return DockerEngine(address)


class DockerEngine:
    """One Docker daemon. See `coldstart.engines.base.Engine` for the methods' promises."""

    name = NAME

    def __init__(self, address: EngineAddress, limits: Limits | None = None) -> None:
        self._address = address
        self._limits = limits or Limits()
        self._connection = BoundedConnection(address.url, self._limits)
        self._start_limits_s: dict[str, float] = {}
        self._stuck: set[str] = set()
        try:
            self._connection.ping(self._limits.connect_s)
            version = self._connection.request("GET", "/version").json()
        except EngineUnreachableError as error:
            raise EngineUnreachableError(
                f"{error} Is the daemon running, and may you use its socket? `coldstart testbed up` (as root) starts "
                "one of our own."
            ) from error
        self._version: dict[str, Any] = version
        self._prefix = f"/v{version['ApiVersion']}"
        self._info: dict[str, Any] = self._get("/info")
        self._reach = self._reached()
        self._warnings: list[str] = []
        self._pulled: set[str] = set()  # IDs of images that only we brought here
        self._named: set[str] = set()  # references that we gave to images that were here
        root = Path(self._info.get("DockerRootDir") or "/nonexistent")
        self.data_root = root if self._is_local() and root.is_dir() else None
        self.capabilities = self._capabilities()
        remedy = "Look into its log, and start it anew."
        if address.private:
            remedy = "Start the testbed anew: coldstart testbed up"
        self._vitals = Vitals(self.daemons, self._connection.ping, remedy)

    def facts(self) -> EngineFacts:
        """Version, storage and how it was reached."""
        components = {c["Name"].lower(): c["Version"] for c in self._version.get("Components") or ()}
        return EngineFacts(
            name=self.name,
            version=self._version["Version"],
            api_version=self._version["ApiVersion"],
            where=self._address.where,
            platform=f"{self._version['Os']}/{self._version['Arch']}",
            storage_driver=self._info.get("Driver"),
            containerd_version=components.get("containerd"),
            decompressor=self._decompressor(),
            capabilities=tuple(sorted(self.capabilities)),
        )

    def runtimes(self) -> tuple[RuntimeFacts, ...]:
        """The OCI runtimes registered, but for containerd shims' own names."""
        paths = dict(self._address.runtimes)
        found = []
        for name, entry in sorted((self._info.get("Runtimes") or {}).items()):
            if not name.startswith(_SHIM_RUNTIMES):
                path = paths.get(name) or entry.get("path")
                found.append(runtime_facts(name, shutil.which(path) if path and self._is_local() else path))
        return tuple(found)

    def has_image(self, image: Image) -> bool:
        """By reference and by ID: a copy under another name would spoil a pull just as well."""
        return any(self._inspect_image(name) is not None for name in dict.fromkeys((image.reference, image.image_id)))

    def has_reference(self, image: Image) -> bool:
        """By reference alone: a digest of another repository is another name (moby, daemon/images, GetImage)."""
        return self._inspect_image(image.reference) is not None

    def remove_image(self, image: Image) -> None:
        """See `Engine.remove_image`; on an engine not ours alone, only an image we pulled or labelled."""
        if Capability.PRIVATE in self.capabilities:
            for doomed in self._sharing_layers(image):
                self._remove_image(doomed)
            return
        inspected = self._inspect_image(image.reference) or self._inspect_image(image.image_id)
        if inspected is not None:
            if not self._is_ours(inspected):
                raise EngineError(
                    f"{image.reference} was in this engine before coldstart came; it removes only what it pulled. "
                    "Remove it yourself, measure tiers cached and warm only, or use the testbed."
                )
            self._remove_image(inspected["Id"])
        if self._pulled:  # another image that we brought here may have its base
            for doomed in self._sharing_layers(image):
                if doomed in self._pulled:
                    self._remove_image(doomed)

    def kept_layers(self, image: Image) -> str | None:
        """On an engine not ours alone what was there before us stays: the image itself, or others with its base."""
        if Capability.PRIVATE in self.capabilities:
            return None
        for sharing in self._sharing_layers(image):
            inspected = self._inspect_image(sharing)
            if inspected is None or sharing in self._pulled:
                continue
            names = [*(inspected.get("RepoTags") or ()), *(inspected.get("RepoDigests") or ()), sharing]
            if sharing != image.image_id:
                return f"{names[0]} has layers of {image.reference} and was in the engine before"
            if not self._is_ours(inspected):
                return f"{image.reference} was in the engine before"
        return None

    def _is_ours(self, inspected: dict[str, Any]) -> bool:
        labels = (inspected.get("Config") or {}).get("Labels") or {}
        return inspected["Id"] in self._pulled or labels.get(LABEL) == OWNER

    def layer_paths(self, image: Image) -> tuple[Path, ...]:
        """The overlay's lower and upper folders, topmost first."""
        inspected = self._inspect_image(image.reference) or self._inspect_image(image.image_id)
        if inspected is None:
            raise EngineError(f"{image.reference} is not in the engine.")
        data = (inspected.get("GraphDriver") or {}).get("Data") or {}
        return tuple(Path(path) for key in ("UpperDir", "LowerDir") for path in data.get(key, "").split(":") if path)

    def pull(self, image: Image) -> Timed[tuple[LayerEvent, ...]]:
        """Timed: pull by digest, or by tag where the image has none."""
        name, _, digest = image.reference.partition("@")
        if digest:
            query = f"fromImage={quote(name)}&tag={quote(digest)}"
        else:
            query = f"fromImage={quote(image.reference)}" + ("" if ":" in name.rpartition("/")[2] else "&tag=latest")
        was_here = Capability.PRIVATE not in self.capabilities and self.has_image(image)
        path = f"{self._prefix}/images/create?{query}"
        is_working = Activity(self.daemons).goes_on if self._is_local() else None
        silence_s = self._limits.silence_s if is_working else self._limits.far_silence_s
        with_pull = Connection(self._address.url)
        try:
            with self._connection.answering(f"pull of {image.reference}: no progress"):
                head, pieces = with_pull.stream(
                    "POST", path, head_s=silence_s, silence_s=silence_s, is_working=is_working
                )
                stamped = [(time.monotonic_ns(), piece) for piece in pieces]
                end_ns = time.monotonic_ns()
        finally:
            with_pull.close()
        text = b"".join(piece for _, piece in stamped)
        if head.status != 200:
            raise EngineError(f"pull of {image.reference}: {message_of(text)}")
        if failure := pull_error(text):
            raise EngineError(f"pull of {image.reference}: {failure}")
        pulled = self._inspect_image(image.reference)
        if pulled is not None and not was_here:
            self._pulled.add(pulled["Id"])
        elif pulled is not None and pulled["Id"] not in self._pulled:
            self._named.add(image.reference)
        return Timed(head.start_ns, end_ns, layer_events(stamped))

    def create(self, spec: ContainerSpec) -> Timed[str]:
        """Timed: create, labelled as ours."""
        what, limit_s = f"create of a container from {spec.image.reference}", spec.limit_ns / NS_PER_S
        answer = self._connection.request(
            "POST", f"{self._prefix}/containers/create", create_body(spec), what=what, limit_s=limit_s
        )
        _check(answer, what)
        created = answer.json()
        container_id = str(created["Id"])
        self._start_limits_s[container_id] = limit_s
        self._warnings += created.get("Warnings") or ()
        return Timed(answer.start_ns, answer.end_ns, container_id)

    def take_warnings(self) -> tuple[str, ...]:
        """In the engine's words, each once."""
        found = tuple(dict.fromkeys(self._warnings))
        self._warnings.clear()
        return found

    def start(self, container_id: str) -> Timed[None]:
        """Timed: start."""
        self._stuck.add(container_id)  # until it is answered
        answer = self._connection.request(
            "POST",
            f"{self._prefix}/containers/{container_id}/start",
            what="start by the OCI runtime",
            limit_s=self._start_limit_s(container_id),
        )
        self._stuck.discard(container_id)
        _check(answer, "start")
        return Timed(answer.start_ns, answer.end_ns, None)

    def state(self, container_id: str) -> ContainerState:
        """Inspect."""
        return container_state(self._get(f"/containers/{container_id}/json"))

    def execute(self, container_id: str, command: Sequence[str]) -> Timed[Executed]:
        """Create, start and inspect, on a connection of its own; the start's answer lasts as long as its output."""
        executing = Connection(self._address.url, self._limits.answer_s)
        body = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True}
        try:
            with self._connection.answering("exec"):
                created = executing.request("POST", f"{self._prefix}/containers/{container_id}/exec", body)
                _check(created, "exec")
                path = f"{self._prefix}/exec/{created.json()['Id']}"
                lifetime_s = self._lifetime_s(container_id)
                ran = executing.request("POST", f"{path}/start", {"Detach": False, "Tty": False}, timeout_s=lifetime_s)
                _check(ran, "exec")
                while (answer := executing.request("GET", f"{path}/json")).status == 200 and answer.json()["Running"]:
                    time.sleep(_EXEC_POLL_S)  # the exit code is noted a moment after the output's end
                _check(answer, "exec")
        finally:
            executing.close()
        output = b"".join(unframed(iter([ran.body]))).decode(errors="replace")
        return Timed(created.start_ns, answer.end_ns, Executed(int(answer.json()["ExitCode"]), output))

    def follow_output(self, container_id: str) -> Iterator[bytes]:
        """Lines of both streams, unframed."""
        following = Connection(self._address.url, self._limits.answer_s)
        path = f"{self._prefix}/containers/{container_id}/logs?follow=1&stdout=1&stderr=1"
        try:
            with self._connection.answering("output"):
                lifetime_s = self._lifetime_s(container_id)  # an engine may send the head with the first line only
                head, pieces = following.stream("GET", path, head_s=lifetime_s, silence_s=lifetime_s)
                if head.status != 200:
                    raise EngineError(f"output: {message_of(b''.join(pieces))}")
                yield from lines(unframed(pieces))
        finally:
            following.close()

    def output_tail(self, container_id: str, lines: int = 20) -> str:
        """The last lines; drivers that keep none give an empty string."""
        path = f"{self._prefix}/containers/{container_id}/logs?stdout=1&stderr=1&tail={lines}"
        try:
            answer = self._connection.request("GET", path, what="output")
        except EngineError:
            return ""
        if answer.status != 200:
            return ""
        return b"".join(unframed(iter([answer.body]))).decode(errors="replace")

    def wait_exit(self, container_id: str) -> Callable[[], Timed[int]]:
        """The wait is registered when this returns: Docker sends the headers then."""
        waiting = Connection(self._address.url, self._limits.answer_s)
        path = f"{self._prefix}/containers/{container_id}/wait?condition=next-exit"
        with self._connection.answering("wait"):
            head, pieces = waiting.stream("POST", path, silence_s=self._lifetime_s(container_id))

        def wait() -> Timed[int]:
            try:
                with self._connection.answering("wait"):
                    body = b"".join(pieces)
                end_ns = time.monotonic_ns()
            finally:
                waiting.close()
            answer = Response(head.status, head.headers, body, head.start_ns, end_ns)
            _check(answer, "wait")
            return Timed(head.start_ns, end_ns, int(answer.json()["StatusCode"]))

        return wait

    def remove_container(self, container_id: str) -> None:
        """Kill and remove, its anonymous volumes too.

        Where a runtime hangs, dockerd holds the container's lock and answers no removal: on an engine of ours the
        container's shim is killed then.
        """
        is_stuck, limit_s = container_id in self._stuck, self._limits.removal_s
        if is_stuck:
            limit_s = self._limits.stuck_s
            self._end_container(container_id)
        try:
            self._delete_container(container_id, limit_s)
        except UnansweredError:
            if is_stuck or not self._end_container(container_id):
                raise
            self._delete_container(container_id, limit_s)
        self._stuck.discard(container_id)
        self._start_limits_s.pop(container_id, None)

    def sweep(self) -> int:
        """Remove every container labelled as ours."""
        left = self._get(f"/containers/json?all=1&filters={_LABEL_FILTER}")
        for container in left:
            self.remove_container(container["Id"])
        return len(left)

    def endpoint(self, container_id: str, port: int) -> tuple[Path | None, tuple[str, int]]:
        """The container's own address; never a published port, which docker-proxy answers before the app does."""
        inspected = self._get(f"/containers/{container_id}/json")
        is_on_host = (inspected.get("HostConfig") or {}).get("NetworkMode") == Network.HOST
        if obstacle := self.obstacle_to_asking(Network.HOST if is_on_host else Network.BRIDGE):
            raise EngineError(obstacle)
        state = container_state(inspected)
        netns = self._reach.netns
        if self._reach.by_container:
            netns = container_netns(container_id, state.pid)
            if netns is None and state.running:
                raise EngineError(
                    f"containers of {self._address.url} are not on this machine as far as can be seen: their addresses "
                    f"may be somebody else's here. {_INSTEAD}"
                )
        if is_on_host:
            return netns, (self._host(), port)
        if state.address is None:
            raise EngineError("the container has no network address; use a log or exit probe with --network none.")
        return netns, (state.address, port)

    def obstacle_to_asking(self, network: Network) -> str | None:
        """A host's address is enough for network ``host`` where the engine is reached over a network itself."""
        if network is Network.NONE or (network is Network.HOST and not self._is_socket()):
            return None
        if self._reach.obstacle is None:
            return None
        return f"containers of {self._address.url} cannot be asked from here: {self._reach.obstacle}. {_INSTEAD}"

    def host_endpoint(self, port: int) -> tuple[Path | None, tuple[str, int]] | None:
        """Loopback of the engine's network namespace, or the machine that DOCKER_HOST names."""
        if self._reach.by_container or self.obstacle_to_asking(Network.HOST) is not None:
            return None
        return self._reach.netns, (self._host(), port)

    def lost(self) -> str | None:
        """By a ping and by the daemons' processes."""
        return self._vitals.lost()

    def daemons(self) -> tuple[int, ...]:
        """Dockerd, and the containerd it started or was told to use."""
        return daemon_pids(Path(urlsplit(self._address.url).path)) if self._is_local() else ()

    def log_mark(self) -> int:
        """The log's size in bytes."""
        assert self._address.log is not None
        return self._address.log.stat().st_size

    def log_since(self, mark: int) -> bytes:
        """The log's bytes after ``mark``."""
        assert self._address.log is not None
        with self._address.log.open("rb") as log:
            log.seek(mark)
            return log.read()

    def close(self) -> None:
        """Close the connection; a user's engine is left without the images it did not have."""
        if Capability.PRIVATE not in self.capabilities:
            for name in (*self._named, *self._pulled):
                try:
                    self._remove_image(name)
                except EngineError:
                    continue
                except EngineUnreachableError:
                    break
        self._connection.close()

    def _capabilities(self) -> frozenset[Capability]:
        found = {Capability.PULL}
        if not self._has_containerd_store():
            found.add(Capability.PULL_PROGRESS)
        if _api(self._version["ApiVersion"]) <= _STARTED_AT_EXEC and self._is_local():
            found.add(Capability.STARTED_AT_EXEC)
        if self._unpacks_zstd():
            found.add(Capability.ZSTD_LAYERS)
        if self._address.private:
            found.add(Capability.PRIVATE)
        if self._address.log is not None and os.access(self._address.log, os.R_OK):
            found.add(Capability.LAYER_LOG)
        if self._reach.obstacle is None:
            found.add(Capability.CONTAINER_ADDRESS)
        if self._is_local():
            found.add(Capability.SAME_MACHINE)
            layers = self.data_root / "overlay2" if self.data_root is not None else None
            if self._info.get("Driver") == "overlay2" and layers is not None and os.access(layers, os.R_OK | os.X_OK):
                found.add(Capability.LAYER_PATHS)
        return frozenset(found)

    def _has_containerd_store(self) -> bool:
        """Whether images are in containerd's store, Docker 29's default, and in no graph driver of Docker's own."""
        return [_DRIVER_TYPE, _SNAPSHOTTER] in (self._info.get("DriverStatus") or [])

    def _unpacks_zstd(self) -> bool:
        """Docker does from 23.0 on (its release notes); a version that is not a number is taken to be newer."""
        major = str(self._version["Version"]).partition(".")[0]
        return not major.isdigit() or int(major) >= _ZSTD_SINCE

    def _reached(self) -> Reach:
        if self._address.netns is not None:
            return Reach(netns=self._address.netns)
        if not self._is_socket():
            return Reach(obstacle="they have addresses of another machine", is_here=False)
        return reach(Path(urlsplit(self._address.url).path), self._info.get("KernelVersion"))

    def _is_socket(self) -> bool:
        return self._address.url.startswith("unix:")

    def _is_local(self) -> bool:
        return self._reach.is_here

    def _host(self) -> str:
        return "127.0.0.1" if self._is_socket() else urlsplit(self._address.url).hostname or "localhost"

    def _decompressor(self) -> str | None:
        if not self._is_local():
            return None
        return "unpigz" if shutil.which("unpigz") else "Go compress/gzip"

    def _start_limit_s(self, container_id: str) -> float:
        return self._start_limits_s.get(container_id, START_LIMIT_NS / NS_PER_S)

    def _lifetime_s(self, container_id: str) -> float:
        """For what is answered by the container's end: from before its start until after it is given up."""
        return self._start_limit_s(container_id) + self._limits.answer_s

    def _delete_container(self, container_id: str, limit_s: float) -> None:
        what = f"removal of container {container_id[:12]}"
        answer = self._connection.request(
            "DELETE", f"{self._prefix}/containers/{container_id}?force=1&v=1", what=what, limit_s=limit_s
        )
        if answer.status not in {404, 409}:  # 409: its removal is already in progress
            _check(answer, what)

    def _end_container(self, container_id: str) -> int:
        return end_container(container_id) if Capability.PRIVATE in self.capabilities and self._is_local() else 0

    def _get(self, path: str) -> Any:
        answer = self._connection.request("GET", self._prefix + path)
        _check(answer, path.partition("?")[0])
        return answer.json()

    def _inspect_image(self, name: str) -> dict[str, Any] | None:
        answer = self._connection.request("GET", f"{self._prefix}/images/{quote(name, safe='/:@')}/json")
        if answer.status == 404:
            return None
        _check(answer, f"inspection of {name}")
        inspected: dict[str, Any] = answer.json()
        return inspected

    def _sharing_layers(self, image: Image) -> list[str]:
        # A graph driver names a layer by all below it, so only a common base is shared; containerd keeps blobs by
        # their own digest, so there any common layer is.
        by_chain = self._info.get("Driver") == "overlay2"
        own = {layer.diff_id for layer in image.layers[: 1 if by_chain else None]}
        sharing = []
        for listed in self._get("/images/json?all=1"):
            inspected = self._inspect_image(listed["Id"])
            layers = ((inspected or {}).get("RootFS") or {}).get("Layers") or []
            names = {listed["Id"], *(listed.get("RepoDigests") or ()), *(listed.get("RepoTags") or ())}
            if image.image_id in names or image.reference in names or own & set(layers[: 1 if by_chain else None]):
                sharing.append(listed["Id"])
        return sharing

    def _remove_image(self, name: str) -> None:
        what, path = f"removal of image {name}", f"{self._prefix}/images/{quote(name, safe='/:@')}?force=1"
        answer = self._connection.request("DELETE", path, what=what, limit_s=self._limits.image_removal_s)
        if answer.status != 404:
            _check(answer, what)
        self._pulled.discard(name)
        self._named.discard(name)


def _check(answer: Response, what: str) -> None:
    if answer.status >= 300:
        raise EngineError(f"{what}: {message_of(answer.body)}")
