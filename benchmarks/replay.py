"""Selftests put together from measured trials, as they are and with a fault that is known: what the rule calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
import numpy as np

from coldstart.analyse.recovery import INSIDE
from coldstart.model.sample import Phase
from coldstart.model.truth import TruthTrial
from coldstart.runner.selftesting import Conducted, conduct
from coldstart.truth.plan import CONTROLS, Design, arms
from coldstart.units import NS_PER_MS, NS_PER_S

Wrong = Callable[[TruthTrial], dict[str, int]]
"""By how much each phase of a trial is made longer."""


def _own(trial: TruthTrial, share: float = 0.0, fixed_ns: int = 0, only_ns: int | None = None) -> dict[str, int]:
    if trial.arm.point is None or only_ns not in {None, trial.arm.delay_ns}:
        return {}
    return {str(trial.arm.point): round(share * trial.arm.delay_ns) + fixed_ns}


def _leaked(trial: TruthTrial, point: Phase, phase: Phase, leak_ns: int) -> dict[str, int]:
    return {str(phase): leak_ns} if trial.arm.point is point else {}


WRONGS: dict[str, Wrong] = {
    "healthy": lambda _: {},
    "labels exchanged": lambda _: {},
    "labels exchanged, at the bound": lambda trial: _own(trial, fixed_ns=3 * NS_PER_MS),
    "every phase loses 5 ms of 50": lambda trial: _own(trial, fixed_ns=-5 * NS_PER_MS, only_ns=50 * NS_PER_MS),
    "every phase loses 5 ms": lambda trial: _own(trial, fixed_ns=-5 * NS_PER_MS),
    "a slope of 0.9": lambda trial: _own(trial, share=-0.1),
    "a slope of 0.9 in unpack": lambda trial: _own(trial, share=-0.1 * (trial.arm.point is Phase.UNPACK)),
    "10 ms leak from unpack into create": lambda trial: _leaked(trial, Phase.UNPACK, Phase.CREATE, 10 * NS_PER_MS),
    "10 ms leak from respond into unpack": lambda trial: _leaked(trial, Phase.RESPOND, Phase.UNPACK, 10 * NS_PER_MS),
}


def pace_s(trials: Sequence[TruthTrial]) -> float:
    """Seconds from one start to the next, when they were measured."""
    instants = [stamp.start_ns for trial in trials for stamp in trial.stamps]
    return (max(instants) - min(instants)) / NS_PER_S / len(trials)


def replayed(
    trials: Sequence[TruthTrial],
    rng: np.random.Generator,
    wrong: Wrong,
    delays_ns: Sequence[int],
    runs: int,
    budget_s: float,
) -> Conducted:
    """One selftest of these delays and so many blocks at most, as `conduct` does it.

    ``budget_s`` are for its starts alone, at the pace at which they were measured.
    """
    measured = _blocks(trials, delays_ns)
    exchanged = wrong in {each for name, each in WRONGS.items() if name.startswith("labels exchanged")}
    design = Design(arms(tuple(dict.fromkeys(trial.arm.runtime for trial in trials)), delays_ns))
    start_ns, now_ns = round(pace_s(trials) * NS_PER_S), 0

    def drawn() -> Iterator[TruthTrial]:
        nonlocal now_ns
        for number, order in enumerate(design.blocks(runs, seed=0)):
            block = measured[rng.integers(len(measured))]
            pool = list(_exchanged(block, rng) if exchanged else block)
            for arm in order:
                trial = pool.pop(next(place for place, each in enumerate(pool) if each.arm == arm))
                now_ns += start_ns
                yield _made_wrong(trial, wrong(trial), number)

    deadline_ns = round(budget_s * NS_PER_S)
    return conduct(drawn(), design, runs, deadline_ns=deadline_ns, tell=_ignore, now_ns=lambda: now_ns)


def _ignore(_told: str) -> None:
    """Nobody watches a replay."""


def _blocks(trials: Sequence[TruthTrial], delays_ns: Sequence[int]) -> list[list[TruthTrial]]:
    """The measured blocks, with the arms of these delays and as many controls as the default has."""
    found: dict[int, list[TruthTrial]] = {}
    for trial in trials:
        if trial.arm.is_control or trial.arm.delay_ns in delays_ns:
            found.setdefault(trial.block, []).append(trial)
    controls = 2 * CONTROLS
    assert all(sum(trial.arm.is_control for trial in block) == controls for block in found.values())
    return list(found.values())


def _made_wrong(trial: TruthTrial, extra_ns: Mapping[str, int], block: int) -> TruthTrial:
    lengths = {name: length + extra_ns.get(name, 0) for name, length in trial.lengths_ns.items()}
    made: TruthTrial = msgspec.structs.replace(trial, block=block, lengths_ns=lengths)
    return made


def _exchanged(block: Sequence[TruthTrial], rng: np.random.Generator) -> list[TruthTrial]:
    """The same arms, each with what another start of its runtime took beside its own delay: nothing leaks in truth."""
    made = list(block)
    for runtime in {trial.arm.runtime for trial in block}:
        places = [place for place, trial in enumerate(block) if trial.arm.runtime == runtime]
        for place, other in zip(places, rng.permutation(places), strict=True):
            rests = _moved(block[other], -1, block[other].lengths_ns)
            made[place] = msgspec.structs.replace(block[place], lengths_ns=_moved(block[place], 1, rests))
    return made


def _moved(trial: TruthTrial, sign: int, lengths_ns: Mapping[str, int]) -> dict[str, int]:
    """The lengths with, or without, the trial's own delay in the phases that hold it."""
    own = trial.arm.point
    held = {str(phase) for phase in (own, *INSIDE.get(own, ()))} if own is not None else set()
    delay_ns = sum(stamp.end_ns - stamp.start_ns for stamp in trial.stamps if stamp.phase is own)
    return {name: length + sign * delay_ns * (name in held) for name, length in lengths_ns.items()}
