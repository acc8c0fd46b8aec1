"""Inject known delays where they belong, and say how well each phase's figures find them again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coldstart.cli._options import results_option, source_option
from coldstart.errors import EXIT_INTERRUPTED, EXIT_REGRESSION, MissingExtraError, NothingMeasuredError, UsageError
from coldstart.units import format_ns, parse_duration_ns

if TYPE_CHECKING:
    from coldstart.analyse.recovery import Recovery
    from coldstart.cli._view import View
    from coldstart.model.truth import TruthTrial
    from coldstart.runner.truth import TruthPlace

_MOST_NS = 10_000_000_000


@click.command()
@click.option("--runtime", "runtimes", default="runc,crun", show_default=True, metavar="LIST", help="OCI runtimes.")
@click.option(
    "--delays",
    default="5ms,20ms,50ms,200ms",
    show_default=True,
    metavar="LIST",
    help="What is injected, besides nothing.",
)
@click.option("-n", "--runs", type=click.IntRange(1, 10_000), default=12, show_default=True, help="Starts of each arm.")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Of the random order.  [default: random, stored]")
@source_option("Which source is put to the test.")
@results_option
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object.")
def command(runtimes: str, delays: str, runs: int, seed: int | None, source: str, results: Path, as_json: bool) -> None:
    """Put known delays into real starts, and tell how well they are recovered in each phase.

    Six injectors, each of which stamps when it began and ended to wait: a registry proxy, a decompressor, an OCI
    runtime before create and before start, an app before it listens and before it answers. All on a testbed of its
    own, which needs root. Ends with 1 where a figure misses its bound.
    """
    from coldstart.cli._extras import can_report  # noqa: PLC0415  --help need not pay for it
    from coldstart.cli._view import open_view  # noqa: PLC0415
    from coldstart.plan.levels import parse_levels  # noqa: PLC0415
    from coldstart.plan.schedule import new_seed  # noqa: PLC0415
    from coldstart.runner.truth import open_workbench  # noqa: PLC0415

    if not can_report():
        raise MissingExtraError("a selftest", "report")
    names = parse_levels("runtime", runtimes)
    delays_ns = _delays(delays)
    seed = new_seed() if seed is None else seed
    started_at = datetime.now(UTC)
    with closing(open_view()) as view:
        with open_workbench(names, source, view.say) as place:
            trials, interrupted = _run(place, names, delays_ns, runs, seed, view)
            path = _store(place, trials, results, started_at, delays_ns, runs, seed)
        view.say(f"stored in {path}")
    _conclude(trials, as_json=as_json)
    if interrupted:
        raise click.exceptions.Exit(EXIT_INTERRUPTED)


def _run(
    place: TruthPlace, names: tuple[str, ...], delays_ns: tuple[int, ...], runs: int, seed: int, view: View
) -> tuple[tuple[TruthTrial, ...], bool]:
    from coldstart.truth.plan import arms, blocks  # noqa: PLC0415  --help need not pay for it
    from coldstart.truth.workbench import run_blocks  # noqa: PLC0415

    chosen = arms(names, delays_ns)
    total, begun_ns = len(chosen) * runs, time.monotonic_ns()
    view.say(f"{len(chosen)} arms, {runs} starts of each, seed {seed}")
    trials: list[TruthTrial] = []
    try:
        for trial in run_blocks(place.workbench, blocks(chosen, runs, seed)):
            trials.append(trial)
            if len(trials) % len(chosen) == 0:
                left_ns = (time.monotonic_ns() - begun_ns) // len(trials) * (total - len(trials))
                failed = sum(one.failure is not None for one in trials)
                view.say(f"[{len(trials)}/{total}] {failed} failed, {left_ns // 1_000_000_000} s left")
    except KeyboardInterrupt:
        return tuple(trials), True
    return tuple(trials), False


def _store(
    place: TruthPlace,
    trials: tuple[TruthTrial, ...],
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
        trials=trials,
    )
    name = f"selftest/{new_run_id('selftest', started_at)}.json"
    path = results / name
    with storing(path, "Choose another place with --results."):
        make_folder(results)
        write_inside(results, name, msgspec.json.encode(record) + b"\n")
    return path


def _conclude(trials: tuple[TruthTrial, ...], *, as_json: bool) -> None:
    import msgspec  # noqa: PLC0415  --help need not pay for it

    from coldstart.analyse.recovery import judge  # noqa: PLC0415

    if not any(trial.failure is None for trial in trials):
        why = trials[-1].failure if trials else "interrupted before the first start"
        raise NothingMeasuredError(f"nothing was measured: {why}")
    recovery = judge(trials)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(recovery), indent=2).decode())
    else:
        _print(recovery)
    if not recovery.passed:
        raise click.exceptions.Exit(EXIT_REGRESSION)


def _print(recovery: Recovery) -> None:
    click.echo(f"source {recovery.source}; intervals at 95 %, those of the first table together")
    header = ("runtime", "phase", "injected", "n", "contained", "boundary median", "p95", "beyond the injected", "")
    rows = [header]
    for arm in recovery.arms:
        excess = arm.excess
        interval = (
            "—"
            if excess is None or excess.lower is None or excess.upper is None
            else f"{_signed(excess.value)} ({_signed(excess.lower)} to {_signed(excess.upper)})"
        )
        rows.append(
            (
                arm.runtime,
                str(arm.point),
                format_ns(arm.delay_ns),
                str(arm.n),
                f"{arm.contained}/{arm.n}",
                format_ns(arm.boundary_median_ns),
                format_ns(arm.boundary_p95_ns),
                interval,
                "ok" if arm.passed else "MISSED",
            )
        )
    _table(rows)
    click.echo()
    _table(
        [
            ("runtime", "phase", "ns found for each ns injected", ""),
            *(
                (
                    s.runtime,
                    str(s.point),
                    f"{s.slope.value:.4f} ({s.slope.lower:.4f} to {s.slope.upper:.4f})",
                    "ok" if s.passed else "MISSED",
                )
                for s in recovery.slopes
            ),
        ]
    )
    click.echo()
    leaks = Counter((leak.runtime, leak.passed) for leak in recovery.leaks)
    for runtime in dict.fromkeys(leak.runtime for leak in recovery.leaks):
        good, bad = leaks[runtime, True], leaks[runtime, False]
        few = sum(leak.shift.lower is None for leak in recovery.leaks if leak.runtime == runtime)
        undecided = f"; {few} had too few starts for an interval" if few else ""
        click.echo(f"{runtime}: other phases stayed within the bound in {good} of {good + bad} pairs{undecided}")
    for leak in recovery.leaks:
        if not leak.passed and leak.shift.lower is not None:
            click.echo(
                f"  {leak.runtime}: a delay in {leak.point} moved {leak.phase} by {_signed(leak.shift.value)} "
                f"({_signed(leak.shift.lower)} to {_signed(leak.shift.upper)}), bound ±{format_ns(leak.bound_ns)}"
            )
    if recovery.unattributed_median is not None:
        click.echo(f"under no observed leaf: {recovery.unattributed_median:.2%} of end-to-end in the median start")
    for failure in recovery.failures[:5]:
        click.echo(f"failed: {failure}")


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip())


def _signed(value_ns: float | None) -> str:
    if value_ns is None:
        return "—"
    return ("-" if value_ns < 0 else "+") + format_ns(abs(value_ns))


def _delays(text: str) -> tuple[int, ...]:
    delays = tuple(parse_duration_ns(part) for part in text.split(","))
    if not all(0 < delay <= _MOST_NS for delay in delays) or len(set(delays)) != len(delays):
        raise UsageError(f"--delays {text!r}: name each delay once, more than nothing and up to 10s, such as 5ms,50ms.")
    return delays
