"""The tidy table: one row per sample, empty where nothing was observed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from coldstart.errors import CorruptRunError, MissingExtraError
from coldstart.model.cell import Side
from coldstart.model.image import Image
from coldstart.model.sample import ColdProof, ProcessUse, Sample
from coldstart.model.timeline import Phases, common_profile, phases_of, profile_at
from coldstart.store.reader import StoredRun

if TYPE_CHECKING:
    import pandas as pd

_TEXT, _INTEGER, _REAL, _FLAG = "string", "Int64", "Float64", "bool"
_CONDITIONS = {
    "cpu_psi_us": _INTEGER,
    "io_psi_us": _INTEGER,
    "memory_psi_us": _INTEGER,
    "disk_read_bytes": _INTEGER,
    "disk_write_bytes": _INTEGER,
    "load_1m": _REAL,
    "temperature_c": _REAL,
    "frequency_mhz": _REAL,
    "throttled": "boolean",
    "undervoltage": "boolean",
}
_USES = {
    f"{part}_{field}": _INTEGER
    for part, fields in {
        "runtime": ("peak_rss_bytes", "cpu_ns", "read_bytes", "write_bytes"),
        "shim": ("peak_rss_bytes", "pss_bytes", "cpu_ns"),
        "network_hook": ("peak_rss_bytes", "cpu_ns"),
        "untar": ("peak_rss_bytes", "cpu_ns", "read_bytes", "write_bytes"),
        "engine": ("peak_rss_bytes", "pss_bytes", "uss_bytes", "cpu_ns"),
    }.items()
    for field in fields
}
_ROLES = {"runtime": ("runtime_create", "runtime_start")}
_PROOF = {
    "source": _TEXT,
    "blob_gets": _INTEGER,
    "blob_bytes": _INTEGER,
    "layers_unpacked": _INTEGER,
    "resident_bytes": _INTEGER,
    "warm_starts": _INTEGER,
}

COLUMNS: dict[str, str] = {
    "run_id": _TEXT,
    "block": _INTEGER,
    "position": _INTEGER,
    "outcome": _TEXT,
    "reason": _TEXT,
    **dict.fromkeys(("engine", "runtime", "workload", "variant", "tier", "network", "source"), _TEXT),
    **dict.fromkeys(Phases.__struct_fields__, _INTEGER),
    "bytes_received": _INTEGER,
    "layers_unpacked": _INTEGER,
    "image_compressed_bytes": _INTEGER,
    "image_unpacked_bytes": _INTEGER,
    "bytes_unpacked": _INTEGER,
    "files_unpacked": _INTEGER,
    "image_layers": _INTEGER,
    "image_files": _INTEGER,
    "image_digest": _TEXT,
    "started_at": _TEXT,
    **_CONDITIONS,
    "probe_attempts": _INTEGER,
    "readiness_resolution_ns": _INTEGER,
    "probe_resolution_ns": _INTEGER,
    "clock_error_ns": _INTEGER,
    **dict.fromkeys(("prepare_ns", "quiet_wait_ns", "collect_ns", "teardown_ns"), _INTEGER),
    **{f"proof_{field}": kind for field, kind in _PROOF.items()},
    **_USES,
    "fallback": _TEXT,
    "exit_code": _INTEGER,
    "attempt": _INTEGER,
    "side": _TEXT,
    "sentinel_cpu_ns": _INTEGER,
    "sentinel_io_ns": _INTEGER,
    "warmup": _FLAG,
}
"""The table's columns, in order, each with its pandas dtype: nullable but for the flag, which is always known."""


def rows(run: StoredRun, profile: str | None = None) -> Iterator[dict[str, Any]]:
    """One dict a sample, in measured order, with exactly `COLUMNS`; ``None`` where nothing was observed.

    Phases are those of the trial's first container, and are observed for ``ok`` samples only. All are drawn from one
    source, which ``source`` names, so that rows can be compared: that of most trials
    (`coldstart.model.timeline.common_profile`). A trial that had to do with a weaker one lacks the phases that need it,
    and ``fallback`` says why. In a gate the trials up to the first look choose the source: a later trial changes no
    phase that was looked at. ``profile`` asks for one of `coldstart.model.timeline.PROFILES`, to compare with another
    run that has no better.
    """
    images = {side: run.manifest.images_of(side) for side in (None, *Side)}
    profile = profile or _profile(run)
    for sample in run.samples:
        yield _row(sample, images[sample.trial.side].get(sample.trial.cell.image_key), profile)


def tidy(run: StoredRun, profile: str | None = None) -> pd.DataFrame:
    """The rows as a frame with the dtypes of `COLUMNS`; ``profile`` as for `rows`.

    Raises:
        MissingExtraError: pandas is not installed.
        CorruptRunError: a number is larger than any clock or disk.
    """
    try:
        import pandas as pd  # noqa: PLC0415  only those who ask for a frame pay for it
    except ImportError as error:
        raise MissingExtraError("a table of a run's samples", "report") from error

    # By way of objects: a detour through float64 would round nanoseconds above 2^53.
    table = pd.DataFrame(list(rows(run, profile)), columns=list(COLUMNS), dtype=object)
    try:
        return table.astype(COLUMNS)
    except OverflowError as error:
        raise CorruptRunError(run.path, f"holds a number beyond 64 bits: {error}.") from error


def _profile(run: StoredRun) -> str | None:
    comparison = run.manifest.comparison
    if comparison is None or comparison.rule is None:
        return common_profile(run.samples)
    return profile_at(run.samples, comparison.rule.looks[0])


def _row(sample: Sample, image: Image | None, profile: str | None) -> dict[str, Any]:
    trial, cell, harness = sample.trial, sample.trial.cell, sample.harness
    return {
        "run_id": sample.run_id,
        "block": trial.block,
        "position": trial.position,
        "outcome": sample.outcome.value,
        "reason": sample.reason,
        "engine": cell.engine,
        "runtime": cell.runtime,
        "workload": cell.workload,
        "variant": cell.variant,
        "tier": cell.tier.value,
        "network": cell.network.value,
        "source": sample.source if profile is None else profile,
        **_phases(sample, profile),
        "bytes_received": sample.bytes_received,
        "layers_unpacked": sample.layers_unpacked,
        "image_compressed_bytes": image and image.compressed_bytes,
        "image_unpacked_bytes": image and image.unpacked_bytes,
        "bytes_unpacked": sample.bytes_unpacked,
        "files_unpacked": sample.files_unpacked,
        "image_layers": (len(image.layers) or None) if image else None,
        "image_files": image and image.files,
        "image_digest": image and image.digest,
        "started_at": sample.started_at,
        **{field: getattr(sample.conditions, field) for field in _CONDITIONS},
        "probe_attempts": harness.probe_attempts,
        "readiness_resolution_ns": harness.readiness_resolution_ns,
        "probe_resolution_ns": harness.probe_resolution_ns,
        "clock_error_ns": sample.clock and sample.clock.error_ns,
        "prepare_ns": harness.prepare_ns,
        "quiet_wait_ns": harness.quiet_wait_ns,
        "collect_ns": harness.collect_ns,
        "teardown_ns": harness.teardown_ns,
        **_proof(sample.proof),
        **_uses(sample.uses),
        "fallback": sample.fallback,
        "exit_code": sample.exit_code,
        "attempt": trial.attempt,
        "side": trial.side and trial.side.value,
        "sentinel_cpu_ns": sample.sentinel and sample.sentinel.cpu_ns,
        "sentinel_io_ns": sample.sentinel and sample.sentinel.io_ns,
        "warmup": trial.warmup,
    }


def _phases(sample: Sample, profile: str | None) -> dict[str, int | None]:
    phases = phases_of(sample, profile=profile)
    return dict.fromkeys(Phases.__struct_fields__) if phases is None else msgspec.structs.asdict(phases)


def _proof(proof: ColdProof | None) -> dict[str, Any]:
    return {f"proof_{field}": None if proof is None else getattr(proof, field) for field in _PROOF}


def _uses(uses: tuple[ProcessUse, ...]) -> dict[str, int | None]:
    """What the processes of each part took; ``None`` where any of them is not told of.

    A runtime's peak is that of its hungrier call, a resident engine's memory that of its daemons together; times and
    bytes are sums.
    """
    found: dict[str, int | None] = {}
    for column in _USES:
        part = next(part for part in ("network_hook", "runtime", "shim", "untar", "engine") if column.startswith(part))
        field = column.removeprefix(f"{part}_")
        values = [getattr(use, field) for use in uses if use.role in _ROLES.get(part, (part,))]
        known = [value for value in values if value is not None]
        together = max if field == "peak_rss_bytes" and part != "engine" else sum
        found[column] = together(known) if known and len(known) == len(values) else None
    return found
