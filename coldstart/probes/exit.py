"""``exit``: ready when the container has ended with code 0: for jobs, whose work is their readiness."""

from __future__ import annotations

import queue
import threading
import time

from coldstart.engines.base import Engine, Timed
from coldstart.errors import ColdstartError, UsageError
from coldstart.model.probe import ProbeSpec
from coldstart.probes.base import NotReady, Ready


def make(spec: ProbeSpec) -> ExitProbe:
    """See `coldstart.probes.base.Probe`.

    Raises:
        UsageError: the probe was given an argument.
    """
    if spec.argument:
        raise UsageError(f"--ready {spec}: exit takes no argument; the container is ready when it ends with code 0.")
    return ExitProbe()


class ExitProbe:
    """The engine is asked before the start, so that no end is too quick to be seen."""

    def __init__(self) -> None:
        self._ended: queue.SimpleQueue[Timed[int] | str] = queue.SimpleQueue()

    def arm(self, engine: Engine, container_id: str) -> None:
        """Register the wait; a thread blocks on its answer."""
        wait = engine.wait_exit(container_id)

        def block() -> None:
            try:
                self._ended.put(wait())
            except ColdstartError as error:
                self._ended.put(str(error))

        threading.Thread(target=block, daemon=True).start()

    def wait(self, engine: Engine, container_id: str, deadline_ns: int) -> Ready | NotReady:
        """Block for the exit code."""
        try:
            ended = self._ended.get(timeout=max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9))
        except queue.Empty:
            return NotReady(reason="exit: still running", attempts=1)
        if isinstance(ended, str):
            return NotReady(reason=f"exit: {ended}", attempts=1)
        if ended.value != 0:
            return NotReady(reason="exit: ended, but not with code 0", attempts=1, state=engine.state(container_id))
        return Ready(at_ns=ended.end_ns, attempts=1, resolution_ns=None)

    def close(self) -> None:
        """The thread ends with the container."""
