"""One trial to one sample: prepare, prove, wait for quiet, time, collect, tear down, and only then judge."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Callable, Mapping

import msgspec

from coldstart.engines.base import ContainerState, LayerEvent, Timed
from coldstart.errors import EngineError, EngineUnreachableError
from coldstart.measure.assemble import (
    between,
    clock_step_ns,
    profile,
    read_clock,
    request_spans,
    sound,
    start_spans,
)
from coldstart.measure.bench import Bench
from coldstart.measure.cold import BlobWatch, ColdKeeper, doubt
from coldstart.measure.container import Left, container, spec_of
from coldstart.measure.ending import blamed, ended_by, is_foreseen
from coldstart.measure.failure import TrialCrashError, TrialFailure
from coldstart.measure.foreign import with_platform
from coldstart.model.cell import Cell, Network, Side, Tier, Trial
from coldstart.model.sample import ColdProof, Conditions, Harness, Outcome, Sample
from coldstart.model.timeline import phases_of
from coldstart.probes.base import NotReady, Probe, Ready, last_line
from coldstart.probes.tcp import is_served
from coldstart.trace.base import Observation, TrialWindow
from coldstart.units import format_ns

Pull = Timed[tuple[LayerEvent, ...]]


class _Started(msgspec.Struct, frozen=True, kw_only=True):
    """What the timed window gave."""

    pull: Pull | None
    create: Timed[str]
    start: Timed[None]
    ready: Ready


class Stage:
    """Runs trials on a bench, one after the other; it remembers what is warm.

    ``sides`` are benches of the same engine and surroundings, for trials of that side; what is warm is known to all.
    """

    def __init__(self, bench: Bench, sides: Mapping[Side, Bench] | None = None) -> None:
        self._bench = bench
        self._sides = sides or {}
        self._engine = bench.engine
        self._cold = ColdKeeper(bench)
        self._left = Left()

    def run(self, trial: Trial) -> Sample:
        """One trial. Whatever the engine, the container, the machine or we ourselves do becomes the sample's outcome.

        Raises:
            TrialCrashError: something that nobody foresaw; it has the sample.
        """
        bench = self._bench if trial.side is None else self._sides.get(trial.side, self._bench)

        def start_once(cell: Cell) -> None:
            self._discarded_start(bench, cell)

        return _TrialRun(bench, self._cold, trial, start_once, self._left).run()

    def _discarded_start(self, bench: Bench, cell: Cell) -> None:
        """Start a cell's container until it is ready, and forget about it.

        Raises:
            TrialFailure: it does not start; a container that starts and then fails has warmed its pages all the same.
        """
        subject = bench.subject(cell)
        with contextlib.ExitStack() as stack:
            probe = stack.enter_context(contextlib.closing(subject.new_probe()))
            created = stack.enter_context(container(self._engine, spec_of(bench, cell, subject, probe), self._left))
            try:
                probe.arm(self._engine, created.value)
                self._engine.start(created.value)
            except EngineError as error:
                raise TrialFailure(Outcome.START_FAILED, f"in the discarded start: {error}") from error
            with contextlib.suppress(EngineError):
                probe.wait(self._engine, created.value, time.monotonic_ns() + bench.timeout_ns)


class _TrialRun:
    def __init__(
        self, bench: Bench, cold: ColdKeeper, trial: Trial, start_once: Callable[[Cell], None], left: Left
    ) -> None:
        self._bench = bench
        self._cold = cold
        self._start_once = start_once
        self._left = left
        self._trial = trial
        self._cell = trial.cell
        self._subject = bench.subject(trial.cell)
        self._proof: ColdProof | None = None
        self._conditions = Conditions()
        self._prepare_ns = self._quiet_wait_ns = self._collect_ns = self._teardown_ns = 0
        self._watch: BlobWatch | None = None
        self._begin_ns = 0
        self._clock_step_ns: int | None = None

    def run(self) -> Sample:
        started_at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        sample = Sample(
            run_id=self._bench.run_id,
            trial=self._trial,
            outcome=Outcome.OK,
            source=self._bench.source_profile,
            started_at=started_at,
        )
        try:
            self._prepare()
            sample = self._measure(sample)
        except Exception as error:
            sample = self._judged(blamed(ended_by(sample, error), self._bench))
            if is_foreseen(error):
                return sample
            raise TrialCrashError(sample, error) from error
        return self._judged(blamed(sample, self._bench))

    def _prepare(self) -> None:
        begin_ns = time.monotonic_ns()
        try:
            self._left.remove(self._bench.engine)
            self._proof = self._cold.prepare(self._cell, self._subject.image, self._start_once)
            self._bench.surroundings.settle()
        except EngineUnreachableError:
            raise
        except EngineError as error:
            raise TrialFailure(Outcome.NOT_COLD, str(error)) from error
        finally:
            self._prepare_ns = time.monotonic_ns() - begin_ns
        wait = self._bench.surroundings.wait_until_quiet()
        self._quiet_wait_ns = wait.waited_ns
        if not wait.quiet:
            busy = f": {wait.disturbance}" if wait.disturbance else ""
            why = f"no quiet window within {wait.waited_ns / 1e9:.0f} s{busy}"
            if self._bench.on_busy is None:
                raise TrialFailure(Outcome.NOT_QUIET, why)
            self._bench.on_busy(why)
        self._confirm()
        self._check_host_port()

    def _confirm(self) -> None:
        assert self._proof is not None
        try:
            self._proof = self._cold.confirm(self._proof, self._subject.image)
        except EngineUnreachableError:
            raise
        except EngineError as error:
            raise TrialFailure(Outcome.NOT_COLD, str(error)) from error

    def _measure(self, sample: Sample) -> Sample:
        bench = self._bench
        self._watch = self._cold.watch()
        self._begin_ns = time.monotonic_ns()
        clock_before = read_clock()
        for source in bench.sources:
            source.begin()
        close_meters = bench.surroundings.open_meters()
        with contextlib.ExitStack() as stack:
            watching = stack.enter_context(contextlib.ExitStack())
            for source in bench.sources:
                watching.callback(source.abandon)
            try:
                started = self._timed(stack)
            finally:
                self._conditions = close_meters()
            begin_ns = time.monotonic_ns()
            state = self._state(started.create.value)
            clock_after = read_clock()
            self._clock_step_ns = clock_step_ns(clock_before, clock_after)
            self._check_answer(state, started.create.value)
            window = TrialWindow(
                image=self._subject.image,
                clock=between(clock_before, clock_after),
                pull=started.pull,
                starts=(started.start,),
                states=(state,),
                port=self._subject.port,
            )
            watching.pop_all()
            observations = [source.end(window) for source in bench.sources]
            teardown_begin_ns = time.monotonic_ns()
            self._collect_ns = teardown_begin_ns - begin_ns
        self._teardown_ns = time.monotonic_ns() - teardown_begin_ns
        return self._collected(sample, started, observations, window)

    def _check_host_port(self) -> None:
        """With network ``host`` whatever listens at the port would be taken for the app."""
        port = self._subject.port
        if self._cell.network is not Network.HOST or port is None:
            return
        endpoint = self._bench.engine.host_endpoint(port)
        if endpoint is not None and is_served(*endpoint):
            raise TrialFailure(
                Outcome.START_FAILED,
                f"port {port} of the host is served already, by something else than this container",
            )

    def _check_answer(self, state: ContainerState, container_id: str) -> None:
        """An answer over the network is the container's only while it runs."""
        if self._subject.port is None or state.running:
            return
        tail = self._bench.engine.output_tail(container_id)
        raise _exited(state, tail, "when something had answered at its port")

    def _timed(self, stack: contextlib.ExitStack) -> _Started:
        probe = stack.enter_context(contextlib.closing(self._subject.new_probe()))
        spec = spec_of(self._bench, self._cell, self._subject, probe)
        pull = self._pull() if self._cell.tier is Tier.ABSENT else None
        created = stack.enter_context(container(self._bench.engine, spec, self._left))
        try:
            probe.arm(self._bench.engine, created.value)
            start = self._bench.engine.start(created.value)
        except EngineUnreachableError:
            raise
        except EngineError as error:
            raise TrialFailure(Outcome.START_FAILED, str(error)) from error
        self._cold.started(self._cell, self._subject.image)
        return _Started(pull=pull, create=created, start=start, ready=self._ready(probe, created.value, start))

    def _pull(self) -> Pull:
        try:
            return self._bench.engine.pull(self._subject.image)
        except EngineUnreachableError:
            raise
        except EngineError as error:
            raise TrialFailure(Outcome.PULL_FAILED, str(error)) from error

    def _ready(self, probe: Probe, container_id: str, start: Timed[None]) -> Ready:
        engine, deadline_ns = self._bench.engine, start.start_ns + self._bench.timeout_ns
        try:
            found = probe.wait(engine, container_id, deadline_ns)
        except EngineUnreachableError:
            raise
        except EngineError as error:  # an ended container has lost its address, too
            found = NotReady(reason=str(error), attempts=0)
        if isinstance(found, Ready):
            if found.at_ns <= deadline_ns:
                return found
            took = f"{(found.at_ns - start.start_ns) / 1e9:.1f} s after the start was asked for"
            found = NotReady(reason=f"it was ready {took}, later than --timeout allows", attempts=found.attempts)
        raise _unready(found, found.state or self._state(container_id), engine.output_tail(container_id))

    def _state(self, container_id: str) -> ContainerState:
        try:
            return self._bench.engine.state(container_id)
        except EngineUnreachableError:
            raise
        except EngineError as error:  # somebody else removed it
            raise TrialFailure(Outcome.ENGINE_LOST, str(error)) from error

    def _collected(
        self, sample: Sample, started: _Started, observations: list[Observation], window: TrialWindow
    ) -> Sample:
        assert self._proof is not None
        assert self._watch is not None
        image = self._subject.image
        self._proof = self._watch.conclude(self._proof, image, started.pull)
        spans = request_spans(started.pull, (started.create,))
        spans += tuple(span for observation in observations for span in observation.spans)
        spans += start_spans(observations, window.starts, (started.ready,))
        spans, doubts = sound(spans, self._begin_ns, time.monotonic_ns())
        source = profile(instant for observation in observations for instant in observation.instants)
        received_bytes = next((o.received_bytes for o in observations if o.received_bytes is not None), None)
        unpacked_bytes = next((o.unpacked_bytes for o in observations if o.unpacked_bytes is not None), None)
        sample = msgspec.structs.replace(
            sample,
            source=source,
            fallback=_why(observations, source, self._bench.source_profile),
            left_out="; ".join(doubts) or None,
            uses=tuple(use for observation in observations for use in observation.uses),
            spans=tuple(sorted(spans, key=lambda span: (span.start_ns, span.end_ns))),
            clock=window.clock,
            bytes_received=received_bytes if self._proof.blob_bytes is None else self._proof.blob_bytes,
            layers_unpacked=self._proof.layers_unpacked,
            bytes_unpacked=unpacked_bytes if started.pull is not None else 0,
            files_unpacked=None if started.pull is not None else 0,  # no engine tells how many
            harness=Harness(probe_attempts=started.ready.attempts, probe_resolution_ns=started.ready.resolution_ns),
        )
        if self._clock_step_ns is not None:
            return msgspec.structs.replace(sample, outcome=Outcome.CLOCK_MOVED, reason=_moved(self._clock_step_ns))
        try:
            phases_of(sample)
        except ValueError as error:  # what no reader of the run would accept
            why = f"what was seen of it does not add up: {error}"
            return msgspec.structs.replace(sample, outcome=Outcome.UNOBSERVED, reason=why)
        reason = doubt(self._proof, image)
        if reason is not None:
            return msgspec.structs.replace(sample, outcome=Outcome.NOT_COLD, reason=reason)
        if self._conditions.throttled or self._conditions.undervoltage:
            why = "a weak supply" if self._conditions.undervoltage else "heat"
            reason = f"the CPUs were slowed down by {why}; coldstart doctor tells what helps"
            return msgspec.structs.replace(sample, outcome=Outcome.THROTTLED, reason=reason)
        return sample

    def _judged(self, sample: Sample) -> Sample:
        warnings = tuple(dict.fromkeys(self._bench.engine.take_warnings()))
        outcome, reason = with_platform(
            sample.outcome,
            sample.reason,
            image=self._subject.image.platform,
            engine=self._bench.engine.facts().platform,
            emulator=self._subject.emulator,
        )
        return msgspec.structs.replace(
            sample,
            outcome=outcome,
            reason=reason,
            proof=self._proof,
            conditions=self._conditions,
            warnings=warnings,
            harness=msgspec.structs.replace(
                sample.harness,
                prepare_ns=self._prepare_ns,
                quiet_wait_ns=self._quiet_wait_ns,
                collect_ns=self._collect_ns,
                teardown_ns=self._teardown_ns,
            ),
        )


def _unready(found: NotReady, state: ContainerState, output_tail: str) -> TrialFailure:
    if not state.running:
        return _exited(state, output_tail, "before it was ready")
    after = f", after {found.attempts} attempts" if found.attempts else ""
    return TrialFailure(Outcome.NEVER_READY, f"{found.reason}{after}", output_tail=output_tail or None)


def _exited(state: ContainerState, output_tail: str, when: str) -> TrialFailure:
    written = last_line(output_tail)
    reason = f"it exited with code {state.exit_code} {when}" + (f"; its last line: {written}" if written else "")
    return TrialFailure(Outcome.EXITED, reason, exit_code=state.exit_code, output_tail=output_tail or None)


def _why(observations: list[Observation], source: str, best: str) -> str | None:
    """Why a sample is not drawn from the best source of its run; ``None`` if it is."""
    if source == best:
        return None
    lost = "; ".join(observation.lost for observation in observations if observation.lost is not None)
    return lost or f"source {best} did not see the entrypoint start"


def _moved(step_ns: int) -> str:
    way = "forward" if step_ns > 0 else "back"
    return (
        f"the wall clock was set {way} by {format_ns(abs(step_ns))} during the trial, so "
        "what the engine dates cannot be placed; wait until the clock is synchronised: timedatectl"
    )
