"""Which delays are injected where: every arm once per block, in random order, while it has something to decide."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

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


class Design:
    """Blocks of arms: all of them at first, fewer once `narrow` leaves some out."""

    def __init__(self, arms: Sequence[Arm]) -> None:
        self._arms = tuple(arms)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Those of the next block."""
        return self._arms

    def narrow(self, wanted: Callable[[Arm], bool]) -> None:
        """Leave out of all later blocks the arms that are not wanted."""
        self._arms = tuple(arm for arm in self._arms if wanted(arm))

    def blocks(self, runs: int, seed: int) -> Iterator[tuple[Arm, ...]]:
        """``runs`` blocks; the same arms come in the same order for the same seed."""
        for block in range(runs):
            order = list(self._arms)
            random.Random(f"{seed}/{block}").shuffle(order)  # noqa: S311  an order, not a secret
            yield tuple(order)
