"""What an experiment asks of the place it is to be measured on, checked before anything is made or started."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing

from coldstart import probes
from coldstart.engines.base import Capability, Engine
from coldstart.engines.http import Connection
from coldstart.engines.own_docker import own_docker
from coldstart.errors import EngineError, EngineUnreachableError, InvalidEnvironmentError, UnknownNameError, UsageError
from coldstart.images.catalogue import Workload
from coldstart.model.cell import Network
from coldstart.model.experiment import Experiment
from coldstart.model.image import Image
from coldstart.model.probe import ProbeSpec
from coldstart.probes.tcp import is_served

_ASK_TIMEOUT_S = 5


def specs_of(experiment: Experiment, workloads: Mapping[str, Workload]) -> tuple[ProbeSpec, ...]:
    """The probes that decide when the experiment's containers are ready."""
    if experiment.ready is not None:
        return (experiment.ready,)
    return tuple(workloads[name].ready for name in experiment.workload)


def check_runtimes(experiment: Experiment, engine: Engine) -> None:
    """Refuse a runtime that the engine does not have; the message says how it gets one.

    Raises:
        UnknownNameError: with the command that adds it to a testbed.
    """
    known = [facts.name for facts in engine.runtimes()]
    for name in experiment.runtime:
        if name in known:
            continue
        remedy = ""
        if Capability.PRIVATE in engine.capabilities:
            path = _own_runtimes().get(name) or shutil.which(name)
            added = f"coldstart testbed down, then coldstart testbed up --add-runtime {name}={path or '/PATH/TO/IT'}"
            remedy = (
                f"{'It is on this machine, but not on the testbed' if path else 'To add one to the testbed'}: {added}"
            )
        raise UnknownNameError("runtime", name, known, f"experiment {experiment.name}", remedy)


def check_probes(
    experiment: Experiment, specs: Iterable[ProbeSpec], engine: Engine, progress: Callable[[str], None]
) -> None:
    """Refuse probes that no container of the experiment could be asked by; ``progress`` is told where others ask.

    Raises:
        UnknownNameError, UsageError: no such probe, or it needs a network that there is not.
        InvalidEnvironmentError: containers cannot be reached from here, or somebody else serves the port.
    """
    for spec in specs:
        probes.factory(spec)
        if spec.port is None:
            continue
        if Network.NONE in experiment.network:
            raise UsageError(
                f"--ready {spec} needs a network, and with network none a container has none: "
                "use a log or exit probe, or network bridge or host."
            )
        for network in experiment.network:
            if obstacle := engine.obstacle_to_asking(network):
                raise InvalidEnvironmentError(f"--ready {spec}: {obstacle}")
        endpoint = engine.host_endpoint(spec.port)
        if endpoint is not None and endpoint[0] is not None and Capability.PRIVATE not in engine.capabilities:
            progress(f"{spec} is asked in network namespace {endpoint[0]}, where this engine's containers are")
        if Network.HOST in experiment.network:
            check_host_port(spec.port, engine)


def check_host_port(port: int, engine: Engine) -> None:
    """Refuse a port at which something listens already: with network ``host`` it would be taken for the app.

    Raises:
        InvalidEnvironmentError: somebody serves it.
    """
    endpoint = engine.host_endpoint(port)
    if endpoint is not None and is_served(*endpoint):
        raise InvalidEnvironmentError(
            f"port {port} of the engine's host is served already, and with --network host that would be taken for the "
            f"app. End what listens there (ss -ltnp 'sport = :{port}' names it), or use --network bridge."
        )


def check_health(
    images: Mapping[tuple[str, str], Image], ready: Mapping[str, ProbeSpec], timeout_ns: int, engine: Engine
) -> None:
    """Refuse a probe that no start can satisfy in time, by what is known of the images; ``ready`` is by workload.

    Raises:
        UsageError: such as a HEALTHCHECK that is first run when the start has timed out.
    """
    version = engine.facts().api_version
    for image in images.values():
        if obstacle := probes.obstacle(ready[image.workload], image, timeout_ns, version):
            raise UsageError(f"--ready {ready[image.workload]}: {image.workload}/{image.variant}: {obstacle}")


def _own_runtimes() -> dict[str, str]:
    """The runtimes of the user's own Docker, with their paths; none where it cannot be asked."""
    try:
        with closing(Connection(own_docker().url, timeout_s=_ASK_TIMEOUT_S)) as own:
            listed = own.request("GET", "/info").json().get("Runtimes") or {}
    except (EngineError, EngineUnreachableError, UsageError, AttributeError):
        return {}
    return {name: path for name, entry in listed.items() if (path := shutil.which(entry.get("path") or ""))}
