"""The registry: our own in its namespace, whose access log is a proof, or somebody's that must be reachable."""

from __future__ import annotations

import os
import re
import subprocess
import time
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path

import msgspec

from coldstart.engines.daemons import condition_of
from coldstart.engines.netns import tcp_socket
from coldstart.errors import RegistryUnreachableError, TestbedError
from coldstart.opening import open_regular
from coldstart.testbed import marker, processes, shell
from coldstart.testbed.blobs import AccessLog
from coldstart.testbed.config import REGISTRY_ADDRESS, Layout, Testbed
from coldstart.testbed.executables import find, search_path
from coldstart.units import NS_PER_S

_STORAGE_OWNER = "registry-storage"
_READY_TIMEOUT_NS = 30 * NS_PER_S
_POLL_S = 0.02
_CONNECT_TIMEOUT_S = 5


def registry_log(layout: Layout) -> Path:
    """Our registry's log, a JSON object a line."""
    return layout.log / "registry.log"


def blob_path(storage: Path, digest: str) -> Path:
    """Where our registry keeps a blob (distribution's filesystem driver, the same in versions 2 and 3)."""
    algorithm, _, name = digest.partition(":")
    return _root(storage) / "docker/registry/v2/blobs" / algorithm / name[:2] / name / "data"


def start(layout: Layout, storage: Path, executable: Path, path: str) -> None:
    """Start our registry on ``storage``, which is created and marked, and which it locks while it lives.

    Raises:
        TestbedError: the storage folder is somebody else's.
    """
    marker.check_private(storage.parent)
    marker.claim_folder(storage, _STORAGE_OWNER, marker_mode=0o600)
    settings = {
        "version": "0.1",
        "log": {"level": "info", "formatter": "json", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(_root(storage))}, "delete": {"enabled": True}},
        "http": {"addr": REGISTRY_ADDRESS},
    }
    file = layout.run / "registry.json"
    file.write_bytes(msgspec.json.format(msgspec.json.encode(settings)))  # JSON is YAML
    lock = open_regular(storage / marker.MARKER, os.O_RDONLY)
    try:
        os.fchmod(lock, 0o600)  # of an older version: who can open it can lock it
        flock(lock, LOCK_SH)
        shell.spawn(
            ["nsenter", f"--net={layout.registry_netns}", executable, "serve", file],
            tag=processes.tag(layout, processes.REGISTRY),
            path=path,
            home=layout.run,
            log=registry_log(layout),
            pass_fds=[lock],
        )
    finally:
        os.close(lock)


def wait_ready(layout: Layout) -> None:
    """Return once our registry answers and its log shows that in the form that proofs are read from.

    Raises:
        TestbedError: it ended or is silent, or logs in a form we do not know.
    """
    log = AccessLog(registry_log(layout))
    mark = log.mark()
    deadline_ns = time.monotonic_ns() + _READY_TIMEOUT_NS
    answered = False
    while not (answered and log.responses_since(mark)):
        answered = answered or _answers(layout.registry_netns)
        alive = processes.has_role(layout, processes.REGISTRY)
        if alive and time.monotonic_ns() < deadline_ns:
            time.sleep(_POLL_S)
            continue
        what = "logs no requests that can be read" if answered else "does not answer" if alive else "ended at its start"
        raise TestbedError(f"the testbed's registry {what}. Its log ends:{shell.tail(registry_log(layout))}")


def check_external(netns: Path, address: str) -> None:
    """Make sure that an external registry can be reached from the engine's namespace.

    Raises:
        RegistryUnreachableError: nothing there speaks HTTP. (A TLS server says so to a plain request, too.)
    """
    try:
        answer = _ask(netns, address)
    except OSError as error:
        why: object = error
    else:
        if answer.startswith(b"HTTP/"):
            return
        why = "it does not answer as a registry does"
    raise RegistryUnreachableError(
        f"registry {address}: {why}. Is it running there, and does its firewall let this machine in?"
    )


def lost(testbed: Testbed) -> str | None:
    """What is wrong with the testbed's registry, with the remedy; ``None`` if it answers. Never raises."""
    remedy = "Start the testbed anew: coldstart testbed up"
    for ref in testbed.processes:
        if ref.role == processes.REGISTRY:
            condition = condition_of(ref.pid) if processes.is_alive(ref) else "is gone"
            if condition is not None:
                return f"the testbed's registry (process {ref.pid}) {condition}. {remedy}"
    own = testbed.registry_storage is not None
    try:
        answer = _ask(testbed.registry_netns or testbed.engine_netns, testbed.registry_address)
    except OSError as error:
        why = str(error.strerror or error)
    else:
        if answer.startswith(b"HTTP/") and (not own or answer.split(b" ")[1:2] == [b"200"]):
            return None
        why = f"it says {answer[:40]!r}" if answer else "it closes the connection"
    name = "the testbed's registry" if own else f"registry {testbed.registry_address}"
    return f"{name} does not answer ({why}). {remedy if own else 'Is it running there?'}"


def registry_version(testbed: Testbed) -> str | None:
    """What our registry's executable says it is, such as ``2.8.2+ds1``; ``None`` for an external one."""
    if testbed.registry_storage is None:
        return None
    path = search_path()
    executable = find("docker-registry", path) or find("registry", path)
    if executable is None:
        return None
    try:
        said = subprocess.run([executable, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_version(said)


def parse_version(said: str) -> str | None:
    """The version in ``docker-registry --version``'s answer."""
    found = re.search(r"\bv?(\d+\.\d+\S*)", said)
    return found.group(1) if found else None


def purge(storage: Path) -> bool:
    """Remove our registry's storage, and its parent if that is then empty; whether there was one.

    Raises:
        TestbedError: it has no marker of ours, or a registry is running on it.
    """
    try:
        lock = open_regular(storage / marker.MARKER, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return marker.remove(storage, _STORAGE_OWNER)
    try:
        flock(lock, LOCK_EX | LOCK_NB)
        removed = marker.remove(storage, _STORAGE_OWNER)
    except BlockingIOError as error:
        raise TestbedError(
            f"{storage} is in use by another testbed's registry. End that one first: coldstart testbed down"
        ) from error
    finally:
        os.close(lock)
    marker.remove_if_empty(storage.parent)
    return removed


def _root(storage: Path) -> Path:
    return storage / "blobs"


def _answers(netns: Path) -> bool:
    try:
        return _ask(netns, REGISTRY_ADDRESS).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


def _ask(netns: Path, address: str) -> bytes:
    host, _, port = address.rpartition(":")
    with tcp_socket(netns) as connection:
        connection.settimeout(_CONNECT_TIMEOUT_S)
        connection.connect((host.strip("[]"), int(port)))
        connection.sendall(f"GET /v2/ HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
        return connection.recv(64)
