"""Stored runs, and the records that lie beside them."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.fuzzing.mutations import mutated_bytes
from benchmarks.fuzzing.target import ROOT, Files, Rng, Target, as_json, placed
from coldstart.errors import ColdstartError

SAMPLES = 14  # in a run that is made wrong: of two runtimes, enough for intervals
_KEPT = {"variant": "alpine", "tier": "warm"}


@cache
def stored() -> tuple[Any, list[Any]]:
    """The published run's manifest and its first samples, as JSON."""
    (folder,) = sorted((ROOT / "results" / "reference").glob("*-article-*"))[:1]
    lines = (folder / "samples.jsonl").read_text().splitlines()
    manifest = json.loads((folder / "run.json").read_text())
    samples = [json.loads(line) for line in lines]
    kept = [sample for sample in samples if _KEPT.items() <= sample["trial"]["cell"].items()]
    return manifest, kept[:SAMPLES]


def _run(rng: Rng) -> Files:
    manifest, samples = stored()
    lines = [json.dumps(sample).encode() for sample in samples]
    manifest_text = json.dumps(manifest).encode()
    if rng.random() < 0.5:
        manifest_text = as_json(rng, manifest)
    if rng.random() < 0.7:
        for _ in range(rng.choice((1, 1, 3))):
            at = rng.randrange(len(lines))
            lines[at] = as_json(rng, samples[at])
    text = b"\n".join(lines) + rng.choice((b"\n", b"\n", b""))
    if rng.random() < 0.1:
        text = mutated_bytes(rng, text)
    return {"r/run.json": manifest_text, "r/samples.jsonl": text}


def _read_run(files: Files, folder: Path) -> object:
    from coldstart.store.reader import open_run  # noqa: PLC0415  only what is fuzzed is imported

    placed(files, folder)
    run = open_run(folder / "r")
    for exporter in _exporters():
        exporter.write(run, io.BytesIO())
    return run


@cache
def _exporters() -> tuple[Any, ...]:
    from coldstart.export.base import exporter, formats  # noqa: PLC0415  as above

    return tuple(exporter(name) for name in formats())


def _report_run(files: Files, folder: Path) -> object:
    from coldstart.model.timeline import common_profile  # noqa: PLC0415  as above
    from coldstart.report.compose import compose  # noqa: PLC0415
    from coldstart.report.content import analyse  # noqa: PLC0415
    from coldstart.report.html import render_html  # noqa: PLC0415
    from coldstart.report.markdown import render_markdown  # noqa: PLC0415
    from coldstart.store.frames import tidy  # noqa: PLC0415
    from coldstart.store.reader import open_run  # noqa: PLC0415

    placed(files, folder)
    run = open_run(folder / "r")
    common_profile(run.samples)
    content = analyse(run.manifest, tidy(run), run.repaired, run.samples)
    document = compose([content], draw=lambda _: (), draw_starts=lambda _: ())
    return render_html(document), render_markdown(document)


def _draw_run(files: Files, folder: Path) -> object:
    from coldstart.report.files import write_report  # noqa: PLC0415  as above
    from coldstart.store.reader import open_run  # noqa: PLC0415

    placed(files, folder)
    return write_report([open_run(folder / "r")], folder / "out")


def _compare_runs(files: Files, folder: Path) -> object:
    from coldstart.cli.compare import _effects  # noqa: PLC0415  as above
    from coldstart.store.reader import open_run  # noqa: PLC0415

    placed(files, folder)
    run, good = open_run(folder / "r"), open_run(_good_run())
    with contextlib.suppress(ColdstartError):
        _effects([run], "runtime", None)
    return _effects([good, run], None, None)


def _gate_runs(files: Files, folder: Path) -> object:
    from coldstart.analyse.stored import Measured, conclude_runs  # noqa: PLC0415  as above
    from coldstart.model.rule import Rule  # noqa: PLC0415
    from coldstart.report.comparison import verdict_section  # noqa: PLC0415
    from coldstart.report.junit import render_junit  # noqa: PLC0415
    from coldstart.report.markdown import render_section  # noqa: PLC0415
    from coldstart.store.frames import tidy  # noqa: PLC0415
    from coldstart.store.reader import open_run  # noqa: PLC0415

    placed(files, folder)
    runs = open_run(_good_run()), open_run(folder / "r")
    ours, theirs = (Measured(manifest=run.manifest, frame=tidy(run)) for run in runs)
    verdict = conclude_runs(ours, theirs, Rule())
    return render_junit(verdict), render_section(verdict_section(verdict, None))


_GOOD: list[Path] = []


def _good_run() -> Path:
    """A run without a fault, for comparisons with one that has some."""
    return _GOOD[0]


@contextlib.contextmanager
def with_good_run(folder: Path) -> Iterator[None]:
    """Have it in ``folder``."""
    manifest, samples = stored()
    lines = b"".join(json.dumps(sample).encode() + b"\n" for sample in samples)
    placed({"r/run.json": json.dumps(manifest).encode(), "r/samples.jsonl": lines}, folder)
    _GOOD[:] = [folder / "r"]
    yield
    _GOOD.clear()


def _records(rng: Rng) -> Files:
    """A file of error rates, and one of a selftest, that lie beside runs."""
    folder = ROOT / "results" / "reference"
    found = [*sorted((folder / "calibration").glob("*.json")), *sorted((folder / "fidelity").glob("recovery.json"))]
    path = rng.choice(found)
    value = _parsed(path)
    return {"kind": path.parent.name.encode(), "x.json": as_json(rng, value)}


@cache
def _parsed(path: Path) -> Any:
    value = json.loads(path.read_text())
    if isinstance(value, dict) and isinstance(value.get("trials"), list):
        value["trials"] = value["trials"][:20]
    return value


def _read_records(files: Files, folder: Path) -> object:
    from coldstart.report.calibration import calibration_path, load_calibration, summary  # noqa: PLC0415  as above
    from coldstart.report.recovery import PUBLISHED, load_selftest, selftest_section  # noqa: PLC0415
    from coldstart.store.reader import open_run  # noqa: PLC0415

    host = open_run(_good_run()).manifest.host
    if files["kind"] == b"calibration":
        placed({str(calibration_path(Path(), "here")): files["x.json"]}, folder)
        found = load_calibration(folder, "here")
        return None if found is None else summary(found)
    placed({str(PUBLISHED): files["x.json"]}, folder)
    selftest = load_selftest(folder, host)
    return None if selftest is None else selftest_section(selftest)


TARGETS = (
    Target("runs: read and export", 4, _run, _read_run),
    Target("runs: report", 0.1, _run, _report_run),
    Target("runs: figures", 0.004, _run, _draw_run, cpu_limit_s=90),
    Target("runs: compare", 0.15, _run, _compare_runs),
    Target("runs: gate", 0.1, _run, _gate_runs),
    Target("records beside runs", 1, _records, _read_records),
)
