"""A report of stored runs, from nothing but their folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coldstart.analyse.calibration import host_class
from coldstart.report.calibration import load_calibration
from coldstart.report.compose import ReportFiles, compose, write_document
from coldstart.report.content import Content, analyse
from coldstart.store.frames import tidy
from coldstart.store.reader import StoredRun


def write_report(runs: Sequence[StoredRun], out_dir: Path) -> ReportFiles:
    """Write one report of ``runs``, one after the other, into ``out_dir``; the same runs give the same bytes.

    Where the error rates of a run's kind of machine lie beside it (`coldstart calibrate`), they are in it, too.

    Files of the same names are replaced, others are left alone.

    Raises:
        UnknownNameError: an experiment names a targets file this catalogue lacks.
        InputFileError: a targets file is not valid.
        StorageError: the folder cannot be written.
    """
    return write_document(compose([_analysed(run) for run in runs]), out_dir)


def _analysed(run: StoredRun) -> Content:
    # Where the folder lies is no fact of the run: a copy of it has the same report.
    repaired = run.repaired.removeprefix(f"{run.path}/") if run.repaired else None
    calibration = load_calibration(run.path.parent, host_class(run.manifest.host))
    return analyse(run.manifest, tidy(run), repaired, run.samples, calibration)
