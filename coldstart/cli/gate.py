"""Did the cold start get worse? One verdict, by a rule whose error rates are known."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from coldstart.cli._extras import can_report
from coldstart.cli._options import (
    PassThrough,
    bases_option,
    complete_run,
    container_options,
    factor_options,
    results_option,
    source_option,
)
from coldstart.cli._overrides import parse_overrides
from coldstart.errors import (
    EXIT_INCONCLUSIVE,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_REGRESSION,
    MissingExtraError,
    UsageError,
)
from coldstart.units import parse_duration_ns

if TYPE_CHECKING:
    from coldstart.analyse.counters import Limit
    from coldstart.analyse.gate import Decision
    from coldstart.analyse.verdict import Verdict
    from coldstart.cli._view import View
    from coldstart.model.experiment import Experiment
    from coldstart.model.rule import Rule
    from coldstart.plan.overrides import Overrides
    from coldstart.runner.contest import Contest
    from coldstart.store.writer import RunWriter

_SUMMARY = "GITHUB_STEP_SUMMARY"
_COUNTERS = ("pull-bytes", "unpacked-bytes", "files", "layers")


class _Contenders(NamedTuple):
    baseline: Experiment
    candidate: Experiment


@click.command(cls=PassThrough)
@click.argument("what", nargs=-1, shell_complete=complete_run)
@click.option("--baseline", metavar="REF", help="The image as it was.")
@click.option("--candidate", metavar="REF", help="The image as it would be.")
@click.option("--image", metavar="REF", help="One image, for two runtimes.")
@click.option("--baseline-runtime", metavar="NAME", help="The OCI runtime as it was.")
@click.option("--candidate-runtime", metavar="NAME", help="The OCI runtime as it would be.")
@click.option(
    "--ready", metavar="PROBE", help="When it is ready, as in coldstart run: http:PORT/PATH, log:TEXT, exit …"
)
@click.option("--platform", metavar="OS/ARCH", help="Which platform of the images.  [default: the engine's]")
@factor_options
@click.option(
    "--max-slowdown",
    "slowdowns",
    multiple=True,
    metavar="[WHAT=]PERCENT",
    help="What is tolerated. WHAT is a phase to be gated too (pull, create, init, readiness), or cells: a level, such "
    "as absent, or a pattern of their names, such as '*/crun/*'.  [default: 5%]",
)
@click.option("--alpha", type=float, default=0.01, show_default=True, help="The false alarms that are accepted.")
@click.option("--max-pull-bytes", metavar="LIMIT", help="Hard, at the first start: +5%, +1m, or 50m in all.")
@click.option("--max-unpacked-bytes", metavar="LIMIT", help="The same of the bytes unpacked.")
@click.option("--max-files", metavar="LIMIT", help="The same of files: +5%, +100, or 2000 in all.")
@click.option("--max-layers", metavar="LIMIT", help="The same of layers.")
@click.option("--targets", type=click.Path(path_type=Path), metavar="FILE", help="Judge a stored RUN by budgets.")
@click.option("--timeout", metavar="TIME", help="How long one start may take to become ready, such as 30s.")
@click.option("--budget", metavar="TIME", help="Begin no block that would not end within this time, such as 40m.")
@click.option(
    "--on-inconclusive",
    type=click.Choice(("pass", "fail")),
    help=f"How to end where the pairs do not tell.  [default: exit code {EXIT_INCONCLUSIVE}]",
)
@source_option("Where phases come from; auto: the kernel's trace where it can be had, else the next best.")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Of the random order.  [default: random, stored]")
@container_options
@bases_option
@results_option
@click.option("--summary", type=click.Path(path_type=Path), help=f"Append Markdown there.  [default: ${_SUMMARY}]")
@click.option("--junit", type=click.Path(path_type=Path), help="Write a JUnit file there.")
@click.option("--json", "as_json", is_flag=True, help="The verdict as one JSON object.")
def command(what: tuple[str, ...], **said: Any) -> None:
    """Measure a baseline and a candidate in interleaved pairs until one verdict is sure.

    Ends with 0 (not slower than is tolerated), 1 (a regression, or a hard limit or budget missed), 3 (inconclusive), or
    4 (the machine was disturbed, or there is nothing to conclude from). WHAT is two experiment files, baseline and
    candidate; or one stored RUN, to be judged by --targets or, if it was a gate's, once more.

    \b
    Examples:
      coldstart gate --baseline app:main --candidate app:pr --ready http:8080/health --max-pull-bytes +5%
      coldstart gate --image app:pr --baseline-runtime runc --candidate-runtime crun --ready http:8080/health
      coldstart gate main.toml pr.toml --tier warm --budget 20m
      coldstart gate 20261125T104500Z-app-1a2b --targets budgets.toml
    """  # noqa: D301  click's own mark for lines that are not to be wrapped
    if not can_report():
        raise MissingExtraError("a gate", "report")
    limits = _limits(said)
    _check_places(said)
    if len(what) == 1:
        _judge_stored(what[0], said, limits)
        return
    if said["targets"] is not None:
        raise UsageError("--targets judges a stored run: coldstart gate RUN --targets FILE.")
    rule = _rule(said["slowdowns"], said["alpha"])
    _measure(_contenders(what, said), rule, limits, said)


def _measure(contenders: _Contenders, rule: Rule, limits: tuple[Limit, ...], said: dict[str, Any]) -> None:
    from coldstart.cli._view import open_view  # noqa: PLC0415  --help need not pay for it
    from coldstart.images.bases import BaseSource  # noqa: PLC0415
    from coldstart.plan.schedule import new_seed  # noqa: PLC0415
    from coldstart.runner.contest import prepare_contest  # noqa: PLC0415
    from coldstart.runner.place import open_place  # noqa: PLC0415
    from coldstart.runner.prepare import command_line  # noqa: PLC0415
    from coldstart.store.run_id import new_run_id  # noqa: PLC0415
    from coldstart.store.writer import RunWriter  # noqa: PLC0415

    deadline_ns = None if said["budget"] is None else time.monotonic_ns() + parse_duration_ns(said["budget"])
    seed, now = new_seed() if said["seed"] is None else said["seed"], datetime.now(UTC)
    baseline, candidate = contenders
    with closing(open_view()) as view:
        with (
            open_place(
                baseline.engine, asked_for=said["engine"] is not None, purpose="gate", progress=view.say
            ) as place,
            closing(
                prepare_contest(
                    place,
                    baseline,
                    candidate,
                    view.say,
                    required_tiers=said["tier"] is not None,
                    bases=BaseSource(said["bases"]),
                    platform=said["platform"],
                    source=said["source"],
                )
            ) as contest,
        ):
            run_id = new_run_id("gate", now, seed)
            manifest = contest.manifest(run_id=run_id, seed=seed, started_at=now, argv=command_line(), rule=rule)
            with RunWriter.create(said["results"], manifest) as writer:
                interrupted = _pairs(contest, writer, rule, limits, view, deadline_ns)
        view.close()
        _finish(writer, limits, said, interrupted=interrupted, say=view.say)


def _pairs(
    contest: Contest, writer: RunWriter, rule: Rule, limits: tuple[Limit, ...], view: View, deadline_ns: int | None
) -> bool:
    """Measure; whether it was interrupted."""
    from coldstart.runner.gating import run_gate  # noqa: PLC0415  --help need not pay for it

    names = ", ".join(pair.key for pair in contest.pairs)
    view.say(f"run {writer.stored.manifest.run_id}: {names}; looks after {', '.join(map(str, rule.looks))} pairs")
    view.begin(2 * len(contest.pairs) * rule.looks[-1], 0)

    def tell(decisions: tuple[Decision, ...]) -> None:
        for decision in decisions:
            view.say(f"{decision.name}: {decision.call}, {decision.reason}")

    try:
        run_gate(
            contest,
            writer,
            rule,
            deadline_ns=deadline_ns,
            announce=view.announce,
            ended=view.ended,
            tell=tell,
            limits=limits,
        )
    except KeyboardInterrupt:
        return True
    return False


def _finish(
    writer: RunWriter,
    limits: tuple[Limit, ...],
    said: dict[str, Any],
    *,
    interrupted: bool,
    say: Callable[[str], None],
) -> None:
    if interrupted:
        from coldstart.store.reader import open_run  # noqa: PLC0415  --help need not pay for it

        say(f"interrupted; what was measured is kept. Judge it with: coldstart gate {writer.path}")
        if not open_run(writer.path).samples:
            raise click.exceptions.Exit(EXIT_INTERRUPTED)
    verdict = _conclude(writer.path, said, limits)
    if interrupted:
        raise click.exceptions.Exit(EXIT_INTERRUPTED)
    _exit(verdict, said["on_inconclusive"])


def _judge_stored(name: str, said: dict[str, Any], limits: tuple[Limit, ...]) -> None:
    from coldstart.store.reader import open_run  # noqa: PLC0415  --help need not pay for it

    if said["targets"] is not None:
        from coldstart.cli._budgets import judge_budgets  # noqa: PLC0415

        code = judge_budgets(open_run(name, said["results"]), said["targets"], as_json=said["as_json"])
        if code == EXIT_INCONCLUSIVE:
            code = {"pass": EXIT_OK, "fail": EXIT_REGRESSION, None: code}[said["on_inconclusive"]]
        raise click.exceptions.Exit(code)
    _exit(_conclude(name, said, limits), said["on_inconclusive"])


def _conclude(name: str | Path, said: dict[str, Any], limits: tuple[Limit, ...]) -> Verdict:
    """Judge a stored comparison, and show the verdict.

    Raises:
        UsageError: it compares nothing.
        NothingMeasuredError: nothing was measured, which is never a pass.
    """
    from coldstart.analyse.calibration import host_class  # noqa: PLC0415  --help need not pay for it
    from coldstart.analyse.verdict import conclude  # noqa: PLC0415
    from coldstart.errors import NothingMeasuredError  # noqa: PLC0415
    from coldstart.report.calibration import load_calibration, summary  # noqa: PLC0415
    from coldstart.store.frames import tidy  # noqa: PLC0415
    from coldstart.store.reader import open_run  # noqa: PLC0415

    run = open_run(name, said["results"])
    comparison = run.manifest.comparison
    if comparison is None or comparison.rule is None:
        raise UsageError(
            f"{run.path} has no baseline and candidate side by side. Judge it by budgets with --targets FILE, or name "
            "two experiment files to measure."
        )
    if not run.samples:
        raise NothingMeasuredError(f"nothing was measured: {run.path} has no sample, so nothing can be said.")
    verdict = conclude(run.manifest, tidy(run), limits)
    calibration = load_calibration(said["results"], host_class(run.manifest.host))
    _show(verdict, None if calibration is None else summary(calibration), said)
    return verdict


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
    summary = said["summary"] or os.environ.get(_SUMMARY)
    if summary:
        with storing(Path(summary), "Choose another file with --summary."), Path(summary).open("a") as file:
            file.write(render_section(section) + "\n")


def _exit(verdict: Verdict, on_inconclusive: str | None) -> None:
    from coldstart.analyse.verdict import EXIT_CODES  # noqa: PLC0415  --help need not pay for it

    code = EXIT_CODES[verdict.outcome]
    if code == EXIT_INCONCLUSIVE:
        code = {"pass": EXIT_OK, "fail": EXIT_REGRESSION, None: code}[on_inconclusive]
    raise click.exceptions.Exit(code)


def _contenders(what: tuple[str, ...], said: dict[str, Any]) -> _Contenders:
    """The two experiments that were asked for.

    Raises:
        UsageError: neither two files, two images, nor one image and two runtimes; or more than one of these.
    """
    images, runtimes = (said["baseline"], said["candidate"]), (said["baseline_runtime"], said["candidate_runtime"])
    asked = [bool(what), any(images), any(runtimes)]
    if (
        sum(asked) != 1
        or len(what) not in {0, 2}
        or (any(images) and not all(images))
        or any(runtimes) != all(runtimes)
    ):
        raise UsageError(
            "name what to compare, one of: --baseline REF --candidate REF; --image REF --baseline-runtime NAME "
            "--candidate-runtime NAME; two experiment files; or one stored run to judge."
        )
    overrides = parse_overrides(said)
    if what:
        return _of_files(what, overrides)
    if all(images):
        if said["image"] is not None:
            raise UsageError("--image is for two runtimes: leave it out, or name them in place of two images.")
        baseline, candidate = (_ad_hoc(image, overrides) for image in images)
        return _Contenders(baseline, candidate)
    if overrides.runtime is not None:
        raise UsageError(
            "--runtime: with two runtimes to compare, --baseline-runtime and --candidate-runtime say which."
        )
    baseline, candidate = (_of_runtime(said["image"], name, overrides) for name in runtimes)
    return _Contenders(baseline, candidate)


def _of_files(what: tuple[str, ...], overrides: Overrides) -> _Contenders:
    from coldstart.plan.experiment import load_experiment  # noqa: PLC0415  --help need not pay for it
    from coldstart.plan.overrides import narrow  # noqa: PLC0415

    baseline, candidate = (narrow(load_experiment(name), overrides) for name in what)
    return _Contenders(baseline, candidate)


def _of_runtime(image: str | None, runtime: str, overrides: Overrides) -> Experiment:
    import msgspec  # noqa: PLC0415  --help need not pay for it

    named: Overrides = msgspec.structs.replace(overrides, runtime=(runtime,))
    if image is not None:
        return _ad_hoc(image, named)
    if named.workload is None or named.variant is None:
        raise UsageError("two runtimes need an image: --image REF with --ready, or --workload and --variant.")
    from coldstart.cli.run import DEFAULT_EXPERIMENT  # noqa: PLC0415
    from coldstart.plan.experiment import load_experiment  # noqa: PLC0415
    from coldstart.plan.overrides import narrow  # noqa: PLC0415

    return narrow(load_experiment(DEFAULT_EXPERIMENT), _with_tiers(named))


def _ad_hoc(image: str, overrides: Overrides) -> Experiment:
    from coldstart.plan.overrides import ad_hoc  # noqa: PLC0415  --help need not pay for it

    return ad_hoc(image, overrides.ready, _with_tiers(overrides))


def _with_tiers(overrides: Overrides) -> Overrides:
    """A gate's default tiers: the coldest start, and the warmest."""
    import msgspec  # noqa: PLC0415  --help need not pay for it

    from coldstart.model.cell import Tier  # noqa: PLC0415

    if overrides.tier is not None:
        return overrides
    changed: Overrides = msgspec.structs.replace(overrides, tier=(Tier.ABSENT, Tier.WARM))
    return changed


def _rule(slowdowns: tuple[str, ...], alpha: float) -> Rule:
    """The rule that was asked for.

    Raises:
        UsageError: a percentage that is none, or a level of error that is none.
    """
    from coldstart.model.rule import METRICS, Rule  # noqa: PLC0415  --help need not pay for it

    if not 0 < alpha <= 0.2:
        raise UsageError(f"--alpha {alpha}: a share of false alarms is more than 0 and at most 0.2, such as 0.01.")
    overall, cells, metrics = 0.05, {}, {}
    for text in slowdowns:
        name, equals, amount = text.rpartition("=")
        allowed = _percent(text, amount)
        if not equals:
            overall = allowed
        elif name in METRICS:
            metrics[name] = allowed
        else:
            cells[name] = allowed
    return Rule(max_slowdown=overall, alpha=alpha, cells=cells, metrics=metrics)


def _percent(text: str, amount: str) -> float:
    try:
        share = float(amount.strip().removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 10 or not amount.strip().endswith("%"):
        raise UsageError(f"--max-slowdown {text!r}: write a percentage from 0% to 1000%, such as 5% or absent=10%.")
    return share


def _limits(said: dict[str, Any]) -> tuple[Limit, ...]:
    from coldstart.analyse.counters import Limit  # noqa: PLC0415  --help need not pay for it

    named = {counter: said[f"max_{counter.replace('-', '_')}"] for counter in _COUNTERS}
    limits = tuple(Limit(counter=counter, text=text) for counter, text in named.items() if text is not None)
    for limit in limits:
        limit.bound(0)  # what is no limit is told now
    return limits


def _check_places(said: dict[str, Any]) -> None:
    for option in ("junit", "summary"):
        if said[option] is not None and not said[option].parent.is_dir():
            raise UsageError(f"--{option} {said[option]}: there is no folder {said[option].parent}.")
