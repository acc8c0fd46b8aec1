"""What a readiness probe is: armed before the start, asked after it, answered with an instant.

A new probe is one module in this package (or an entry point of group ``coldstart.probes``) with a function
``make(spec)``; the module's name is the probe's kind.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import msgspec

from coldstart.engines.base import ContainerState, Engine
from coldstart.model.options import ContainerOptions

POLL_NS = 1_000_000  # 1 ms: costs 5% of a core and does not slow the start; a busy loop does
LIVENESS_NS = 100_000_000  # how often a waiting probe asks whether the container still runs


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """When the first success was seen (CLOCK_MONOTONIC ns), after how many attempts, and how late that may be.

    ``resolution_ns`` is how long the probe could not see before its successful attempt: from the beginning of the last
    attempt that failed to the beginning of the one that succeeded. What that one waited for its answer is the app's own
    time, and no part of it. ``None`` where the probe is notified, and polls nothing.
    """

    at_ns: int
    attempts: int
    resolution_ns: int | None


class NotReady(msgspec.Struct, frozen=True, kw_only=True):
    """Why there was no success: the last thing seen, and the container's end if it ended."""

    reason: str
    attempts: int
    state: ContainerState | None = None


class Probe(Protocol):
    """One container's probe."""

    def arm(self, engine: Engine, container_id: str) -> None:
        """Before the start: whatever must listen already."""

    def wait(self, engine: Engine, container_id: str, deadline_ns: int) -> Ready | NotReady:
        """After the start: block until the first success, the container's end, or ``deadline_ns``."""

    def close(self) -> None:
        """Give back what `arm` took."""


@runtime_checkable
class Equipped(Protocol):
    """A probe whose container has to be created with something of the probe's."""

    def options(self, engine: Engine) -> ContainerOptions:
        """Called once, before the container is created and outside the timed window; `Probe.close` undoes it.

        Raises:
            EngineError: the engine cannot give a container that.
        """


def options_with(probe: Probe, engine: Engine, own: ContainerOptions) -> ContainerOptions:
    """A container's ``own`` options, and what the probe needs besides."""
    return own.plus(probe.options(engine)) if isinstance(probe, Equipped) else own


def last_line(output: str) -> str | None:
    """The last line with something in it; ``None`` where there is none, as in output of blank lines only."""
    lines = output.strip().splitlines()
    return lines[-1].strip() if lines else None


def poll(
    attempt: Callable[[], str | None],
    engine: Engine,
    container_id: str,
    deadline_ns: int,
    started_ns: int,
    *,
    duty: float = 1.0,
    clock: Callable[[], int] = time.monotonic_ns,
    sleep: Callable[[float], None] = time.sleep,
) -> Ready | NotReady:
    """Call ``attempt`` every `POLL_NS` until it returns ``None`` (success); otherwise it returns what it saw.

    An attempt that takes longer is followed by a pause, so that attempts take a share of ``duty`` of the time.
    Every `LIVENESS_NS` the container is inspected: one that has ended is not waited for. ``started_ns`` is when the
    probe could first have looked, ns of ``clock``.

    The resolution reaches back to the *beginning* of the last failed attempt, since an app that became ready while
    that one was under way is seen by the next one only. It ends where the successful attempt begins: an app that was
    ready before would have answered the failed one, and a connection is never made late by the probe, which connects
    afresh before the kernel would repeat its own request.
    """
    attempts, last_ns, last_seen = 0, started_ns, "nothing was tried"
    next_look_ns = clock() + LIVENESS_NS
    while True:
        begin_ns = clock()
        attempts += 1
        seen = attempt()
        now_ns = clock()
        if seen is None:
            return Ready(at_ns=now_ns, attempts=attempts, resolution_ns=begin_ns - last_ns)
        last_ns, last_seen = begin_ns, seen
        if now_ns >= next_look_ns:
            state = engine.state(container_id)
            if not state.running:
                return NotReady(reason=last_seen, attempts=attempts, state=state)
            next_look_ns = clock() + LIVENESS_NS
        if now_ns >= deadline_ns:
            return NotReady(reason=last_seen, attempts=attempts)
        pause_ns = max(begin_ns + POLL_NS - clock(), (now_ns - begin_ns) * (1 / duty - 1))
        sleep(max(0, pause_ns) / 1e9)
