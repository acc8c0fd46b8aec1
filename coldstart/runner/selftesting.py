"""A selftest as it goes: blocks of starts until every bound is decided, the time is up, or all blocks are done.

After each look, later blocks have only the controls and the arms of undecided bounds: starts go where they decide.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from coldstart.analyse.recovery import Recovery, State, judge
from coldstart.model.truth import TruthTrial
from coldstart.truth.plan import Design
from coldstart.units import NS_PER_S

FIRST_LOOK = 10
"""After so many blocks the bounds are judged for the first time, then after each doubling, and at the end."""

_SILENCE_NS = 15 * NS_PER_S  # a slow machine's block takes minutes
_WORTH_A_LOOK = 1.5  # a look that is soon followed by the last one costs more than it can save


@dataclass(frozen=True, kw_only=True)
class Conducted:
    """What was measured, when it was looked at, and why it ended."""

    trials: tuple[TruthTrial, ...]
    looks: tuple[int, ...]
    planned_looks: int
    measured_ns: int
    interrupted: bool = False

    def judged(self) -> Recovery:
        """By the rule of `coldstart.analyse.recovery`, all looks together."""
        return judge(self.trials, self.looks, self.planned_looks)


def look_blocks(runs: int) -> tuple[int, ...]:
    """After which blocks the bounds are judged: the last is always one."""
    looks, look = [], FIRST_LOOK
    while look * _WORTH_A_LOOK <= runs:
        looks.append(look)
        look *= 2
    return (*looks, runs)


def conduct(
    trials: Iterable[TruthTrial],
    design: Design,
    runs: int,
    *,
    deadline_ns: int | None,
    tell: Callable[[str], None],
    now_ns: Callable[[], int] = time.monotonic_ns,
) -> Conducted:
    """Take trials until all is decided, ``deadline_ns`` has passed, or there are no more.

    ``trials`` are those of the design's blocks, taken one by one; what a look decides narrows the design. The deadline
    counts as a look, in place of the next one planned. A selftest in whose first block nothing started ends there.
    """
    planned, begun_ns = look_blocks(runs), now_ns()
    done: list[TruthTrial] = []
    looks: list[int] = []
    interrupted, told_ns = False, begun_ns
    blocks, block_end = 0, len(design.arms)
    try:
        for trial in trials:
            done.append(trial)
            at_ns = now_ns()
            late = deadline_ns is not None and at_ns >= deadline_ns
            whole = len(done) == block_end
            blocks += whole
            if whole or late or at_ns - told_ns >= _SILENCE_NS:
                most = block_end + (runs - blocks - (not whole)) * len(design.arms)
                tell(_progress(done, most, at_ns - begun_ns, deadline_ns, at_ns))
                told_ns = at_ns
            if not (whole or late):
                continue
            if not any(one.failure is None for one in done):
                break
            if late or blocks in planned:
                looks.append(len(done))
                found = judge(done, looks, len(planned))
                tell(f"look {len(looks)} of {len(planned)}: {_counted(found)}")
                if late or not found.of(State.UNDECIDED):
                    break
                design.narrow(found.can_use)
            block_end += len(design.arms)
    except KeyboardInterrupt:
        interrupted = True
    if done and (not looks or looks[-1] != len(done)) and len(looks) < len(planned):
        looks.append(len(done))
    return Conducted(
        trials=tuple(done[: looks[-1]] if looks else done),
        looks=tuple(looks),
        planned_looks=len(planned),
        measured_ns=now_ns() - begun_ns,
        interrupted=interrupted,
    )


def _counted(found: Recovery) -> str:
    return ", ".join(f"{len(found.of(state))} {state}" for state in State)


def _progress(done: list[TruthTrial], total: int, used_ns: int, deadline_ns: int | None, now_ns: int) -> str:
    failed = sum(one.failure is not None for one in done)
    left_ns = used_ns // len(done) * (total - len(done))
    if deadline_ns is not None:
        left_ns = max(0, min(left_ns, deadline_ns - now_ns))
    return f"[{len(done)}/{total}] {failed} failed, at most {left_ns // NS_PER_S} s left"
