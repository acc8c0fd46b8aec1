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


class Left:
    """Containers whose own trial could not remove them.

    ``may_be_unknown``: a create was not answered well, so that there may be a container whose ID nobody knows.
    """

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.may_be_unknown = False

    def remove(self, engine: Engine) -> None:
        """Remove them.

        Raises:
            TrialFailure: one stays. It may keep layers of an image in the engine.
        """
        try:
            for container_id in tuple(self.known):
                engine.remove_container(container_id)
                self.known.discard(container_id)
            if self.may_be_unknown:
                engine.sweep()
                self.may_be_unknown = False
        except EngineError as error:
            raise TrialFailure(Outcome.ENGINE_LOST, f"an earlier start's container stays: {error}") from error


@contextlib.contextmanager
def container(engine: Engine, spec: ContainerSpec, left: Left) -> Iterator[Timed[str]]:
    """A created container, removed at the end whatever happens; one that cannot be removed is noted in ``left``.

    An interrupt does not wait for an engine that is lost.
    """
    try:
        created = engine.create(spec)
    except EngineUnreachableError:
        left.may_be_unknown = True
        raise
    except EngineError as error:
        left.may_be_unknown = True
        raise TrialFailure(Outcome.CREATE_FAILED, str(error)) from error
    try:
        yield created
    except Exception:
        raise
    except BaseException:
        if engine.lost() is not None:
            left.known.add(created.value)
        raise
    finally:
        if created.value not in left.known:
            try:
                engine.remove_container(created.value)
            except ColdstartError:
                left.known.add(created.value)
