"""The machine, as a result names it: enough to tell two hosts apart, nothing that identifies an owner."""

from __future__ import annotations

import msgspec


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A host's fingerprint. ``None`` is what this kernel does not tell.

    ``governor`` and ``power_mode`` (a Jetson's nvpmodel) set how fast the CPUs run; several governors are joined by
    ``+``. ``host_id`` is a salted hash of the machine id: equal for runs of one host, useless for anything else.
    """

    host_id: str
    machine: str
    board: str | None
    cpu_model: str | None
    cpus: int
    memory_bytes: int
    page_bytes: int
    kernel: str
    os_name: str | None
    cgroup: str
    storage_device: str | None
    filesystem: str | None
    filesystem_journal: bool | None
    python: str
    governor: str | None = None
    power_mode: str | None = None
