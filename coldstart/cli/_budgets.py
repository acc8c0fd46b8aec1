"""``coldstart gate RUN --targets FILE``: a stored run against absolute budgets."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from coldstart.analyse.budgets import budget_code
from coldstart.analyse.cells import summarise
from coldstart.analyse.targets import judge, load_targets, overviews, read_targets
from coldstart.cli._console import stdout_console
from coldstart.report.terminal import targets_table
from coldstart.store.frames import tidy
from coldstart.store.reader import StoredRun


def judge_budgets(run: StoredRun, targets: Path, *, as_json: bool) -> int:
    """Print how the run fares, and return the exit code it deserves.

    Raises:
        UnknownNameError, InputFileError: no such targets, or they are not valid.
    """
    is_file = targets.suffix == ".toml" or "/" in str(targets)
    publication = read_targets(targets) if is_file else load_targets(str(targets))
    frame = tidy(run)
    found = overviews(judge(publication.target, frame, run.manifest.images))
    code, why = budget_code(frame, summarise(frame), found)
    if as_json:
        record = {"run_id": run.manifest.run_id, "exit_code": code, "reason": why, "targets": found}
        click.echo(msgspec.json.format(msgspec.json.encode(record), indent=2).decode())
    else:
        stdout_console().print(targets_table(found))
        click.echo(why)
    return code
