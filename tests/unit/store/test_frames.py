"""The tidy table: its columns, its sums, its empty cells."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from coldstart.errors import CorruptRunError, MissingExtraError
from coldstart.model.cell import CellPair, Tier
from coldstart.model.rule import Rule
from coldstart.model.run import Comparison
from coldstart.model.sample import ClockConversion, ColdProof, Conditions, Harness, Outcome, ProcessUse, Sample
from coldstart.model.timeline import ADDENDS, PULL_PARTS, Phases
from coldstart.store.frames import COLUMNS, rows, tidy
from coldstart.store.reader import StoredRun
from tests.unit.factories import (
    MS,
    RUN_ID,
    STARTED_AT,
    layer_digest,
    make_cell,
    make_experiment,
    make_manifest,
    make_sample,
    make_trial,
)

ISSUES_COLUMNS = [
    "run_id",
    "block",
    "position",
    "outcome",
    "reason",
    "engine",
    "runtime",
    "workload",
    "variant",
    "tier",
    "network",
    "source",
    "e2e_ns",
    "pull_ns",
    "create_ns",
    "init_ns",
    "readiness_ns",
    "gap_ns",
    "download_ns",
    "unpack_ns",
    "register_ns",
    "pull_download_only_ns",
    "pull_overlap_ns",
    "pull_unpack_only_ns",
    "pull_register_only_ns",
    "pull_other_ns",
    "unattributed_ns",
    "bytes_received",
    "layers_unpacked",
    "image_compressed_bytes",
    "image_unpacked_bytes",
]

FULL = make_sample(
    make_trial(block=7, position=2, attempt=1, warmup=True),
    reason="with, a comma",
    bytes_received=1,
    layers_unpacked=2,
    bytes_unpacked=3,
    files_unpacked=4,
    proof=ColdProof(
        tier=Tier.ABSENT,
        source="registry log",
        image_present=False,
        blob_gets=5,
        blob_bytes=6,
        layers_unpacked=7,
        resident_bytes=8,
        warm_starts=9,
    ),
    conditions=Conditions(
        cpu_psi_us=10,
        io_psi_us=11,
        memory_psi_us=12,
        disk_read_bytes=13,
        disk_write_bytes=14,
        load_1m=0.5,
        temperature_c=61.5,
        frequency_mhz=1500.0,
        throttled=False,
        undervoltage=True,
    ),
    clock=ClockConversion(offset_ns=999, error_ns=15),
    harness=Harness(
        prepare_ns=16,
        quiet_wait_ns=17,
        collect_ns=18,
        teardown_ns=19,
        probe_attempts=20,
        readiness_resolution_ns=21,
        probe_resolution_ns=22,
    ),
    uses=(
        ProcessUse(role="runtime_create", name="runc", source="t", peak_rss_bytes=31, cpu_ns=32, write_bytes=1),
        ProcessUse(role="runtime_start", name="runc", source="t", peak_rss_bytes=30, cpu_ns=33, write_bytes=2),
        ProcessUse(role="shim", name="shim", source="t", peak_rss_bytes=34, pss_bytes=35),
        ProcessUse(role="untar", name="exe", source="t", peak_rss_bytes=36, cpu_ns=1),
        ProcessUse(role="untar", name="exe", source="t", peak_rss_bytes=37),
        ProcessUse(role="engine", name="dockerd", source="t", peak_rss_bytes=40, pss_bytes=38),
        ProcessUse(role="engine", name="containerd", source="t", peak_rss_bytes=41, pss_bytes=39),
        ProcessUse(role="decompressor", name="unpigz", source="t", peak_rss_bytes=99),
    ),
    fallback="the trace buffer overran",
    exit_code=22,
)

FULL_ROW = {
    "run_id": RUN_ID,
    "block": 7,
    "position": 2,
    "outcome": "ok",
    "reason": "with, a comma",
    "engine": "docker",
    "runtime": "runc",
    "workload": "hello",
    "variant": "alpine",
    "tier": "absent",
    "network": "bridge",
    "source": "engine",
    "e2e_ns": 570 * MS,
    "pull_ns": 400 * MS,
    "create_ns": 9 * MS,
    "init_ns": 150 * MS,
    "readiness_ns": 10 * MS,
    "gap_ns": 1 * MS,
    "download_ns": 160 * MS,
    "unpack_ns": 192 * MS,
    "register_ns": 48 * MS,
    "pull_download_only_ns": 80 * MS,
    "pull_overlap_ns": 80 * MS,
    "pull_unpack_only_ns": 112 * MS,
    "pull_register_only_ns": 48 * MS,
    "pull_other_ns": 80 * MS,
    "unattributed_ns": (1 + 40 + 75) * MS,
    "bytes_received": 1,
    "layers_unpacked": 2,
    "image_compressed_bytes": 3_000_000,
    "image_unpacked_bytes": 7_000_000,
    "bytes_unpacked": 3,
    "files_unpacked": 4,
    "image_layers": 2,
    "image_files": 42,
    "image_digest": layer_digest(99),
    "started_at": STARTED_AT,
    "cpu_psi_us": 10,
    "io_psi_us": 11,
    "memory_psi_us": 12,
    "disk_read_bytes": 13,
    "disk_write_bytes": 14,
    "load_1m": 0.5,
    "temperature_c": 61.5,
    "frequency_mhz": 1500.0,
    "throttled": False,
    "undervoltage": True,
    "probe_attempts": 20,
    "readiness_resolution_ns": 21,
    "probe_resolution_ns": 22,
    "clock_error_ns": 15,
    "prepare_ns": 16,
    "quiet_wait_ns": 17,
    "collect_ns": 18,
    "teardown_ns": 19,
    "proof_source": "registry log",
    "proof_blob_gets": 5,
    "proof_blob_bytes": 6,
    "proof_layers_unpacked": 7,
    "proof_resident_bytes": 8,
    "proof_warm_starts": 9,
    "runtime_peak_rss_bytes": 31,
    "runtime_cpu_ns": 32 + 33,
    "runtime_read_bytes": None,
    "runtime_write_bytes": 3,
    "shim_peak_rss_bytes": 34,
    "shim_pss_bytes": 35,
    "shim_cpu_ns": None,
    "network_hook_peak_rss_bytes": None,
    "network_hook_cpu_ns": None,
    "untar_peak_rss_bytes": 37,
    "untar_cpu_ns": None,
    "untar_read_bytes": None,
    "untar_write_bytes": None,
    "engine_peak_rss_bytes": 40 + 41,
    "engine_pss_bytes": 38 + 39,
    "engine_uss_bytes": None,
    "engine_cpu_ns": None,
    "fallback": "the trace buffer overran",
    "exit_code": 22,
    "attempt": 1,
    "side": None,
    "sentinel_cpu_ns": None,
    "sentinel_io_ns": None,
    "warmup": True,
}


def run_of(*samples: Sample, **manifest: Any) -> StoredRun:
    return StoredRun(path=Path("nowhere"), manifest=make_manifest(**manifest), samples=samples)


def row_of(sample: Sample, **manifest: Any) -> dict[str, Any]:
    return next(rows(run_of(sample, **manifest)))


def test_the_issues_columns_lead_in_its_order() -> None:
    assert list(COLUMNS)[: len(ISSUES_COLUMNS)] == ISSUES_COLUMNS


def test_every_phase_is_a_column() -> None:
    assert set(Phases.__struct_fields__) <= set(COLUMNS)


def test_a_row_has_the_columns_in_their_order() -> None:
    assert list(row_of(make_sample())) == list(COLUMNS)


def test_a_full_sample_fills_its_row() -> None:
    assert row_of(FULL) == FULL_ROW


def test_a_failed_sample_has_no_timings() -> None:
    row = row_of(make_sample(outcome=Outcome.NEVER_READY))
    assert {row[name] for name in Phases.__struct_fields__} == {None}


def test_a_failed_sample_has_its_reason() -> None:
    row = row_of(make_sample(outcome=Outcome.NEVER_READY, reason="waited"))
    assert (row["outcome"], row["reason"]) == ("never_ready", "waited")


@pytest.mark.parametrize(
    "column",
    [
        *("reason", "bytes_received", "layers_unpacked", "bytes_unpacked", "files_unpacked", "clock_error_ns"),
        *("cpu_psi_us", "load_1m", "temperature_c", "proof_blob_gets", "exit_code", "readiness_resolution_ns"),
        "probe_resolution_ns",
    ],
)
def test_what_was_not_observed_is_empty(column: str) -> None:
    assert row_of(make_sample())[column] is None


def test_a_sample_without_a_proof_has_empty_proof_columns() -> None:
    row = row_of(make_sample(proof=None))
    assert {value for name, value in row.items() if name.startswith("proof_")} == {None}


@pytest.mark.parametrize("column", [name for name in COLUMNS if name.startswith("image_")])
def test_an_image_the_manifest_lacks_is_unknown(column: str) -> None:
    assert row_of(make_sample(), images=())[column] is None


def test_a_cells_image_is_that_of_its_own_variant() -> None:
    assert row_of(make_sample(make_trial(cell=make_cell(variant="scratch"))))["image_digest"] is None


def test_for_ok_rows_the_addends_add_up() -> None:
    frame = tidy(run_of(*[make_sample(make_trial(block=block), pull_ns=10**8 + block * 7) for block in range(9)]))
    assert (frame[list(ADDENDS)].sum(axis=1) == frame["e2e_ns"]).all()


def test_for_ok_rows_the_parts_of_pull_add_up() -> None:
    frame = tidy(run_of(*[make_sample(make_trial(block=block), pull_ns=10**8 + block * 7) for block in range(9)]))
    assert (frame[list(PULL_PARTS)].sum(axis=1) == frame["pull_ns"]).all()


def test_a_frame_has_a_row_a_sample_in_measured_order() -> None:
    frame = tidy(run_of(*[make_sample(make_trial(block=block)) for block in (3, 1, 2)]))
    assert frame["block"].tolist() == [3, 1, 2]


@pytest.mark.parametrize("samples", [(), (FULL,), (make_sample(outcome=Outcome.EXITED), FULL)])
def test_a_frames_types_are_the_same_whatever_is_in_it(samples: tuple[Sample, ...]) -> None:
    frame = tidy(run_of(*samples))
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == COLUMNS


def test_an_empty_cell_of_a_frame_is_na() -> None:
    assert pd.isna(tidy(run_of(make_sample(), make_sample(outcome=Outcome.EXITED)))["e2e_ns"][1])


def test_no_nanosecond_is_lost_on_the_way_into_a_frame() -> None:
    large = make_sample(bytes_received=2**53 + 1)
    assert tidy(run_of(large, make_sample(outcome=Outcome.EXITED)))["bytes_received"][0] == 2**53 + 1


def test_a_number_no_clock_has_is_damage() -> None:
    with pytest.raises(CorruptRunError, match="nowhere: holds a number beyond 64 bits"):
        tidy(run_of(make_sample(bytes_received=2**70)))


def test_without_pandas_the_pip_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'coldstart\[report\]'"):
        tidy(run_of())


def test_rows_need_no_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert len(list(rows(run_of(make_sample())))) == 1


def test_only_the_first_containers_phases_are_in_the_row() -> None:
    sample = make_sample(make_trial(cell=make_cell(tier=Tier.WARM)))
    second = tuple(msgspec.structs.replace(span, container=1, end_ns=span.end_ns + 1) for span in sample.spans)
    both = msgspec.structs.replace(sample, spans=(*second, *sample.spans))
    assert row_of(both)["e2e_ns"] == row_of(sample)["e2e_ns"]


def test_a_later_start_of_a_gate_changes_no_phase_that_was_looked_at(tmp_path: Path) -> None:
    """The first look's source stays: of ten starts by the trace, then a hundred that fell back."""
    cell = make_cell()
    samples = [
        make_sample(make_trial(cell=cell, block=block), source="trace" if block < 10 else "proc")
        for block in range(110)
    ]
    pair = CellPair(baseline=cell, candidate=cell)
    comparison = Comparison(candidate=make_experiment(), pairs=(pair,), rule=Rule(looks=(10, 60)))
    for rule, known in ((comparison.rule, 10), (None, 110)):
        manifest = make_manifest(comparison=msgspec.structs.replace(comparison, rule=rule))
        frame = tidy(StoredRun(path=tmp_path, manifest=manifest, samples=tuple(samples)))
        assert frame["init_ns"].notna().sum() == known
