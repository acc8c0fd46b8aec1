"""A verdict on what is stored: made, shown, and turned into an exit code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coldstart.cli import _heeded as heeded
from coldstart.cli._stored import opened
from coldstart.errors import EXIT_INCONCLUSIVE, EXIT_OK, EXIT_REGRESSION, NothingMeasuredError, UsageError
from coldstart.opening import is_folder

if TYPE_CHECKING:
    from coldstart.analyse.counters import Limit
    from coldstart.analyse.verdict import Verdict
    from coldstart.model.rule import Rule
    from coldstart.store.reader import StoredRun

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
_AS_IT_IS = "what is stored already is judged as it is"


def kind_of(name: str, results: Path) -> str:
    """What two arguments of a gate may be: ``run``, ``times`` (a file of them), or else ``experiment``."""
    from coldstart.store.imported import is_importable  # noqa: PLC0415  --help need not pay for it
    from coldstart.store.run_id import is_run_id  # noqa: PLC0415

    if is_importable(name):
        return "times"
    is_run = is_run_id(name) or any(is_folder(path) for path in (Path(name), results / name))
    return "run" if is_run else "experiment"


def judge_two(
    what: tuple[str, ...], kinds: set[str], said: dict[str, Any], rule: Rule, limits: tuple[Limit, ...]
) -> None:
    """Judge what two stored runs or two files of times hold, the second against the first, and end with its code.

    Raises:
        UsageError: one is of another kind than the other, or they are of another host, source or experiment.
    """
    from coldstart.analyse.stored import Measured, conclude_runs, conclude_times  # noqa: PLC0415  as above
    from coldstart.store.frames import tidy  # noqa: PLC0415
    from coldstart.store.imported import read_times  # noqa: PLC0415

    if len(kinds) > 1:
        raise UsageError(
            f"{what[0]} and {what[1]} are not of one kind: name two experiment files, two stored runs, or two files of "
            "times."
        )
    if kinds == {"times"}:
        if limits or rule.metrics:
            raise UsageError("a file of times has neither images nor phases: leave hard limits and phases out.")
        heeded.refuse_others(heeded.OF_TIMES, _AS_IT_IS)
        baseline, candidate = (read_times(Path(name)) for name in what)
        verdict = conclude_times(baseline, candidate, rule, names=(what[0], what[1]))
    else:
        heeded.refuse_others(heeded.OF_STORED, _AS_IT_IS)
        runs = [_with_samples(opened(name, said["results"])) for name in what]
        ours, theirs = (Measured(manifest=run.manifest, frame=tidy(run)) for run in runs)
        verdict = conclude_runs(ours, theirs, rule, limits)
    _show(verdict, None, said)
    exit_with(verdict, said["on_inconclusive"])


def judge_stored(name: str, said: dict[str, Any], limits: tuple[Limit, ...]) -> None:
    """Judge one stored run, by budgets or as the gate it was, and end with its code."""
    if said["targets"] is not None:
        heeded.refuse_others(heeded.BY_BUDGETS, "--targets FILE has all that a run is judged by")
        from coldstart.cli._budgets import judge_budgets  # noqa: PLC0415

        code = judge_budgets(opened(name, said["results"]), said["targets"], as_json=said["as_json"])
        if code == EXIT_INCONCLUSIVE:
            code = {"pass": EXIT_OK, "fail": EXIT_REGRESSION, None: code}[said["on_inconclusive"]]
        raise click.exceptions.Exit(code)
    heeded.refuse_others(heeded.OF_STORED, _AS_IT_IS)
    exit_with(conclude_stored(name, said, limits, is_asked_again=True), said["on_inconclusive"])


def conclude_stored(
    name: str | Path, said: dict[str, Any], limits: tuple[Limit, ...], *, is_asked_again: bool
) -> Verdict:
    """Judge a stored comparison, and show the verdict: by its own rule, or by what is said where it is asked again.

    Raises:
        UsageError: it compares nothing.
        NothingMeasuredError: nothing was measured, which is never a pass.
    """
    from coldstart.analyse.calibration import host_class  # noqa: PLC0415  --help need not pay for it
    from coldstart.analyse.verdict import conclude  # noqa: PLC0415
    from coldstart.cli._contenders import rule_of  # noqa: PLC0415
    from coldstart.model.rule import check_questions  # noqa: PLC0415
    from coldstart.report.calibration import error_rates, load_calibration  # noqa: PLC0415
    from coldstart.store.frames import tidy  # noqa: PLC0415

    run = opened(name, said["results"])
    comparison = run.manifest.comparison
    if comparison is None or comparison.rule is None:
        raise UsageError(
            f"{run.path} has no baseline and candidate side by side. Judge it by budgets with --targets FILE, or name "
            "two experiment files to measure."
        )
    rule = rule_of(said["slowdowns"], said["alpha"], comparison.rule) if is_asked_again else comparison.rule
    if said["slowdowns"]:
        check_questions(rule, comparison.pairs)
    verdict = conclude(run.manifest, tidy(_with_samples(run)), limits, rule)
    calibration = load_calibration(said["results"], host_class(run.manifest.host), verdict.rule)
    _show(verdict, error_rates(calibration, verdict.rule, comparison.pairs), said)
    return verdict


def _with_samples(run: StoredRun) -> StoredRun:
    if not run.samples:
        raise NothingMeasuredError(f"nothing was measured: {run.path} has no sample, so nothing can be said.")
    return run


def _show(verdict: Verdict, false_alarms: str | None, said: dict[str, Any]) -> None:
    import msgspec  # noqa: PLC0415  --help need not pay for it

    from coldstart.cli._console import stdout_console  # noqa: PLC0415
    from coldstart.report.comparison import verdict_section  # noqa: PLC0415
    from coldstart.report.junit import render_junit  # noqa: PLC0415
    from coldstart.report.markdown import render_section  # noqa: PLC0415
    from coldstart.report.terminal import print_section  # noqa: PLC0415
    from coldstart.store.files import storing, write_atomically  # noqa: PLC0415

    section = verdict_section(verdict, false_alarms)
    if said["as_json"]:
        click.echo(msgspec.json.format(msgspec.json.encode(verdict), indent=2).decode())
    else:
        print_section(stdout_console(), section)
    if said["junit"] is not None:
        with storing(said["junit"], "Choose another file with --junit."):
            write_atomically(said["junit"], render_junit(verdict))
    summary = said["summary"] or os.environ.get(SUMMARY_VARIABLE)
    if summary:
        with storing(Path(summary), "Choose another file with --summary."), Path(summary).open("a") as file:
            file.write(render_section(section) + "\n")


def exit_with(verdict: Verdict, on_inconclusive: str | None) -> None:
    """End with the verdict's exit code; ``on_inconclusive`` (pass, fail) is how to end where nothing is told."""
    from coldstart.analyse.verdict import EXIT_CODES  # noqa: PLC0415  --help need not pay for it

    code = EXIT_CODES[verdict.outcome]
    if code == EXIT_INCONCLUSIVE:
        code = {"pass": EXIT_OK, "fail": EXIT_REGRESSION, None: code}[on_inconclusive]
    raise click.exceptions.Exit(code)
