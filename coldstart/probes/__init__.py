"""Readiness probes; one module each, discovered."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING

from coldstart import discovery

if TYPE_CHECKING:
    from collections.abc import Callable

    from coldstart.model.image import Image
    from coldstart.model.probe import ProbeSpec
    from coldstart.probes.base import Probe


def names() -> tuple[str, ...]:
    """The kinds that can be asked for."""
    return tuple(sorted(discovery.discover(sys.modules[__name__])))


def obstacle(spec: ProbeSpec, image: Image, timeout_ns: int, api_version: str | None) -> str | None:
    """Why no start of the image can become ready by this probe in time; ``None`` where nothing is known against it.

    A probe's module may have a function of this name and shape, without the spec.
    """
    plug_in = discovery.load(sys.modules[__name__], "readiness probe", spec.kind)
    found = getattr(plug_in, "obstacle", None)
    return None if found is None else found(image, timeout_ns, api_version)


def factory(spec: ProbeSpec) -> Callable[[], Probe]:
    """What makes a fresh probe for each container; discovery and checks are done once, here.

    Raises:
        UnknownNameError: no probe of that kind.
        UsageError: the probe cannot do what the spec asks.
    """
    plug_in = discovery.load(sys.modules[__name__], "readiness probe", spec.kind)
    plug_in.make(spec)
    return functools.partial(plug_in.make, spec)
