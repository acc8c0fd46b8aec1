"""A trial's container: what it is created from, and its removal, whatever happens in between."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from coldstart.engines.base import ContainerSpec, Engine, Timed
from coldstart.errors import ColdstartError, EngineError, EngineUnreachableError
from coldstart.measure.bench import Bench, Subject
from coldstart.measure.failure import TrialFailure
from coldstart.model.cell import Cell
from coldstart.model.sample import Outcome
from coldstart.probes.base import Probe, options_with


def spec_of(bench: Bench, cell: Cell, subject: Subject, probe: Probe) -> ContainerSpec:
    """What the container is created from, the probe's own needs included."""
    try:
        options = options_with(probe, bench.engine, bench.options)
    except EngineError as error:
        raise TrialFailure(Outcome.CREATE_FAILED, str(error)) from error
    return ContainerSpec(
        image=subject.image, runtime=cell.runtime, network=cell.network, options=options, limit_ns=bench.timeout_ns
    )


@contextlib.contextmanager
def container(engine: Engine, spec: ContainerSpec, left: set[str]) -> Iterator[Timed[str]]:
    """A created container, removed at the end whatever happens; one that cannot be removed is noted in ``left``.

    An interrupt does not wait for an engine that is lost.
    """
    try:
        created = engine.create(spec)
    except EngineUnreachableError:
        raise
    except EngineError as error:
        raise TrialFailure(Outcome.CREATE_FAILED, str(error)) from error
    try:
        yield created
    except Exception:
        raise
    except BaseException:
        if engine.lost() is not None:
            left.add(created.value)
        raise
    finally:
        if created.value not in left:
            try:
                engine.remove_container(created.value)
            except ColdstartError:
                left.add(created.value)
