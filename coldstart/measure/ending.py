"""How a trial ended that did not succeed: its outcome, the reason, and whether a part that died is to blame."""

from __future__ import annotations

import msgspec

from coldstart.errors import ColdstartError, EngineError, EngineUnreachableError
from coldstart.measure.bench import Bench
from coldstart.measure.failure import TrialFailure
from coldstart.model.sample import Outcome, Sample

_BLAMELESS = frozenset({Outcome.OK, Outcome.NOT_QUIET, Outcome.THROTTLED, Outcome.CLOCK_MOVED})
_OF_THE_REGISTRY = frozenset({Outcome.PULL_FAILED, Outcome.NOT_COLD, Outcome.HARNESS_FAILED})


def ended_by(sample: Sample, error: Exception) -> Sample:
    """The sample of a trial that this exception ended."""
    if isinstance(error, TrialFailure):
        return msgspec.structs.replace(
            sample,
            outcome=error.outcome,
            reason=error.reason,
            exit_code=error.exit_code,
            output_tail=error.output_tail,
        )
    outcome, reason = Outcome.HARNESS_FAILED, f"{type(error).__name__}: {error}"
    if isinstance(error, ColdstartError):
        reason = str(error)
    if isinstance(error, EngineUnreachableError):
        outcome = Outcome.ENGINE_LOST
    elif isinstance(error, EngineError):
        outcome = Outcome.START_FAILED
    return msgspec.structs.replace(sample, outcome=outcome, reason=reason)


def is_foreseen(error: Exception) -> bool:
    """Whether a run may go on after it: it is what engines, machines and disks do, and no defect of ours."""
    return isinstance(error, TrialFailure | ColdstartError | OSError)


def blamed(sample: Sample, bench: Bench) -> Sample:
    """The sample, and if it failed because a part died, hung or was started anew: with that as its outcome."""
    if sample.outcome in _BLAMELESS:
        return sample
    outcome, lost = Outcome.ENGINE_LOST, bench.engine.lost()
    if lost is None and sample.outcome in _OF_THE_REGISTRY:
        outcome, lost = Outcome.REGISTRY_LOST, bench.registry_lost()
    if lost is None:
        return sample
    reason = f"{lost} (it showed as {sample.outcome}: {sample.reason})"
    return msgspec.structs.replace(sample, outcome=outcome, reason=reason)
