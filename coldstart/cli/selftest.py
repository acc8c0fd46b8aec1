"""Inject known delays where they belong, and say how well each phase's figures find them again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coldstart.cli._options import results_option, source_option
from coldstart.errors import (
    EXIT_INCONCLUSIVE,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_REGRESSION,
    MissingExtraError,
    NothingMeasuredError,
    UsageError,
)
from coldstart.units import NS_PER_S, format_ns, parse_duration_ns

if TYPE_CHECKING:
    from coldstart.analyse.recovery import Recovery
    from coldstart.report.recovery import ToDecide
    from coldstart.runner.selftesting import Conducted
    from coldstart.runner.truth import TruthPlace

_MOST_NS = 10_000_000_000

_DELAYS, _RUNS, _BUDGET = "50ms,200ms", 40, "9m"
_SHOWN = 12
_FULL_DELAYS, _FULL_RUNS = "5ms,20ms,50ms,200ms", 60


@click.command()
@click.option("--runtime", "runtimes", default="runc,crun", show_default=True, metavar="LIST", help="OCI runtimes.")
@click.option("--delays", metavar="LIST", help=f"Delays to inject, besides a zero-delay control.  [default: {_DELAYS}]")
@click.option(
    "-n",
    "--runs",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help=f"Starts of each arm at most; it ends sooner when all is decided.  [default: {_RUNS}]",
)
@click.option(
    "--budget",
    metavar="TIME",
    help=f"Judge what there is after this time, set-up included.  [default: {_BUDGET}; none with --full]",
)
@click.option(
    "--full", is_flag=True, help=f"Delays of {_FULL_DELAYS}, {_FULL_RUNS} starts of each, no budget: about an hour."
)
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", help="Random seed for the order.  [default: random, stored]"
)
@source_option("Which source is put to the test.")
@results_option
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object.")
def command(**asked: Any) -> None:
    """Inject known delays into real starts, and judge how well each phase finds them again.

    Six injectors, each of which stamps when its wait began and ended: a registry proxy, a decompressor, an OCI
    runtime before create and before start, an app before it listens and before it answers. All on a testbed of its
    own, which needs root. It ends as soon as every bound is decided, within ten minutes by default.

    Ends with 0 (all bounds are met), 1 (a bound is missed), 3 (undecided: the output gives the starts and the time that
    would decide), or 4 (nothing was measured).
    """
    from coldstart.cli._extras import can_report  # noqa: PLC0415  --help need not pay for it
    from coldstart.cli._view import open_view  # noqa: PLC0415
    from coldstart.plan.levels import parse_levels  # noqa: PLC0415
    from coldstart.plan.schedule import new_seed  # noqa: PLC0415
    from coldstart.runner.selftesting import conduct  # noqa: PLC0415
    from coldstart.runner.truth import open_workbench  # noqa: PLC0415
    from coldstart.truth.plan import Design, arms  # noqa: PLC0415
    from coldstart.truth.workbench import run_blocks  # noqa: PLC0415

    begun_ns = time.monotonic_ns()
    if not can_report():
        raise MissingExtraError("a selftest", "report")
    full = asked["full"]
    names = parse_levels("runtime", asked["runtimes"])
    delays = asked["delays"] or (_FULL_DELAYS if full else _DELAYS)
    delays_ns = _delays(delays)
    runs = asked["runs"] or (_FULL_RUNS if full else _RUNS)
    allowed = asked["budget"] or (None if full else _BUDGET)
    deadline_ns = None if allowed is None else begun_ns + parse_duration_ns(allowed)
    seed = new_seed() if asked["seed"] is None else asked["seed"]
    design, started_at = Design(arms(names, delays_ns)), datetime.now(UTC)
    with closing(open_view()) as view:
        with open_workbench(names, asked["source"], view.say) as place:
            set_up_ns = time.monotonic_ns() - begun_ns
            view.say(f"{len(design.arms)} starts per block, {runs} blocks at most, seed {seed}")
            trials = run_blocks(place.workbench, design.blocks(runs, seed))
            conducted = conduct(trials, design, runs, deadline_ns=deadline_ns, tell=view.say)
            path = _store(place, conducted, asked["results"], started_at, delays_ns, runs, seed)
        view.say(f"stored in {path}")
    again = ["--runtime", asked["runtimes"], "--delays", delays]
    again += [] if asked["source"] == "auto" else ["--source", asked["source"]]
    code = _conclude(conducted, set_up_ns, again, as_json=asked["as_json"])
    if code != EXIT_OK:
        raise click.exceptions.Exit(code)


def _store(
    place: TruthPlace,
    conducted: Conducted,
    results: Path,
    started_at: datetime,
    delays_ns: tuple[int, ...],
    runs: int,
    seed: int,
) -> Path:
    import msgspec  # noqa: PLC0415  --help need not pay for it

    from coldstart import __version__  # noqa: PLC0415
    from coldstart.model.run import SCHEMA_VERSION  # noqa: PLC0415
    from coldstart.model.truth import TruthRecord  # noqa: PLC0415
    from coldstart.store.files import make_folder, storing, write_inside  # noqa: PLC0415
    from coldstart.store.run_id import new_run_id  # noqa: PLC0415

    record = TruthRecord(
        schema_version=SCHEMA_VERSION,
        coldstart_version=__version__,
        started_at=started_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        seed=seed,
        delays_ns=delays_ns,
        runs=runs,
        host=place.host,
        engine=place.engine,
        runtimes=place.runtimes,
        trials=conducted.trials,
        looks=conducted.looks,
        planned_looks=conducted.planned_looks,
    )
    name = f"selftest/{new_run_id('selftest', started_at)}.json"
    path = results / name
    with storing(path, "Choose another place with --results."):
        make_folder(results)
        write_inside(results, name, msgspec.json.encode(record) + b"\n")
    return path


def _conclude(conducted: Conducted, set_up_ns: int, again: Sequence[str], *, as_json: bool) -> int:
    """Print what was found; the exit code."""
    from coldstart.analyse.recovery import State  # noqa: PLC0415  --help need not pay for it
    from coldstart.report.recovery import to_decide  # noqa: PLC0415

    trials = conducted.trials
    if not any(trial.failure is None for trial in trials):
        if conducted.interrupted:
            return EXIT_INTERRUPTED
        why = trials[-1].failure if trials else "the time was up before the first start. Give it more with --budget"
        raise NothingMeasuredError(f"nothing was measured: {why}")
    recovery = conducted.judged()
    more = to_decide(recovery, measured_ns=conducted.measured_ns, set_up_ns=set_up_ns, arguments=again)
    if as_json:
        click.echo(_as_json(recovery, more))
    else:
        _print(recovery, more)
    if conducted.interrupted:
        return EXIT_INTERRUPTED
    return {State.MET: EXIT_OK, State.MISSED: EXIT_REGRESSION, State.UNDECIDED: EXIT_INCONCLUSIVE}[recovery.state]


def _as_json(recovery: Recovery, more: ToDecide | None) -> str:
    import msgspec  # noqa: PLC0415  --help need not pay for it

    told: dict[str, Any] = {"state": recovery.state, "to_decide": more, **msgspec.structs.asdict(recovery)}
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode()


def _print(recovery: Recovery, more: ToDecide | None) -> None:
    from coldstart.analyse.recovery import State  # noqa: PLC0415  --help need not pay for it
    from coldstart.report.recovery import HEADER, claim_text, summary_rows  # noqa: PLC0415

    cost = "not measured" if recovery.process_ns is None else format_ns(recovery.process_ns)
    click.echo(
        f"source {recovery.source}; {' and '.join(recovery.runtimes)} together; {recovery.starts} starts, "
        f"{len(recovery.failures)} of them failed; what starting a process costs here: {cost}"
    )
    _table(
        [("delay in", *HEADER), *((str(row.point), *row.cells, row.state.upper()) for row in summary_rows(recovery))]
    )
    for state in (State.MISSED, State.UNDECIDED):
        claims = recovery.of(state)
        for claim in claims[:_SHOWN]:
            click.echo(f"{state}: {claim_text(claim)}")
        if len(claims) > _SHOWN:
            click.echo(f"{state}: {len(claims) - _SHOWN} more; --json shows all")
    if recovery.unattributed_median is not None:
        click.echo(f"under no observed leaf: {recovery.unattributed_median:.2%} of end-to-end in the median start")
    for failure in recovery.failures[:5]:
        click.echo(f"failed: {failure}")
    click.echo(_verdict(recovery, more))


def _verdict(recovery: Recovery, more: ToDecide | None) -> str:
    from coldstart.analyse.recovery import State  # noqa: PLC0415  --help need not pay for it
    from coldstart.cli._view import format_left  # noqa: PLC0415

    total, missed = len(recovery.claims), len(recovery.of(State.MISSED))
    undecided = len(recovery.of(State.UNDECIDED))
    if recovery.state is State.MET:
        return f"met: all {total} bounds"
    lines = [f"missed: {missed} of {total} bounds"] if missed else []
    if undecided:
        lines.append(f"undecided: {undecided} of {total} bounds, for their intervals are too wide")
    if undecided and more is not None:
        length = format_left(round(more.seconds) * NS_PER_S)
        lines.append(f"about {more.starts} starts would decide, {length} at this pace: {more.command}")
    elif undecided:
        lines.append(
            "how many starts would decide cannot be estimated from so few, or from figures so near their bounds"
        )
    return "\n".join(lines)


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip())


def _delays(text: str) -> tuple[int, ...]:
    delays = tuple(parse_duration_ns(part) for part in text.split(","))
    if not all(0 < delay <= _MOST_NS for delay in delays) or len(set(delays)) != len(delays):
        raise UsageError(f"--delays {text!r}: name each delay once, more than nothing and up to 10s, such as 5ms,50ms.")
    return delays
