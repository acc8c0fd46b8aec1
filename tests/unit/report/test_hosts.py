"""A report of several hosts: side by side first, then each run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from coldstart.errors import UsageError
from coldstart.model.cell import Tier
from coldstart.model.sample import Sample, Source
from coldstart.report import files
from coldstart.report.compose import compose
from coldstart.report.files import write_report
from coldstart.report.hosts import host_name
from coldstart.store.reader import StoredRun
from tests.unit.factories import MS, make_cell, make_host, make_image, make_manifest, make_sample, make_trial

WARM = make_cell(tier=Tier.WARM)


def run_of(host_id: str, init_ms: int, path: Path, *, trace: bool = False, **fields: Any) -> StoredRun:
    run_id = f"run-{host_id[:4]}"
    manifest = make_manifest(run_id=run_id, host=make_host(host_id=host_id, **fields))
    samples = [
        make_sample(make_trial(cell=WARM, block=block), run_id=run_id, init_ns=(init_ms + block) * MS)
        for block in range(6)
    ]
    if trace:
        samples = [_traced(sample) for sample in samples]
    return StoredRun(path=path / run_id, manifest=manifest, samples=tuple(samples))


def _traced(sample: Sample) -> Sample:
    """The same start, of which the kernel's trace saw the init 50 ms shorter than the engine."""
    record: dict[str, Any] = {name: getattr(sample, name) for name in sample.__struct_fields__}
    init = next(span for span in sample.spans if span.phase == "init")
    ready = next(span for span in sample.spans if span.phase == "readiness")
    fields = {name: getattr(init, name) for name in init.__struct_fields__}
    seen = type(init)(**{**fields, "source": Source.TRACE, "end_ns": init.end_ns - 50 * MS})
    answered = type(init)(
        **{
            **{name: getattr(ready, name) for name in ready.__struct_fields__},
            "source": Source.TRACE,
            "start_ns": seen.end_ns,
        }
    )
    return Sample(**{**record, "source": "trace", "spans": (*sample.spans, seen, answered)})


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are slow to draw, and no matter here."""
    real = compose
    monkeypatch.setattr(files, "compose", lambda contents, before: real(contents, lambda _: (), lambda _: (), before))


def written(tmp_path: Path, *runs: StoredRun) -> str:
    return write_report(runs, tmp_path / "report").markdown.read_text()


def test_hosts_stand_side_by_side_before_their_runs(tmp_path: Path) -> None:
    pi = run_of("aaaa" * 4, 200, tmp_path, board="Raspberry Pi 4", governor="ondemand")
    jetson = run_of("bbbb" * 4, 100, tmp_path, board="Jetson", power_mode="mode 2")
    text = written(tmp_path, pi, jetson)
    assert text.index("# Hosts side by side") < text.index("# Cold starts")
    assert "Raspberry Pi 4 (aaaa), Jetson (bbbb)" in text
    assert "ondemand" in text
    assert "mode 2" in text


def test_hosts_are_drawn_from_the_source_that_all_of_them_have(tmp_path: Path) -> None:
    traced = run_of("aaaa" * 4, 200, tmp_path, trace=True)
    plain = run_of("bbbb" * 4, 200, tmp_path)
    assert "drawn from source engine" in written(tmp_path, traced, plain)


def test_every_image_of_a_host_is_named_though_two_runs_call_theirs_the_same(tmp_path: Path) -> None:
    first, second, other = (run_of(host, 100, tmp_path) for host in ("a" * 16, "a" * 16, "b" * 16))
    changed = msgspec.structs.replace(
        second,
        manifest=msgspec.structs.replace(second.manifest, run_id="again", images=(make_image(digest="sha256:x"),)),
    )
    text = written(tmp_path, first, changed, other)
    assert (text.count(f"linux/amd64 {make_image().digest}"), text.count("linux/amd64 sha256:x")) == (2, 1)


def test_runs_of_one_host_are_not_set_against_one_another(tmp_path: Path) -> None:
    assert "Hosts side by side" not in written(tmp_path, run_of("aaaa" * 4, 200, tmp_path))
    runs = (run_of("aaaa" * 4, 200, tmp_path), run_of("aaaa" * 4, 100, tmp_path))
    assert "Hosts side by side" not in written(tmp_path, *runs)


def test_one_host_keeps_its_best_source(tmp_path: Path) -> None:
    text = written(tmp_path, run_of("aaaa" * 4, 200, tmp_path, trace=True))
    assert "drawn from source" not in text


def test_hosts_that_share_no_cell_are_refused(tmp_path: Path) -> None:
    other = run_of("bbbb" * 4, 100, tmp_path)
    cold = [make_sample(make_trial(cell=make_cell()), run_id=other.manifest.run_id)]
    with pytest.raises(UsageError, match="no cell in common"):
        written(
            tmp_path,
            run_of("aaaa" * 4, 200, tmp_path),
            StoredRun(path=other.path, manifest=other.manifest, samples=tuple(cold)),
        )


def test_a_host_is_called_by_its_board_and_told_from_another_of_its_kind() -> None:
    assert host_name(make_manifest(host=make_host(board="Pi", host_id="cafe" * 4))) == "Pi (cafe)"
    assert host_name(make_manifest(host=make_host(board=None, host_id="cafe" * 4))) == "aarch64 (cafe)"
