"""What one trial observed, kept as observed: spans on one clock, the proof of cold, the conditions."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from coldstart.model.cell import Tier, Trial


class Phase(StrEnum):
    """The timeline's spans, top level and leaves, in the field's words."""

    PULL = "pull"
    RESOLVE = "resolve"
    DOWNLOAD = "download"
    UNPACK = "unpack"
    REGISTER = "register"
    CREATE = "create"
    INIT = "init"
    INIT_ENGINE = "engine"
    INIT_SHIM = "shim"
    RUNTIME_CREATE = "runtime_create"
    NETWORK_HOOK = "network_hook"
    RUNTIME_START = "runtime_start"
    READINESS = "readiness"
    APP_START = "app_start"
    RESPOND = "respond"


class Source(StrEnum):
    """Who observed a span, best first."""

    TRACE = "trace"
    PROC = "proc"
    ENGINE_LOG = "engine_log"
    ENGINE_API = "engine_api"
    APP = "app"
    CLIENT = "client"  # our own clock around a request we made


class Span(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One observed interval, in CLOCK_MONOTONIC ns.

    ``error_ns`` bounds what clock conversion and the source's resolution may have moved either boundary;
    ``layer`` is a layer's digest; ``container`` counts from 0 where a trial starts several.
    """

    phase: Phase
    start_ns: int
    end_ns: int
    source: Source
    error_ns: int | None = None
    layer: str | None = None
    container: int = 0

    @property
    def length_ns(self) -> int:
        """End minus start."""
        return self.end_ns - self.start_ns


class Outcome(StrEnum):
    """How a trial ended. Only ``ok`` has timings that are ever averaged."""

    OK = "ok"
    NOT_COLD = "not_cold"
    NOT_QUIET = "not_quiet"
    THROTTLED = "throttled"
    CLOCK_MOVED = "clock_moved"
    WRONG_PLATFORM = "wrong_platform"
    PULL_FAILED = "pull_failed"
    CREATE_FAILED = "create_failed"
    START_FAILED = "start_failed"
    EXITED = "exited"
    NEVER_READY = "never_ready"
    UNOBSERVED = "unobserved"
    HARNESS_FAILED = "harness_failed"
    REGISTRY_LOST = "registry_lost"
    ENGINE_LOST = "engine_lost"

    @property
    def is_lost(self) -> bool:
        """True where the engine or the registry died, hung or was started anew during the trial."""
        return self in {Outcome.ENGINE_LOST, Outcome.REGISTRY_LOST}

    @property
    def is_requeued(self) -> bool:
        """True where a recorded physical reason, and no property of the treatment, spoilt the trial."""
        spoilt = {Outcome.NOT_COLD, Outcome.NOT_QUIET, Outcome.THROTTLED, Outcome.CLOCK_MOVED}
        return self in spoilt or self.is_lost

    @property
    def is_failure(self) -> bool:
        """True where what was started failed.

        Not where the trial was spoilt, where no source saw the start, or where coldstart itself failed.
        """
        return not (self is Outcome.OK or self.is_unseen or self.is_requeued)

    @property
    def is_unseen(self) -> bool:
        """True where nobody knows how long the start took or whether it failed: no source saw it, or we failed."""
        return self in {Outcome.UNOBSERVED, Outcome.HARNESS_FAILED}


CONTAMINATED_ABOVE = 0.10
"""Above this share of requeued trials a cell or a run is contaminated."""


class ColdProof(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The evidence for a tier, as observed; ``None`` is what nobody could see.

    ``blob_gets`` and ``blob_bytes`` are successful blob downloads in the registry's access log during the
    trial, and ``blob_digests`` names them; ``layers_unpacked`` is the engine's count; ``resident_bytes`` are the pages
    of the image's layers in memory just before the start; ``warm_starts`` counts starts of this image by this runtime
    since it was last evicted, and ``warmed_bytes`` are the pages that were in memory after the first of them.
    """

    tier: Tier
    source: str
    image_present: bool | None = None
    blob_gets: int | None = None
    blob_bytes: int | None = None
    layers_unpacked: int | None = None
    resident_bytes: int | None = None
    warm_starts: int | None = None
    warmed_bytes: int | None = None
    blob_digests: tuple[str, ...] | None = None


class Conditions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The machine during a trial. Deltas run from the start of the timed window to its end.

    PSI totals are microseconds of *some* stall (Documentation/accounting/psi.rst); disk figures are those of the device
    under the engine's data; ``temperature_c`` is the hottest sensor after the trial. ``throttled`` says whether the
    CPUs were slowed down by heat or by a weak supply, ``undervoltage`` whether by the latter. ``refused_packets`` are
    those to networks that containers on the testbed do not reach.
    """

    cpu_psi_us: int | None = None
    io_psi_us: int | None = None
    memory_psi_us: int | None = None
    disk_read_bytes: int | None = None
    disk_write_bytes: int | None = None
    load_1m: float | None = None
    temperature_c: float | None = None
    frequency_mhz: float | None = None
    throttled: bool | None = None
    undervoltage: bool | None = None
    refused_packets: int | None = None


class SentinelReading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How long a fixed piece of CPU work and a fixed write took, in ns; ``None`` where nothing could be written."""

    cpu_ns: int
    io_ns: int | None = None


class ProcessUse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one process took until it ended, or until it was looked at where it lives on.

    ``role`` is what it did for the start (``runtime_create``, ``shim``, ``untar``, ``engine`` …), ``name`` the kernel's
    for it. ``peak_rss_bytes`` is the most it had resident; ``pss_bytes`` and ``uss_bytes`` its proportional and its own
    share, of living ones only; ``cpu_ns`` is since its start, of daemons since the trial's. ``read_bytes`` and
    ``write_bytes`` went from and to storage. ``None`` is what its source does not tell.
    """

    role: str
    name: str
    source: str
    container: int | None = None
    peak_rss_bytes: int | None = None
    pss_bytes: int | None = None
    uss_bytes: int | None = None
    cpu_ns: int | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None


class Harness(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the suite itself spent around the timed window, in ns; the quiet wait is a wait, not work.

    ``probe_resolution_ns`` is how long the readiness probe could not see before its successful attempt began.
    ``readiness_resolution_ns`` is what version 0.1 stored in its place: up to the answer, so that an app which answered
    late made its own measurement look coarse. It is no longer written; where only it is known, it is an upper bound.
    """

    prepare_ns: int = 0
    quiet_wait_ns: int = 0
    collect_ns: int = 0
    teardown_ns: int = 0
    probe_attempts: int = 0
    readiness_resolution_ns: int | None = None
    probe_resolution_ns: int | None = None


class ClockConversion(msgspec.Struct, frozen=True, kw_only=True):
    """How wall-clock stamps of this trial became monotonic ones: ``monotonic = wall - offset``."""

    offset_ns: int
    error_ns: int


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One trial, whatever became of it.

    ``source`` is the profile the phases are drawn from (``engine``, ``proc``, ``trace``), ``fallback`` why that is not
    the best one of the run, ``left_out`` which spans were seen but cannot be true, and so are not stored.
    ``bytes_received``, ``layers_unpacked`` and the like were counted in this trial, and are ``None`` where nobody
    counted: the sizes of the image itself are in the manifest. ``uses`` is what processes took; ``output_tail`` is kept
    of trials that failed. ``sentinel`` was read before the first trial of a block, in a quiet window of its own.
    ``warnings`` are the engine's own, of containers created for the trial.
    """

    run_id: str
    trial: Trial
    outcome: Outcome
    source: str
    started_at: str
    reason: str | None = None
    spans: tuple[Span, ...] = ()
    proof: ColdProof | None = None
    bytes_received: int | None = None
    layers_unpacked: int | None = None
    bytes_unpacked: int | None = None
    files_unpacked: int | None = None
    uses: tuple[ProcessUse, ...] = ()
    conditions: Conditions = Conditions()
    fallback: str | None = None
    left_out: str | None = None
    clock: ClockConversion | None = None
    harness: Harness = Harness()
    exit_code: int | None = None
    output_tail: str | None = None
    sentinel: SentinelReading | None = None
    warnings: tuple[str, ...] = ()
