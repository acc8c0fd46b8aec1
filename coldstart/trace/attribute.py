"""Who is who in an engine's family tree, and the spans and instants that follow.

By place in the tree, not by name: the *shim* is the ancestor of a container's init that outlives the start; what it
runs first, and the init descends from, is *runtime create*; what it runs next is *runtime start*; the *entrypoint* is
what the init becomes after that. Names decide only what the tree cannot: of the programs that dockerd runs during a
pull, those that are dockerd again unpack a layer each, and of those that *runtime create* runs, the one that is dockerd
again is the network hook.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from coldstart.model.sample import Phase, Source, Span
from coldstart.trace.base import Instant, InstantKind, Observation, TrialWindow, of_all_layers
from coldstart.trace.tree import Exec, Process, Tree

_REEXEC = "/proc/self/exe"


class Role(StrEnum):
    """What a process does for a start."""

    SHIM = "shim"
    RUNTIME_CREATE = "runtime_create"
    RUNTIME_START = "runtime_start"
    NETWORK_HOOK = "network_hook"
    ENTRYPOINT = "entrypoint"
    UNTAR = "untar"
    DECOMPRESSOR = "decompressor"


class Member(NamedTuple):
    """A process with its role; ``container`` counts from 0, ``None`` for a pull's."""

    role: Role
    process: Process
    container: int | None = None


class Start(NamedTuple):
    """One container's processes; runtime create and start are ``None`` where they were not seen."""

    launcher: Process
    shim: Process
    create: Process | None
    start: Process | None
    hooks: tuple[Process, ...]
    init: Process
    entrypoint: Exec | None


def find_start(tree: Tree, init_pid: int) -> Start | None:
    """The processes of the container whose init has that number; ``None`` if the tree does not lead to it."""
    init = tree.process(init_pid)
    if init is None:
        return None
    shim = next((process for process in _above(init) if process.exit_ns is None), None)
    return None if shim is None else _start(shim, init)


def find_ended_start(tree: Tree, asked_ns: int) -> Start | None:
    """The same of a container that has ended and so has no number any more: the first launched after ``asked_ns``.

    Its shim may have ended too; it is what ran two programs, the runtime's create and start, and the init is what
    create left behind and became a program after that.
    """
    launchers = [child for root in tree.roots for child in root.children if (child.exec_ns or 0) >= asked_ns]
    for launcher in sorted(launchers, key=lambda process: process.exec_ns or 0):
        for shim in launcher.family():
            ran = [child for child in shim.children if child.exec_ns is not None]
            if len(ran) < 2:
                continue
            left = (process for process in ran[0].family() if process is not ran[0])
            init = next((process for process in left if _entrypoint(process, ran[1]) is not None), None)
            if init is not None:
                return _start(shim, init)
    return None


def _above(init: Process) -> list[Process]:
    """The init's ancestors below the daemon, nearest first."""
    return list(init.ancestry())[1:-1]


def _start(shim: Process, init: Process) -> Start:
    chain = _above(init)
    below = chain[: chain.index(shim)]
    create = below[-1] if below else None
    begun_ns = create.exec_ns if create is not None else None
    later = [child for child in shim.children if begun_ns is not None and (child.exec_ns or 0) > begun_ns]
    start = later[0] if later else None
    return Start(
        launcher=chain[-1],
        shim=shim,
        create=create,
        start=start,
        hooks=tuple(
            child
            for child in (create.children if create is not None else ())
            if child not in below and any(is_daemons_own(found.path) for found in child.execs)
        ),
        init=init,
        entrypoint=_entrypoint(init, start),
    )


def _starts(tree: Tree, window: TrialWindow) -> Iterator[tuple[int, int, Start]]:
    """Number, instant of the request, and processes of every container that was seen to start."""
    for container, (asked, state) in enumerate(zip(window.starts, window.states, strict=True)):
        if state.pid is not None:
            found = find_start(tree, state.pid)
        elif state.finished_wall_ns is not None and len(window.starts) == 1:  # of several it could be any
            found = find_ended_start(tree, asked.start_ns)
        else:
            found = None
        if found is not None:
            yield container, asked.start_ns, found


def observe(tree: Tree, window: TrialWindow, source: Source, error_ns: int) -> Observation:
    """The spans and instants of a trial, as ``source`` saw them."""
    spans: list[Span] = list(_pull_spans(tree, window, source, error_ns))
    instants: list[Instant] = []
    for container, asked_ns, found in _starts(tree, window):
        entrypoint_ns = found.entrypoint.at_ns if found.entrypoint is not None else None
        span = _spanner(source, error_ns, container)
        spans += [s for s in _init_spans(found, asked_ns, entrypoint_ns, span) if s is not None]
        seen = {
            InstantKind.ENTRYPOINT_EXEC: entrypoint_ns,
            InstantKind.LISTENING: _listening_ns(found.init, window.port),
        }
        instants += [
            Instant(kind=kind, at_ns=at_ns, error_ns=error_ns, source=source, container=container)
            for kind, at_ns in seen.items()
            if at_ns is not None
        ]
    return Observation(spans=tuple(spans), instants=tuple(instants), received_bytes=_received_bytes(tree, window))


def members(tree: Tree, window: TrialWindow) -> tuple[Member, ...]:
    """Every process that has a role in the trial."""
    found = [Member(Role.UNTAR, process) for process in _untars(tree, window)]
    found += [Member(Role.DECOMPRESSOR, process) for process in _decompressors(tree, window)]
    for container, _, start in _starts(tree, window):
        found += [
            Member(role, process, container)
            for role, process in (
                (Role.SHIM, start.shim),
                (Role.RUNTIME_CREATE, start.create),
                (Role.RUNTIME_START, start.start),
                *((Role.NETWORK_HOOK, hook) for hook in start.hooks),
                (Role.ENTRYPOINT, start.init),
            )
            if process is not None
        ]
    return tuple(found)


_Spanner = Callable[[Phase, int | None, int | None], Span | None]


def _spanner(source: Source, error_ns: int, container: int, layer: str | None = None) -> _Spanner:
    def span(phase: Phase, start_ns: int | None, end_ns: int | None) -> Span | None:
        if start_ns is None or end_ns is None or end_ns < start_ns:
            return None  # a leaf needs two observed boundaries
        return Span(
            phase=phase,
            start_ns=start_ns,
            end_ns=end_ns,
            source=source,
            error_ns=error_ns,
            layer=layer,
            container=container,
        )

    return span


def _init_spans(found: Start, asked_ns: int, entrypoint_ns: int | None, span: _Spanner) -> list[Span | None]:
    """From the request to the entrypoint's exec: engine, shim, create, engine again, start; the hook inside create."""
    launched_ns = found.launcher.exec_ns
    create, start = found.create, found.start
    create_ns = create.exec_ns if create is not None else None
    created_ns = create.exit_ns if create is not None else None
    start_ns = start.exec_ns if start is not None else None
    return [
        span(Phase.INIT_ENGINE, asked_ns, launched_ns),
        span(Phase.INIT_SHIM, launched_ns, create_ns),
        span(Phase.RUNTIME_CREATE, create_ns, created_ns),
        *(span(Phase.NETWORK_HOOK, hook.exec_ns, hook.exit_ns) for hook in found.hooks),
        span(Phase.INIT_ENGINE, created_ns, start_ns),
        span(Phase.RUNTIME_START, start_ns, entrypoint_ns),
    ]


def _pull_spans(tree: Tree, window: TrialWindow, source: Source, error_ns: int) -> tuple[Span, ...]:
    """Unpack and register of each layer; none unless one unpacking process was seen for every layer."""
    if window.pull is None:
        return ()
    untars = _untars(tree, window)
    layers = [layer.digest for layer in window.image.layers]
    if len(untars) != len(layers) or None in layers:
        return ()
    complete = {event.layer: event.at_ns for event in window.pull.value if event.status == "Pull complete"}
    spans: list[Span | None] = []
    for layer, untar, decompressor in zip(layers, untars, _paired(untars, _decompressors(tree, window)), strict=True):
        assert layer is not None
        span = _spanner(source, error_ns, 0, layer)
        begun = decompressor.exec_ns if decompressor is not None else untar.exec_ns
        spans.append(span(Phase.UNPACK, begun, untar.exit_ns))
        spans.append(span(Phase.REGISTER, untar.exit_ns, complete.get(layer.removeprefix("sha256:")[:12])))
    return of_all_layers((s for s in spans if s is not None), window.image)


def _programs(tree: Tree, window: TrialWindow) -> list[Process]:
    """What the daemons ran themselves during the pull, in order."""
    if window.pull is None:
        return []
    begin_ns, end_ns = window.pull.start_ns, window.pull.end_ns
    found = [
        child
        for root in tree.roots
        for child in root.children
        if child.exec_ns is not None and begin_ns <= child.exec_ns <= end_ns
    ]
    return sorted(found, key=lambda process: process.execs[0].at_ns)


def _untars(tree: Tree, window: TrialWindow) -> list[Process]:
    return [process for process in _programs(tree, window) if process.execs[0].path == _REEXEC]


def _decompressors(tree: Tree, window: TrialWindow) -> list[Process]:
    names = ("/unpigz", "/gzip", "/pigz", "/zstd", "/xz")
    return [process for process in _programs(tree, window) if (process.execs[0].path or "").endswith(names)]


def _paired(untars: Sequence[Process], decompressors: Sequence[Process]) -> list[Process | None]:
    """The decompressor that was started for each layer: the one between the unpacking before and its own."""
    pairs: list[Process | None] = []
    before_ns = 0
    for untar in untars:
        own_ns = untar.execs[0].at_ns
        near = [process for process in decompressors if before_ns < process.execs[0].at_ns < own_ns]
        pairs.append(near[-1] if near else None)
        before_ns = own_ns
    return pairs


def is_daemons_own(path: str | None) -> bool:
    """Whether a program is the daemon's executable named by its process, as Docker's network hook is."""
    words = (path or "").split("/")
    return len(words) == 4 and words[1] == "proc" and words[2].isdigit() and words[3] == "exe"


def _entrypoint(init: Process, runtime_start: Process | None) -> Exec | None:
    """The first program the init became once the runtime was told to start; a sandbox that was one before is none."""
    if runtime_start is None or runtime_start.exec_ns is None:
        return None
    after = runtime_start.exec_ns
    return next((found for found in init.execs if found.at_ns >= after), None)


def _listening_ns(init: Process, port: int | None) -> int | None:
    """The first time the entrypoint, or what it started, listened; on ``port`` where that is known."""
    listens = [found for process in init.family() for found in process.listens if port in {None, found.port}]
    return min((found.at_ns for found in listens), default=None)


def _received_bytes(tree: Tree, window: TrialWindow) -> int | None:
    if window.pull is None:
        return None
    return (
        sum(
            found.received_bytes
            for root in tree.roots
            for found in root.receives
            if window.pull.start_ns <= found.at_ns <= window.pull.end_ns
        )
        or None
    )
