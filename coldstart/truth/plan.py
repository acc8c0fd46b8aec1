"""Which delays are injected where: every arm once a block, in random order."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from coldstart.model.truth import POINTS, Arm

CONTROLS = 4
"""The control starts of each runtime in a block, at least.

Every other arm is compared with them, so theirs is the noise that all comparisons share. With two delays at six points,
four to six cost the fewest starts for the same interval: (1/2 + 1/k)(12 + k) is smallest at k = 5, and 1 % more at 4.
"""


def arms(runtimes: Sequence[str], delays_ns: Sequence[int]) -> tuple[Arm, ...]:
    """A block's arms: for each runtime one for every delay at every point, and the control arm `CONTROLS` times.

    With more delays than that, as often as there are delays.
    """
    return tuple(
        arm
        for runtime in runtimes
        for arm in (
            *(Arm(runtime=runtime) for _ in range(max(CONTROLS, len(delays_ns)))),
            *(Arm(runtime=runtime, point=point, delay_ns=delay) for point in POINTS for delay in delays_ns),
        )
    )


def blocks(arms: Sequence[Arm], runs: int, seed: int) -> Iterator[tuple[Arm, ...]]:
    """``runs`` blocks, the same for the same seed."""
    for block in range(runs):
        order = list(arms)
        random.Random(f"{seed}/{block}").shuffle(order)  # noqa: S311  an order, not a secret
        yield tuple(order)
