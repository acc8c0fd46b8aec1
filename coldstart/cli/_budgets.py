"""``coldstart gate RUN --targets FILE``: a stored run against absolute budgets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from coldstart.analyse.budgets import budget_code
from coldstart.analyse.cells import summarise
from coldstart.analyse.targets import judge, load_targets, overviews, read_targets
from coldstart.cli._console import stdout_console
from coldstart.errors import UnknownNameError
from coldstart.model.target import Target
from coldstart.report.terminal import targets_table
from coldstart.store.frames import tidy
from coldstart.store.reader import StoredRun


def judge_budgets(run: StoredRun, targets: Path, *, as_json: bool) -> int:
    """Print how the run fares, and return the exit code it deserves.

    Raises:
        UnknownNameError, InputFileError: no such targets, they are not valid, or a file of them has a budget for a
            runtime or variant that the run does not have.
        UsageError: the run holds two sides under one name.
    """
    run.manifest.refuse_mixed_sides()
    is_file = targets.suffix == ".toml" or "/" in str(targets)
    publication = read_targets(targets) if is_file else load_targets(str(targets))
    if is_file:
        _check_levels(targets, publication.target, run)
    frame = tidy(run)
    found = overviews(judge(publication.target, frame, run.manifest.all_images))
    code, why = budget_code(frame, summarise(frame), found)
    if as_json:
        record = {"run_id": run.manifest.run_id, "exit_code": code, "reason": why, "targets": found}
        click.echo(msgspec.json.format(msgspec.json.encode(record), indent=2).decode())
    else:
        stdout_console().print(targets_table(found))
        click.echo(why)
    return code


def _check_levels(path: Path, targets: Sequence[Target], run: StoredRun) -> None:
    """A budget for a runtime or variant that the run does not have would judge nothing: most likely it is misspelt."""
    cells = {sample.trial.cell for sample in run.samples}
    variants = {cell.variant for cell in cells} | {image.variant for image in run.manifest.images}
    known = {"runtime": {cell.runtime for cell in cells}, "variant": variants}
    for target in targets:
        for conditions in (target.applies_to, target.against):
            for factor, levels in known.items():
                level = getattr(conditions, factor, None)
                if target.verdict and cells and level is not None and level not in levels:
                    raise UnknownNameError(f"{factor} in this run", level, levels, f"{path}: target {target.id!r}")
