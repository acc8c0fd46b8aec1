"""A report of stored runs, from nothing but their folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coldstart.analyse.calibration import host_class
from coldstart.analyse.hosts import side_by_side
from coldstart.model.timeline import common_profile
from coldstart.report.calibration import load_calibration
from coldstart.report.compose import ReportFiles, ToPdf, compose, write_document
from coldstart.report.content import Content, analyse
from coldstart.report.document import Part
from coldstart.report.hosts import host_name, hosts_part
from coldstart.report.recovery import load_selftest
from coldstart.store.frames import tidy
from coldstart.store.reader import StoredRun


def write_report(runs: Sequence[StoredRun], out_dir: Path, to_pdf: ToPdf | None = None) -> ReportFiles:
    """Write one report of ``runs``, one after the other, into ``out_dir``; the same runs give the same bytes.

    Runs of several hosts are drawn from a source that all of them have, and stand side by side first.

    Where the error rates of a run's kind of machine (`coldstart calibrate`) or a selftest of its host (`coldstart
    selftest`) lie beside it, they are in it, too.

    ``to_pdf``, such as `coldstart.report.pdf.load_printer` gives, prints the page to ``report.pdf``.

    Files of the same names are replaced, others are left alone.

    Raises:
        UnknownNameError: an experiment names a targets file this catalogue lacks.
        InputFileError: a targets file is not valid.
        UsageError: several hosts that have no cell in common.
        StorageError: the folder cannot be written.
    """
    profile = common_profile(sample for run in runs for sample in run.samples) if _hosts(runs) else None
    contents = [_analysed(run, profile) for run in runs]
    return write_document(compose(contents, before=_side_by_side(runs, contents)), out_dir, to_pdf)


def _hosts(runs: Sequence[StoredRun]) -> dict[str, list[int]]:
    """The runs of each host, by their places, where there are several hosts; else nothing."""
    found: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        found.setdefault(run.manifest.host.host_id, []).append(place)
    return found if len(found) > 1 else {}


def _side_by_side(runs: Sequence[StoredRun], contents: Sequence[Content]) -> list[Part]:
    hosts = list(_hosts(runs).values())
    if not hosts:
        return []
    names = {host_name(runs[places[0]].manifest): [contents[place].frame for place in places] for places in hosts}
    source = ", ".join(sorted({str(name) for content in contents for name in content.frame["source"]}))
    manifests = [[runs[place].manifest for place in places] for places in hosts]
    return [hosts_part(side_by_side(names), manifests, source)]


def _analysed(run: StoredRun, profile: str | None) -> Content:
    # Where the folder lies is no fact of the run: a copy of it has the same report.
    repaired = run.repaired.removeprefix(f"{run.path}/") if run.repaired else None
    comparison = run.manifest.comparison
    rule = None if comparison is None else comparison.rule
    calibration = load_calibration(run.path.parent, host_class(run.manifest.host), rule)
    selftest = load_selftest(run.path.parent, run.manifest.host)
    return analyse(run.manifest, tidy(run, profile), repaired, run.samples, calibration, selftest)
