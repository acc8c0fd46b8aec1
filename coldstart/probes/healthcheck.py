"""``healthcheck``: ready when the engine calls the container healthy, by the image's own HEALTHCHECK.

The engine checks at the image's interval (30 s unless it says otherwise, the first check after one interval), so
readiness began at some time between the beginning of the last check that failed, or the start where none did, and the
check that passed: that is the resolution. How long that check then took is the app's own time, but for what it takes to
enter the container.
"""

from __future__ import annotations

import time

from coldstart.engines.base import ContainerState, Engine, Health
from coldstart.errors import UsageError
from coldstart.model.image import Healthcheck, Image
from coldstart.model.probe import ProbeSpec
from coldstart.probes.base import NotReady, Ready, last_line
from coldstart.units import NS_PER_S, format_ns

_POLL_NS = 10_000_000  # an inspect costs dockerd 0.25 ms of a core; checks are tens of ms apart at best
_DEFAULT_INTERVAL_NS = 30 * NS_PER_S
_DEFAULT_START_INTERVAL_NS = 5 * NS_PER_S
_START_INTERVAL_SINCE = (1, 44)  # Docker 25
_FOR_THE_CHECK_S = 30  # beside the wait for it
_NO_CHECK = (
    "healthcheck: the image has no HEALTHCHECK, so the engine never calls it healthy. Build one in, such as "
    "HEALTHCHECK --interval=100ms CMD /check, or use an exec:COMMAND probe."
)


def make(spec: ProbeSpec) -> HealthcheckProbe:
    """See `coldstart.probes.base.Probe`.

    Raises:
        UsageError: the probe was given an argument.
    """
    if spec.argument:
        raise UsageError(f"--ready {spec}: healthcheck takes no argument; the image's HEALTHCHECK says what is run.")
    return HealthcheckProbe()


def obstacle(image: Image, timeout_ns: int, api_version: str | None) -> str | None:
    """See `coldstart.probes.obstacle`."""
    check = image.healthcheck
    if check is None:
        return None
    if not check.is_set:
        return _NO_CHECK.removeprefix("healthcheck: ")
    first_ns = first_check_ns(check, api_version)
    if first_ns < timeout_ns:
        return None
    return (
        f"its HEALTHCHECK is first run {format_ns(first_ns)} after the start, by its interval, and a start may take "
        f"{format_ns(timeout_ns)} (--timeout): none could become ready. Give --timeout "
        f"{first_ns // NS_PER_S + _FOR_THE_CHECK_S}s, build the image with HEALTHCHECK --interval=100ms, or use an "
        "exec:COMMAND probe."
    )


def first_check_ns(check: Healthcheck, api_version: str | None) -> int:
    """When after the start Docker runs the check first: moby, daemon/health.go, `monitor`."""
    knows_start_interval = api_version is not None and _numbers(api_version) >= _START_INTERVAL_SINCE
    if check.start_period_ns and knows_start_interval:
        return check.start_interval_ns or _DEFAULT_START_INTERVAL_NS
    return check.interval_ns or _DEFAULT_INTERVAL_NS


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


class HealthcheckProbe:
    """Polls the container's state."""

    def arm(self, engine: Engine, container_id: str) -> None:
        """No check is run before the start."""

    def wait(self, engine: Engine, container_id: str, deadline_ns: int) -> Ready | NotReady:
        """Look until it is healthy, or will not become so."""
        attempts, waiting_since_ns = 0, time.monotonic_ns()
        while True:
            begin_ns = time.monotonic_ns()
            attempts += 1
            state = engine.state(container_id)
            now_ns = time.monotonic_ns()
            if state.health is not None and state.health.status == "healthy":
                told_ns = _resolution_ns(state, state.health)
                return Ready(at_ns=now_ns, attempts=attempts, resolution_ns=told_ns or now_ns - waiting_since_ns)
            if _is_final(state) or now_ns >= deadline_ns:
                return NotReady(reason=_reason(state), attempts=attempts, state=state)
            time.sleep(max(0, begin_ns + _POLL_NS - time.monotonic_ns()) / 1e9)

    def close(self) -> None:
        """Nothing was kept."""


def _resolution_ns(state: ContainerState, health: Health) -> int | None:
    """From the beginning of the last failed check, or else the start, to that of the check that passed; our wait, too.

    All instants are the engine's, so its clock need not be ours; one that was set back in between leaves the shortest
    check and the interval at which we look. ``None`` where the engine does not say when a check passed: then all the
    time that was waited is unseen.
    """
    since_wall_ns = health.failed_wall_ns or state.started_wall_ns
    if health.passed_wall_ns is None or since_wall_ns is None:
        return None
    return max(0, health.passed_wall_ns - since_wall_ns) + (health.shortest_ns or 0) + _POLL_NS


def _is_final(state: ContainerState) -> bool:
    return not state.running or state.health is None or state.health.status == "unhealthy"


def _reason(state: ContainerState) -> str:
    if state.health is None:
        return _NO_CHECK
    reason = f"healthcheck: still {state.health.status}"
    if state.health.status == "unhealthy":
        reason = (
            "healthcheck: unhealthy: as many checks in a row failed as the image allows. Allow more with HEALTHCHECK "
            "--retries or --start-period, or use an exec:COMMAND probe, which asks until --timeout"
        )
    written = last_line(state.health.output)
    return reason + (f"; the last check said: {written}" if written else "")
