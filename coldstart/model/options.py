"""Container options, by Docker's names and meanings."""

from __future__ import annotations

from typing import Self

import msgspec


class ContainerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What every container of a run is created with.

    ``memory_bytes`` and ``cpus`` are limits (0.5 = half a CPU); ``cpuset_cpus`` is Docker's list syntax;
    ``command`` replaces the image's own, as after ``--``. An environment entry is ``NAME=value``, or ``NAME`` alone to
    remove the image's variable. ``entrypoint`` of ``("",)`` removes the image's. A ``security_opt`` of seccomp holds
    the profile itself, so that a run can be repeated elsewhere. An entry of ``tmpfs`` is ``PATH[:OPTIONS]``, of
    ``ulimits`` ``NAME=SOFT[:HARD]``, of ``add_hosts`` ``NAME:ADDRESS``, of ``labels`` ``NAME=value``.
    """

    env: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    memory_bytes: int | None = None
    cpus: float | None = None
    cpuset_cpus: str | None = None
    command: tuple[str, ...] = ()
    user: str | None = None
    entrypoint: tuple[str, ...] | None = None
    workdir: str | None = None
    hostname: str | None = None
    tmpfs: tuple[str, ...] = ()
    shm_bytes: int | None = None
    read_only: bool = False
    init: bool = False
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    ulimits: tuple[str, ...] = ()
    add_hosts: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def plus(self, more: Self) -> Self:
        """These, and what ``more`` lists besides: environment, volumes, devices and options of the resolver.

        Ours come first, so its win.
        """
        return msgspec.structs.replace(
            self,
            env=self.env + more.env,
            volumes=self.volumes + more.volumes,
            devices=self.devices + more.devices,
            dns_options=self.dns_options + more.dns_options,
        )
