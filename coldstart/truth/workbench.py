"""Starts with a known delay in them: what a trial of an arm is, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import msgspec

from coldstart.measure.bench import Bench
from coldstart.measure.failure import TrialCrashError
from coldstart.measure.trial import Stage
from coldstart.model.cell import Cell, Network, Tier, Trial
from coldstart.model.options import ContainerOptions
from coldstart.model.repeats import MAX_ATTEMPTS, Repeats
from coldstart.model.sample import Outcome, Phase, Sample, Span
from coldstart.model.timeline import best_spans, covered_ns, phases_of
from coldstart.model.truth import Arm, TruthTrial
from coldstart.truth.injectors import Toolbox, wrapper_name
from coldstart.truth.process_cost import ProcessCost
from coldstart.truth.proxy import DelayProxy


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """A bench whose runtimes and registry are the injectors'."""

    bench: Bench
    toolbox: Toolbox
    proxy: DelayProxy
    cost: ProcessCost
    repeats: Repeats = field(default_factory=Repeats)

    def run(self, arm: Arm, block: int, position: int) -> TruthTrial:
        """One start of the arm; again, a few times, where the machine was not quiet or the image not cold."""
        (subject,) = self.bench.subjects.values()
        (layer,) = subject.image.layers
        sample: Sample | None = None
        process_ns = self.cost.measure_ns()
        for attempt in range(MAX_ATTEMPTS):
            self.toolbox.tell(arm)
            self.proxy.tell(layer.digest or "", arm.delay_ns if arm.point is Phase.DOWNLOAD else 0)
            cell = Cell(
                engine=self.bench.engine.name,
                runtime=wrapper_name(arm.runtime),
                workload=subject.image.workload,
                variant=subject.image.variant,
                tier=Tier.ABSENT,
                network=Network.HOST,
            )
            options = ContainerOptions(env=self.toolbox.environment(arm), volumes=(self.toolbox.volume,))
            stage = Stage(replace(self.bench, options=options))
            try:
                sample = stage.run(Trial(block=block, position=position, cell=cell, attempt=attempt))
            except TrialCrashError as error:
                raise error.cause from None
            self.repeats.note((None, cell), sample.outcome, reason=sample.reason)
            if not sample.outcome.is_requeued:
                break
        assert sample is not None
        stamps = (*self.toolbox.stamps(), *self.proxy.stamps())
        if sample.outcome is not Outcome.OK:
            reason = f"{sample.outcome}: {sample.reason}"
            return TruthTrial(
                block=block, position=position, arm=arm, source=sample.source, stamps=stamps, failure=reason
            )
        trial = TruthTrial(
            block=block, position=position, arm=arm, source=sample.source, stamps=stamps, process_ns=process_ns
        )
        return _kept(sample, trial)


def run_blocks(workbench: Workbench, blocks: Iterable[tuple[Arm, ...]]) -> Iterator[TruthTrial]:
    """The trials of every block, each as it ends; no more once nothing can come of them (`Repeats.end`)."""
    workbench.bench.engine.sweep()
    for block, order in enumerate(blocks):
        for position, arm in enumerate(order):
            yield workbench.run(arm, block, position)
            if workbench.repeats.end(None) is not None:
                return


def _kept(sample: Sample, trial: TruthTrial) -> TruthTrial:
    by_phase: dict[Phase, list[Span]] = {}
    for span in best_spans(sample.spans):
        by_phase.setdefault(span.phase, []).append(span)
    whole = Span(
        phase=Phase.READINESS,
        start_ns=min(span.start_ns for span in sample.spans),
        end_ns=max(span.end_ns for span in sample.spans),
        source=sample.spans[0].source,
    )
    own = by_phase.get(trial.arm.point, []) if trial.arm.point is not None else []
    kept: TruthTrial = msgspec.structs.replace(
        trial,
        span_start_ns=min((span.start_ns for span in own), default=None),
        span_end_ns=max((span.end_ns for span in own), default=None),
        lengths_ns={str(phase): covered_ns(spans, within=whole) for phase, spans in by_phase.items()},
        phases=phases_of(sample),
    )
    return kept
