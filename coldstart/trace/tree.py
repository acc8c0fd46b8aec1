"""What happened to processes, as a kernel source saw it, and the family tree of an engine's processes made of it.

A process is known by who forked it, never by its name or its number alone: other engines on the machine are outside the
tree, and a number that is used again is another process from its fork on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple


class Fork(NamedTuple):
    """A task was made: a process, or a thread of its parent's. Task numbers, CLOCK_MONOTONIC ns."""

    at_ns: int
    parent: int
    child: int
    is_thread: bool


class Exec(NamedTuple):
    """A process became another program; ``path`` is ``None`` where the source does not tell."""

    at_ns: int
    task: int
    path: str | None


class Exit(NamedTuple):
    """A task ended."""

    at_ns: int
    task: int


class Listen(NamedTuple):
    """A task made a TCP socket listen."""

    at_ns: int
    task: int
    port: int


class Receive(NamedTuple):
    """A task read from a network socket."""

    at_ns: int
    task: int
    received_bytes: int


Event = Fork | Exec | Exit | Listen | Receive


class Process:
    """One process of the tree: ``tasks`` are its living threads, ``ever`` all it had.

    ``exit_ns`` is ``None`` while any of them lives.
    """

    def __init__(self, pid: int, parent: Process | None) -> None:
        self.pid = pid
        self.parent = parent
        self.children: list[Process] = []
        self.execs: list[Exec] = []
        self.listens: list[Listen] = []
        self.receives: list[Receive] = []
        self.exit_ns: int | None = None
        self.tasks = {pid}
        self.ever = {pid}
        if parent is not None:
            parent.children.append(self)

    @property
    def exec_ns(self) -> int | None:
        """When it first became a program of its own."""
        return self.execs[0].at_ns if self.execs else None

    def ancestry(self) -> Iterator[Process]:
        """Itself, its parent, and so on to the root."""
        process: Process | None = self
        while process is not None:
            yield process
            process = process.parent

    def family(self) -> Iterator[Process]:
        """Itself and all that descend from it."""
        waiting = [self]
        while waiting:
            process = waiting.pop()
            yield process
            waiting += process.children


class Tree:
    """The processes that descend from an engine's daemons, as far as the events tell."""

    def __init__(self, roots: Mapping[int, Iterable[int]], events: Iterable[Event]) -> None:
        """``roots`` maps each daemon to its threads before the first of the ``events``, which are in order of time."""
        self.roots = tuple(Process(pid, None) for pid in roots)
        self._by_task: dict[int, Process] = {}
        for root, tasks in zip(self.roots, roots.values(), strict=True):
            root.tasks |= set(tasks)
            self._by_task.update(dict.fromkeys(root.tasks, root))
        for event in events:
            self._take(event)

    def process(self, pid: int) -> Process | None:
        """The process that had this number last and has not ended; ``None`` if it is none of the tree's."""
        return self._by_task.get(pid)

    def _take(self, event: Event) -> None:
        match event:
            case Fork():
                self._fork(event)
            case Exit():
                self._exit(event)
            case _:
                process = self._by_task.get(event.task)
                if process is None:
                    return
                match event:
                    case Exec():
                        self._exec(process, event)
                    case Listen():
                        process.listens.append(event)
                    case Receive():
                        process.receives.append(event)

    def _fork(self, fork: Fork) -> None:
        parent = self._by_task.get(fork.parent)
        if parent is None:
            self._by_task.pop(fork.child, None)  # the number is a stranger's now
        elif fork.is_thread:
            parent.tasks.add(fork.child)
            parent.ever.add(fork.child)
            self._by_task[fork.child] = parent
        else:
            self._by_task[fork.child] = Process(fork.child, parent)

    def _exec(self, process: Process, event: Exec) -> None:
        """A program has one thread, under the process's own number, whichever thread became it (execve(2)).

        The number that thread had is gone without an end being told.
        """
        process.execs.append(event)
        for task in process.tasks - {process.pid}:
            self._by_task.pop(task, None)
            process.ever.discard(task)
        process.tasks = {process.pid}

    def _exit(self, exited: Exit) -> None:
        process = self._by_task.get(exited.task)
        if process is None:
            return
        process.tasks.discard(exited.task)
        if exited.task != process.pid:
            del self._by_task[exited.task]
        if not process.tasks:  # the last thread's end is the process's, whichever thread that was
            process.exit_ns = exited.at_ns
            self._by_task.pop(process.pid, None)
