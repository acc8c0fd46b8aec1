"""Container options, by Docker's names and meanings."""

from __future__ import annotations

from typing import Self

import msgspec


class ContainerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What every container of a run is created with.

    ``memory_bytes`` and ``cpus`` are limits (0.5 = half a CPU); ``cpuset_cpus`` is Docker's list syntax;
    ``command`` replaces the image's own, as after ``--``. An environment entry is ``NAME=value``.
    """

    env: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    memory_bytes: int | None = None
    cpus: float | None = None
    cpuset_cpus: str | None = None
    command: tuple[str, ...] = ()

    def plus(self, more: Self) -> Self:
        """These, and what ``more`` lists besides: environment, volumes and devices; ours come first, so its win."""
        return msgspec.structs.replace(
            self,
            env=self.env + more.env,
            volumes=self.volumes + more.volumes,
            devices=self.devices + more.devices,
        )
