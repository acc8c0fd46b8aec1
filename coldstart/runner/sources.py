"""Which sources watch a run: the best that this machine has, or the one asked for; the engine's own always too."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from coldstart.engines.base import Capability, Engine
from coldstart.errors import InvalidEnvironmentError
from coldstart.trace import connector, kernel
from coldstart.trace.base import SpanSource, WatchingUnavailableError
from coldstart.trace.engine_api import EngineApi
from coldstart.trace.engine_log import EngineLog

AUTO = "auto"
ENGINE = "engine"

_KERNEL: dict[str, Callable[[Callable[[], tuple[int, ...]]], SpanSource]] = {
    "trace": kernel.open_source,
    "proc": connector.open_source,
}
"""What needs the kernel's help, best first."""

CHOICES = (AUTO, *_KERNEL, ENGINE)


class Chosen(NamedTuple):
    """The sources, best first, and what the run's samples are drawn from."""

    sources: tuple[SpanSource, ...]
    profile: str


def choose(engine: Engine, wanted: str, progress: Callable[[str], None]) -> Chosen:
    """``auto`` takes the best source there is and says which and why; any other is had, or is an error.

    Raises:
        InvalidEnvironmentError: the source asked for is not to be had here.
    """
    api = EngineApi(engine.capabilities)
    own = (EngineLog(engine), api) if Capability.LAYER_LOG in engine.capabilities else (api,)
    obstacles = []
    for name in _KERNEL if wanted == AUTO else [wanted] if wanted != ENGINE else []:
        try:
            source = _open(name, engine)
        except WatchingUnavailableError as error:
            obstacles.append(f"{name}: {error}")
        else:
            progress(f"phases from source {name}: {source.facts.bias}")
            return Chosen((source, *own), name)
    if wanted not in {AUTO, ENGINE}:
        raise InvalidEnvironmentError(f"--source {obstacles[0]}. Leave it out for the best source there is.")
    why = f" ({'; '.join(obstacles)})" if obstacles else ""
    progress(f"phases from source {ENGINE}{why}: {api.facts.bias}")
    return Chosen(own, ENGINE)


def _open(name: str, engine: Engine) -> SpanSource:
    if not engine.daemons():
        raise WatchingUnavailableError("the engine's processes cannot be seen from here")
    return _KERNEL[name](engine.daemons)
