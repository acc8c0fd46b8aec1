"""Container engines behind one protocol; one module each, discovered."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from coldstart import discovery

if TYPE_CHECKING:
    from coldstart.engines.base import Engine, EngineAddress

_SUPPORT = frozenset(  # modules here that are not engines
    {"bounded", "daemons", "http", "netns", "own_docker", "progress", "reach", "runtimes", "vitals", "wire"}
)


def names() -> tuple[str, ...]:
    """The engines that can be asked for."""
    return tuple(sorted(discovery.discover(sys.modules[__name__], _SUPPORT)))


def connect(name: str, address: EngineAddress) -> Engine:
    """Connect to the engine called ``name``.

    Raises:
        UnknownNameError: no module or entry point of that name.
        EngineUnreachableError: nobody answers at the address.
    """
    plug_in = discovery.load(sys.modules[__name__], "engine", name, _SUPPORT)
    engine: Engine = plug_in.connect(address)
    return engine
