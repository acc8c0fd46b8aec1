"""Starting, finding and removing the testbed."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

import msgspec

from coldstart.engines.daemons import condition_of
from coldstart.errors import TestbedError, UsageError
from coldstart.testbed import cgroups, daemon, egress, executables, marker, mounts, namespaces, processes, repair
from coldstart.testbed import registry as registries
from coldstart.testbed import storage as storages
from coldstart.testbed.config import (
    LOCAL_LINK,
    REGISTRY_ADDRESS,
    Layout,
    ProcessRef,
    Testbed,
    TestbedConfig,
    load_testbed,
    write_record,
)
from coldstart.testbed.hold import Holder, hold, holder_of
from coldstart.units import NS_PER_S

Progress = Callable[[str], None]
_LOCK_TIMEOUT_NS = 180 * NS_PER_S
_LOCK_POLL_S = 0.05
_DAEMONS = frozenset({processes.ENGINE, processes.REGISTRY, processes.EGRESS})
EXTERNAL_LINK = "external, through slirp4netns"


class State(StrEnum):
    """How a testbed is."""

    UP = "up"
    DOWN = "down"
    BROKEN = "broken"


class TestbedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is there. ``problems`` say what is wrong with a broken one; ``up`` and ``down`` both repair it."""

    __test__ = False  # pytest: a name, not a test

    state: State
    root: Path
    problems: tuple[str, ...] = ()
    testbed: Testbed | None = None
    holder: Holder | None = None


def up(config: TestbedConfig, progress: Progress) -> Testbed:
    """Start the testbed, or return the one that runs; what a killed run left, or one that hangs, is removed first.

    ``progress`` is told each step before it begins.

    Raises:
        TestbedError: it cannot be started; nothing is left then, and the message has the log's last lines.
        TestbedHeldError: it is damaged and somebody is measuring on it.
        RegistryUnreachableError: the external registry does not answer.
    """
    layout = config.layout
    _require_root()
    path = executables.search_path()
    if config.tools is not None:
        path = f"{config.tools}:{path}"
    found = executables.require(config.registry, path)
    _check_data_root(layout, config.data_root)
    marker.check_private(config.registry_storage.parent)  # images are kept there with any registry
    marker.claim_folder(layout.root, layout.id)
    with _changing(layout):
        running = _healthy(layout, progress)
        if running is not None:
            _check_same(config, running)
            return running
        with ExitStack() as held:
            try:
                held.enter_context(hold(layout.root, "testbed up"))
            except OSError:  # no room even for the lock's file
                marker.unclaim(layout.root)
                raise
            try:
                _renewed_claim(layout, config, progress)
                testbed = _build(layout, config, found, path, progress)
                write_record(layout.state, testbed)
            except BaseException:  # an interrupt too: a half-built testbed is of no use to anybody
                repair.clear(layout, marker.read_claim(layout.root))
                marker.remove(layout.root, layout.id)
                raise
    return testbed


def down(root: Path, progress: Progress) -> bool:
    """Remove the testbed in ``root``, running or damaged, with everything that only it used; whether there was one.

    The registry's storage stays (`coldstart.testbed.registry.purge` removes it).

    Raises:
        TestbedHeldError: somebody is measuring on it.
        TestbedError: ``root`` is not ours, or something in it is in use and stays so.
    """
    layout = Layout.of(root)
    _require_root()
    marker.check_private(layout.root)
    marker.check_claimable(layout.root, layout.id)
    if marker.read_claim(layout.root) is None:
        found = repair.clear(layout, None)
        return marker.remove(layout.root, layout.id) or found > 0
    with _changing(layout), _held_for_removal(layout.root):
        progress("ending the engine and what runs on it")
        repair.clear(layout, marker.read_claim(layout.root))
        progress(f"removing {layout.root}")
        return marker.remove(layout.root, layout.id)


@contextmanager
def _held_for_removal(root: Path) -> Iterator[None]:
    """Nobody measures on it; a full disk, too, can be cleared, on which there is no room for the lock's file."""
    with ExitStack() as held:
        try:
            held.enter_context(hold(root, "testbed down"))
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise  # otherwise nobody else can hold it either: the file is not there to be locked
        yield


def find(root: Path) -> Testbed | None:
    """The testbed in ``root`` if its daemons run; ``None`` if there is none, or a damaged one.

    Raises:
        TestbedError: its record cannot be read.
    """
    layout = Layout.of(root)
    marker.check_private(layout.root)
    testbed = load_testbed(layout)
    if testbed is None or not all(processes.is_alive(ref) for ref in testbed.processes):
        return None
    return testbed


def status(root: Path) -> TestbedStatus:
    """What is in ``root``, without changing anything."""
    layout = Layout.of(root)
    testbed = load_testbed(layout)
    holder = holder_of(root)
    problems = _problems(layout, testbed)
    state = State.BROKEN if problems else State.UP if testbed else State.DOWN
    return TestbedStatus(state=state, root=layout.root, problems=problems, testbed=testbed, holder=holder)


def _healthy(layout: Layout, progress: Progress) -> Testbed | None:
    """The testbed that runs, unless it hangs: a run on that would wait for nothing."""
    running = find(layout.root)
    problems = () if running is None else _problems(layout, running)
    for problem in problems:
        progress(f"{problem}: starting the testbed anew")
    return None if problems else running


def _problems(layout: Layout, testbed: Testbed | None) -> tuple[str, ...]:
    if testbed is None:
        claimed = marker.read_claim(layout.root) is not None
        left = processes.find(layout)
        problems = ["an earlier start or removal did not end"] if claimed else []
        return (*problems, *(f"{ref.name} (process {ref.pid}) was left running" for ref in left))
    dead = [ref for ref in testbed.processes if not processes.is_alive(ref)]
    problems = [f"{ref.name} (process {ref.pid}) is gone" for ref in dead]
    stopped = [ref for ref in processes.find(layout) if ref.role in _DAEMONS and condition_of(ref.pid) == "is stopped"]
    problems += [f"{ref.name} (process {ref.pid}) is stopped" for ref in stopped]
    may_ask = os.geteuid() == 0 or os.access(testbed.docker_socket, os.W_OK)
    if not problems and may_ask and not daemon.answers(testbed.docker_socket):
        problems.append("the engine does not answer")
    return tuple(problems)


def _build(layout: Layout, config: TestbedConfig, found: dict[str, Path], path: str, progress: Progress) -> Testbed:
    external = config.registry is not None
    address = config.registry or REGISTRY_ADDRESS
    progress("making network namespaces")
    layout.run.mkdir(mode=0o700)
    layout.log.mkdir(mode=0o755)
    layout.engine_netns.parent.mkdir()
    namespaces.create(layout, layout.engine_netns)
    if external:
        progress(f"connecting to the registry {address}")
        egress.start_permanent(layout, address, path)
    else:
        namespaces.create(layout, layout.registry_netns)
        namespaces.join(layout)
        progress("starting the registry")
        registries.start(layout, config.registry_storage, found["registry"], path)
    progress("preparing storage for the engine")
    storage = storages.prepare(layout, config.data_root, config.medium)
    progress(f"starting the engine on a {storage.description}")
    runtimes = executables.runtimes(config.runtimes, path)
    daemon.start(layout, data_root=storage.data_root, registry_address=address, runtimes=runtimes, path=path)
    if not external:
        registries.wait_ready(layout)
    daemon.wait_ready(layout)
    return Testbed(
        id=layout.id,
        root=layout.root,
        docker_socket=layout.socket,
        engine_netns=layout.engine_netns,
        registry_netns=None if external else layout.registry_netns,
        registry_address=address,
        registry_link=EXTERNAL_LINK if external else LOCAL_LINK,
        registry_storage=None if external else config.registry_storage,
        registry_log=None if external else registries.registry_log(layout),
        engine_log=daemon.engine_log(layout),
        data_root=storage.data_root,
        storage=storage.description,
        loop_device=storage.loop_device,
        loop_mount=storage.loop_mount,
        cgroup_parent=f"/{layout.name}",
        runtimes=runtimes,
        processes=_daemons(layout),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _daemons(layout: Layout) -> tuple[ProcessRef, ...]:
    """The processes a testbed cannot do without; containerd is not among them, for dockerd restarts it."""
    return tuple(
        ref
        for ref in processes.find(layout)
        if ref.role in {processes.REGISTRY, processes.EGRESS} or (ref.role, ref.name) == (processes.ENGINE, "dockerd")
    )


def _renewed_claim(layout: Layout, config: TestbedConfig, progress: Progress) -> marker.Claim:
    """Remove what an earlier run left, then write down, before anything is made, what undoing it will need."""
    old = marker.read_claim(layout.root)
    assert old is not None
    if repair.clear(layout, old):
        progress("removed what an earlier run left")
    marker.empty(layout.root, kept=frozenset({marker.MARKER, layout.hold.name}))
    given = cgroups.controllers(mounts.read())
    claim = marker.Claim(id=layout.id, made=old.made, mode=old.mode, data_root=config.data_root, controllers=given)
    marker.write(layout.root, claim)
    if config.data_root is not None:
        marker.claim_folder(config.data_root, layout.id)
    return claim


def _check_data_root(layout: Layout, data_root: Path | None) -> None:
    if data_root is None:
        return
    if layout.root.is_relative_to(data_root) or data_root.is_relative_to(layout.root):
        raise UsageError(
            f"--data-root {data_root}: the testbed's own state is in {layout.root}. Choose another folder."
        )
    marker.check_claimable(data_root, layout.id)


def _check_same(config: TestbedConfig, running: Testbed) -> None:
    """Whatever was asked for must be what runs; what was not asked for may be anything."""
    differences = [
        f"runtime {name}={path}" for name, path in config.runtimes.items() if running.runtimes.get(name) != path
    ]
    if config.data_root not in {None, running.data_root}:
        differences.append(f"data-root {config.data_root} (it has {running.data_root})")
    if config.registry not in {None, running.registry_address}:
        differences.append(f"registry {config.registry} (it has {running.registry_address})")
    if differences:
        raise TestbedError(
            f"the testbed is up without what was asked for: {', '.join(differences)}. "
            "Remove it first: coldstart testbed down"
        )


@contextmanager
def _changing(layout: Layout) -> Iterator[None]:
    """One ``up`` or ``down`` at a time; the lock is the root folder itself, so it leaves no trace.

    A claimed folder can be opened by its owner only (`marker.FOLDER_MODE`), so nobody else can lock it.
    """
    deadline_ns = time.monotonic_ns() + _LOCK_TIMEOUT_NS
    descriptor = _open_folder(layout.root)
    try:
        while True:
            try:
                flock(descriptor, LOCK_EX | LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic_ns() > deadline_ns:
                    raise TestbedError(
                        f"another `coldstart testbed` is at work on {layout.root}. Wait for it."
                    ) from error
                time.sleep(_LOCK_POLL_S)
                continue
            break
        if not layout.root.exists() or not os.path.samestat(os.fstat(descriptor), layout.root.lstat()):
            raise TestbedError(f"{layout.root} was removed by another `coldstart testbed down` meanwhile. Repeat.")
        yield
    finally:
        os.close(descriptor)


def _open_folder(folder: Path) -> int:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise TestbedError(f"{folder} was removed by another `coldstart testbed down` meanwhile. Repeat.") from error


def _require_root() -> None:
    if os.geteuid() != 0:
        raise TestbedError(
            "the testbed needs root, for namespaces and mounts of its own: repeat with sudo, or measure an engine you "
            "may use already with DOCKER_HOST."
        )
