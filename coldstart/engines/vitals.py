"""Whether an engine's daemons live: what died, hangs, or was started anew since the last look."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from coldstart.engines.daemons import condition_of
from coldstart.errors import EngineUnreachableError

_NAMES = ("dockerd", "containerd")
_ANEW = "It was started anew meanwhile."


class Vitals:
    """Looks at the daemons that ``processes`` finds (in the order of `daemon_pids`), and whether ``ping`` is answered.

    ``remedy`` is what to do about one that does not come back by itself.
    """

    def __init__(
        self,
        processes: Callable[[], Sequence[int]],
        ping: Callable[[], None],
        remedy: str,
        condition: Callable[[int], str | None] = condition_of,
    ) -> None:
        self._processes = processes
        self._ping = ping
        self._remedy = remedy
        self._condition = condition
        self._known = self._named()

    def lost(self) -> str | None:
        """See `coldstart.engines.base.Engine.lost`."""
        troubles = [
            f"{name} (process {pid}) {condition}"
            for name, pid in self._known.items()
            if (condition := self._condition(pid)) is not None
        ]
        try:
            self._ping()
        except EngineUnreachableError as error:
            return f"{' and '.join(troubles)}. {self._remedy}" if troubles else f"{error} {self._remedy}"
        now = self._named()
        if not self._are_back(now):
            return f"{' and '.join(troubles) or 'containerd is gone'}. {self._remedy}"
        before, self._known = self._known, now
        changed = [name for name, pid in before.items() if now[name] != pid]
        if troubles or changed:
            return f"{' and '.join(troubles or changed)}. {_ANEW}"
        return None

    def _named(self) -> dict[str, int]:
        return dict(zip(_NAMES, self._processes(), strict=False))

    def _are_back(self, now: dict[str, int]) -> bool:
        return self._known.keys() <= now.keys() and all(self._condition(pid) is None for pid in now.values())
