"""What a kernel source would have told of an engine's processes: events by hand, in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from coldstart.engines.base import ContainerState, LayerEvent, Timed
from coldstart.model.image import Image
from coldstart.model.sample import ClockConversion
from coldstart.trace.base import TrialWindow
from coldstart.trace.tree import Event, Exec, Exit, Fork, Listen, Receive, Tree
from tests.unit.factories import MS, make_image

DOCKERD, CONTAINERD = 10, 20
DOCKERDS_THREAD = 11
STRANGER = 900
"""A process that is no daemon's."""

REEXEC = "/proc/self/exe"
HOOK = f"/proc/{DOCKERD}/exe"


class Recording:
    """Events, in whatever order they are written down; the tree gets them in order of time."""

    def __init__(self, roots: Mapping[int, Iterable[int]] | None = None) -> None:
        self.roots = roots if roots is not None else {DOCKERD: (DOCKERD, DOCKERDS_THREAD), CONTAINERD: (CONTAINERD,)}
        self._events: list[Event] = []

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(sorted(self._events, key=lambda event: event.at_ns))

    @property
    def tree(self) -> Tree:
        return Tree(self.roots, self.events)

    def fork(self, at_ms: int, parent: int, child: int, *, is_thread: bool = False) -> None:
        self._events.append(Fork(at_ms * MS, parent, child, is_thread))

    def exec(self, at_ms: int, task: int, path: str | None = "/bin/true") -> None:
        self._events.append(Exec(at_ms * MS, task, path))

    def exit(self, at_ms: int, *tasks: int) -> None:
        self._events += [Exit(at_ms * MS, task) for task in tasks]

    def listen(self, at_ms: int, task: int, port: int = 8080) -> None:
        self._events.append(Listen(at_ms * MS, task, port))

    def receive(self, at_ms: int, task: int, received_bytes: int) -> None:
        self._events.append(Receive(at_ms * MS, task, received_bytes))

    def run(self, parent: int, child: int, path: str | None, begin_ms: int, end_ms: int | None = None) -> None:
        """A program: forked 1 ms before it is one."""
        self.fork(begin_ms - 1, parent, child)
        self.exec(begin_ms, child, path)
        if end_ms is not None:
            self.exit(end_ms, child)

    def shim(self, at_ms: int, base: int) -> None:
        """Containerd runs a shim (``base``), which starts itself anew (``base + 1``) and ends."""
        self.run(CONTAINERD, base, "/usr/bin/containerd-shim-runc-v2", at_ms + 9, at_ms + 12)
        self.run(base, base + 1, "/usr/bin/containerd-shim-runc-v2", at_ms + 11)

    def runtime_start(self, at_ms: int, base: int, path: str) -> None:
        """The shim runs the runtime again (``base + 9``), which waits until the init is a program."""
        self.run(base + 1, base + 9, path, at_ms + 76, at_ms + 82)

    def runc(self, at_ms: int = 0, base: int = 100, *, hook: bool = True, entrypoint: str = "/app") -> int:
        """A start by runc, asked for at ``at_ms``; its init.

        Create (``base + 2``) becomes itself again (``+ 3``), which forks twice (``+ 4``, the init ``+ 5``), so that the
        init is in every namespace; the network hook (``+ 6``) is the daemon again.
        """
        create, again, middle, init = (base + 2, base + 3, base + 4, base + 5)
        self.shim(at_ms, base)
        self.run(base + 1, create, "/usr/bin/runc", at_ms + 21, at_ms + 70)
        self.run(create, again, REEXEC, at_ms + 23, at_ms + 28)
        self.fork(at_ms + 24, again, middle)
        self.fork(at_ms + 25, middle, init)
        self.exit(at_ms + 27, middle)
        if hook:
            self.run(create, base + 6, HOOK, at_ms + 41, at_ms + 60)
        self.runtime_start(at_ms, base, "/usr/bin/runc")
        self.exec(at_ms + 80, init, entrypoint)
        self.listen(at_ms + 90, init)
        return init

    def crun(self, at_ms: int = 0, base: int = 100) -> int:
        """A start by crun: its init is forked by create itself, before the hook (``base + 6``)."""
        self.shim(at_ms, base)
        self.run(base + 1, base + 2, "/usr/bin/crun", at_ms + 21, at_ms + 70)
        self.fork(at_ms + 25, base + 2, base + 5)
        self.run(base + 2, base + 6, HOOK, at_ms + 41, at_ms + 60)
        self.runtime_start(at_ms, base, "/usr/bin/crun")
        self.exec(at_ms + 80, base + 5, "/app")
        self.listen(at_ms + 90, base + 5)
        return base + 5

    def runsc(self, at_ms: int = 0, base: int = 100) -> int:
        """A start by runsc: its init is the sandbox, which create made and which runs the entrypoint inside itself."""
        self.shim(at_ms, base)
        self.run(base + 1, base + 2, "/usr/bin/runsc", at_ms + 21, at_ms + 70)
        self.run(base + 2, base + 5, REEXEC, at_ms + 30)
        self.runtime_start(at_ms, base, "/usr/bin/runsc")
        return base + 5

    def layer(self, base: int, begin_ms: int, end_ms: int, decompressor: str | None = "/usr/bin/unpigz") -> None:
        """Dockerd unpacks a layer: a decompressor (``base``) of 2 ms earlier, and itself again (``base + 1``)."""
        if decompressor is not None:
            self.run(DOCKERDS_THREAD, base, decompressor, begin_ms - 2, end_ms - 1)
        self.run(DOCKERDS_THREAD, base + 1, REEXEC, begin_ms, end_ms)


def state(pid: int | None) -> ContainerState:
    """A running container."""
    return ContainerState(
        running=True, pid=pid, started_wall_ns=None, finished_wall_ns=None, exit_code=None, error="", address=None
    )


def window(
    *inits: int | None,
    asked_ms: Iterable[int] | None = None,
    pull: Timed[tuple[LayerEvent, ...]] | None = None,
    port: int | None = 8080,
    image: Image | None = None,
) -> TrialWindow:
    """A trial whose containers have those inits, asked for at 0 ms unless said otherwise."""
    asked = tuple(asked_ms) if asked_ms is not None else (0,) * len(inits)
    return TrialWindow(
        image=image or make_image(),
        clock=ClockConversion(offset_ns=0, error_ns=0),
        pull=pull,
        starts=tuple(Timed(at * MS, (at + 85) * MS, None) for at in asked),
        states=tuple(state(pid) for pid in inits),
        port=port,
    )
