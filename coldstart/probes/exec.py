"""``exec:COMMAND``: ready when a command run inside the container exits with code 0.

A command costs what it costs to enter a container, tens of milliseconds of a core. So the next one begins only when the
last has ended and its time has passed once more. All of that is part of the resolution, and so is an attempt's own
length: nobody can tell from outside when the command was in the container and looked at the app. This probe is for
what no other can see.
"""

from __future__ import annotations

import queue
import shlex
import threading
import time

import msgspec

from coldstart.engines.base import Engine, Executed, Timed
from coldstart.errors import ColdstartError, EngineError
from coldstart.model.probe import ProbeSpec
from coldstart.probes.base import NotReady, Ready, last_line, poll

_DUTY = 0.5  # without a pause the probe would take a core away from the app it waits for


def make(spec: ProbeSpec) -> ExecProbe:
    """See `coldstart.probes.base.Probe`."""
    return ExecProbe(spec)


class ExecProbe:
    """Each attempt blocks in a thread of its own, so that a command that hangs is left at the deadline."""

    def __init__(self, spec: ProbeSpec) -> None:
        self._spec = spec
        self._command = shlex.split(spec.argument)
        self._seen = ""
        self._shortest_ns: int | None = None  # of all commands: what one cannot see while it enters the container

    def arm(self, engine: Engine, container_id: str) -> None:
        """Only a running container can be entered."""

    def wait(self, engine: Engine, container_id: str, deadline_ns: int) -> Ready | NotReady:
        """Run the command again and again, one at a time.

        To the resolution of `poll` comes the length of the shortest command that was run, which bounds what it takes to
        enter the container: an app may have become ready meanwhile, and the first attempt succeed all the same. What
        other attempts took beyond that is the app's.
        """
        started_ns = time.monotonic_ns()
        found = poll(
            lambda: self._attempt(engine, container_id, deadline_ns),
            engine,
            container_id,
            deadline_ns,
            started_ns,
            duty=_DUTY,
        )
        if isinstance(found, NotReady) or found.resolution_ns is None:
            return found
        return msgspec.structs.replace(found, resolution_ns=found.resolution_ns + (self._shortest_ns or 0))

    def close(self) -> None:
        """A command that was left ends with the container, and its thread with it."""

    def _attempt(self, engine: Engine, container_id: str, deadline_ns: int) -> str | None:
        ended: queue.SimpleQueue[Timed[Executed] | ColdstartError] = queue.SimpleQueue()

        def run() -> None:
            try:
                ended.put(engine.execute(container_id, self._command))
            except ColdstartError as error:
                ended.put(error)

        threading.Thread(target=run, daemon=True).start()
        try:
            found = ended.get(timeout=max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9))
        except queue.Empty:
            return self._seen or f"{self._spec}: the command still ran"
        if isinstance(found, ColdstartError) and not isinstance(found, EngineError):
            raise found
        if isinstance(found, Timed):
            took_ns = found.end_ns - found.start_ns
            self._shortest_ns = took_ns if self._shortest_ns is None else min(self._shortest_ns, took_ns)
        if not isinstance(found, EngineError) and found.value.exit_code == 0:
            return None
        self._seen = f"{self._spec}: {found if isinstance(found, EngineError) else _told(found.value)}"
        return self._seen


def _told(executed: Executed) -> str:
    written = last_line(executed.output)
    return f"exit code {executed.exit_code}" + (f"; its last line: {written}" if written else "")
