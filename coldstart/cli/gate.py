"""Did the cold start get worse? One verdict, by a rule whose error rates are known."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coldstart.cli._contenders import Contenders, contenders_of, limits_of, rule_of
from coldstart.cli._extras import can_report
from coldstart.cli._heeded import check_bases
from coldstart.cli._options import (
    PassThrough,
    bases_option,
    budget_option,
    complete_run,
    container_options,
    factor_options,
    results_option,
    source_option,
    timeout_option,
)
from coldstart.cli._verdict import SUMMARY_VARIABLE, conclude_stored, exit_with, judge_stored, judge_two, kind_of
from coldstart.errors import EXIT_INCONCLUSIVE, EXIT_INTERRUPTED, MissingExtraError, UsageError
from coldstart.opening import is_folder
from coldstart.units import parse_duration_ns

if TYPE_CHECKING:
    from coldstart.analyse.counters import Limit
    from coldstart.analyse.gate import Decision
    from coldstart.cli._view import View
    from coldstart.model.rule import Rule
    from coldstart.runner.contest import Contest
    from coldstart.store.writer import RunWriter


@click.command(cls=PassThrough)
@click.argument("what", nargs=-1, shell_complete=complete_run)
@click.option("--baseline", metavar="REF", help="Baseline image.")
@click.option("--candidate", metavar="REF", help="Candidate image.")
@click.option("--image", metavar="REF", help="One image, for two runtimes.")
@click.option("--baseline-runtime", metavar="NAME", help="Baseline OCI runtime.")
@click.option("--candidate-runtime", metavar="NAME", help="Candidate OCI runtime.")
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
    help="What is tolerated. WHAT is a phase to be gated too (pull, unpack, create, init, readiness), or cells: a "
    "level, such as absent, or a pattern of their names, such as '*/crun/*'. A name that nothing has is refused.  "
    "[default: 5%]",
)
@click.option("--alpha", type=float, metavar="SHARE", help="The false alarms that are accepted.  [default: 0.01]")
@click.option("--max-pull-bytes", metavar="LIMIT", help="Hard, at the first start: +5%, +1m, or 50m in all.")
@click.option("--max-unpacked-bytes", metavar="LIMIT", help="The same of the bytes unpacked.")
@click.option("--max-files", metavar="LIMIT", help="The same of files: +5%, +100, or 2000 in all.")
@click.option("--max-layers", metavar="LIMIT", help="The same of layers.")
@click.option("--targets", type=click.Path(path_type=Path), metavar="FILE", help="Judge a stored RUN by budgets.")
@timeout_option
@budget_option
@click.option(
    "--on-inconclusive",
    type=click.Choice(("pass", "fail")),
    help=f"How to end where the pairs do not tell.  [default: exit code {EXIT_INCONCLUSIVE}]",
)
@source_option("Where phases come from; auto: the kernel's trace where it can be had, else the next best.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    help="Random seed for the trial order.  [default: random, stored]",
)
@container_options
@bases_option
@results_option
@click.option(
    "--summary", type=click.Path(path_type=Path), help=f"Append Markdown there.  [default: ${SUMMARY_VARIABLE}]"
)
@click.option("--junit", type=click.Path(path_type=Path), help="Write a JUnit file there.")
@click.option("--json", "as_json", is_flag=True, help="The verdict as one JSON object.")
def command(what: tuple[str, ...], **said: Any) -> None:
    """Measure a baseline and a candidate in interleaved pairs until one verdict is sure.

    Ends with 0 (not slower than is tolerated), 1 (a regression, or a hard limit or budget missed), 3 (inconclusive), or
    4 (the machine was disturbed, or there is nothing to conclude from). WHAT is two experiment files, baseline and
    candidate; or one stored RUN, to be judged by --targets or, if it was a gate's, once more: by its own rule, or by
    --max-slowdown and --alpha. Two stored RUNs, or two files of times (hyperfine's JSON, a CSV), are judged as they
    are: unpaired, which is weaker, and labelled so. An option that does not apply is refused.

    \b
    Examples:
      coldstart gate --baseline app:main --candidate app:pr --ready http:8080/health --max-pull-bytes +5%
      coldstart gate --image app:pr --baseline-runtime runc --candidate-runtime crun --ready http:8080/health
      coldstart gate main.toml pr.toml --tier warm --budget 20m
      coldstart gate 20261125T104500Z-app-1a2b --targets budgets.toml
      coldstart gate 20261124T104500Z-app-77f0 20261125T104500Z-app-1a2b
      coldstart gate main.csv pr.csv --max-slowdown 10%
    """  # noqa: D301  click's own mark for lines that are not to be wrapped
    if not can_report():
        raise MissingExtraError("a gate", "report")
    limits = limits_of(said)
    _check_places(said)
    if len(what) == 1:
        judge_stored(what[0], said, limits)
        return
    if said["targets"] is not None:
        raise UsageError("--targets judges a stored run: coldstart gate RUN --targets FILE.")
    rule = rule_of(said["slowdowns"], said["alpha"])
    kinds = {kind_of(name, said["results"]) for name in what}
    if len(what) == 2 and kinds != {"experiment"}:
        judge_two(what, kinds, said, rule, limits)
        return
    contenders = contenders_of(what, said)
    check_bases(*contenders)
    _measure(contenders, rule, limits, said)


def _measure(contenders: Contenders, rule: Rule, limits: tuple[Limit, ...], said: dict[str, Any]) -> None:
    from coldstart.cli._view import open_view  # noqa: PLC0415  --help need not pay for it
    from coldstart.images.bases import BaseSource  # noqa: PLC0415
    from coldstart.model.rule import check_questions  # noqa: PLC0415
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
            check_questions(rule, contest.pairs)
            run_id = new_run_id("gate", now)
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
            say=view.say,
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
    from coldstart.analyse.verdict import Outcome  # noqa: PLC0415  --help need not pay for it
    from coldstart.cli._finish import check_end  # noqa: PLC0415
    from coldstart.store.reader import open_run  # noqa: PLC0415

    if interrupted:
        say(f"interrupted; what was measured is kept. Judge it with: coldstart gate {writer.path}")
        if not open_run(writer.path).samples:
            raise click.exceptions.Exit(EXIT_INTERRUPTED)
    verdict = conclude_stored(writer.path, said, limits, is_asked_again=False)
    if interrupted:
        raise click.exceptions.Exit(EXIT_INTERRUPTED)
    if verdict.outcome is Outcome.INCONCLUSIVE:  # not for lack of pairs, if the engine was lost
        check_end(open_run(writer.path).samples, f"The pairs so far are kept in {writer.path}.")
    exit_with(verdict, said["on_inconclusive"])


def _check_places(said: dict[str, Any]) -> None:
    for option in ("junit", "summary"):
        if said[option] is not None and not is_folder(said[option].parent):
            raise UsageError(f"--{option} {said[option]}: there is no folder {said[option].parent}.")
