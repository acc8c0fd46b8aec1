"""``log:TEXT``: ready when a line of the container's output contains the text, as the engine hands it on."""

from __future__ import annotations

import queue
import threading
import time

from coldstart.engines.base import Engine
from coldstart.errors import ColdstartError
from coldstart.model.probe import ProbeSpec
from coldstart.probes.base import NotReady, Ready


def make(spec: ProbeSpec) -> LogProbe:
    """See `coldstart.probes.base.Probe`."""
    return LogProbe(spec)


class LogProbe:
    """A thread reads the output; its lines are stamped as they arrive."""

    def __init__(self, spec: ProbeSpec) -> None:
        self._spec = spec
        self._text = spec.argument.encode()
        self._seen: queue.SimpleQueue[int | str | None] = queue.SimpleQueue()

    def arm(self, engine: Engine, container_id: str) -> None:
        """An engine follows the output of a running container only."""

    def wait(self, engine: Engine, container_id: str, deadline_ns: int) -> Ready | NotReady:
        """Follow the output until the text, its end, or the deadline."""
        threading.Thread(target=self._read, args=(engine, container_id), daemon=True).start()
        try:
            found = self._seen.get(timeout=max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9))
        except queue.Empty:
            return NotReady(reason=f"{self._spec}: no line of its output contains the text", attempts=1)
        if isinstance(found, int):
            return Ready(at_ns=found, attempts=1, resolution_ns=None)
        reason = found or f"{self._spec}: its output ended without the text"
        return NotReady(reason=reason, attempts=1, state=engine.state(container_id))

    def close(self) -> None:
        """The thread ends with the container."""

    def _read(self, engine: Engine, container_id: str) -> None:
        try:
            for line in engine.follow_output(container_id):
                if self._text in line:
                    self._seen.put(time.monotonic_ns())
                    return
            self._seen.put(None)
        except ColdstartError as error:
            self._seen.put(f"{self._spec}: {error}")
