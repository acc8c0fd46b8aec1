"""How a run ends: its summary, the files asked for, and the exit code that it deserves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coldstart.errors import (
    EXIT_INTERRUPTED,
    InvalidEnvironmentError,
    NothingMeasuredError,
)

if TYPE_CHECKING:
    from coldstart.model.sample import Sample
    from coldstart.store.reader import StoredRun
    from coldstart.store.writer import RunWriter


_ENDED_BY = {  # by a last sample's outcome
    "engine_lost": "the engine was lost",
    "registry_lost": "the registry was lost",
    "harness_failed": "coldstart could not measure on this machine",
}


def finish(
    writer: RunWriter,
    exports: dict[str, Path],
    *,
    as_json: bool,
    interrupted: bool,
    say: Callable[[str], None],
    repeats: StoredRun | None = None,
) -> None:
    """Show what was measured, write what was asked for, and end with the code that it deserves."""
    from coldstart.cli._consent import wishes  # noqa: PLC0415  --help need not pay for it
    from coldstart.cli._export import write_table  # noqa: PLC0415
    from coldstart.cli._repeat import compared  # noqa: PLC0415
    from coldstart.cli._summary import show  # noqa: PLC0415
    from coldstart.store.reader import open_run  # noqa: PLC0415

    run = open_run(writer.path)
    samples = run.samples
    trust = " --trust" if wishes(run.manifest.experiment, run.manifest.experiment) else ""
    go_on = f"Go on with: coldstart run --resume {writer.path}{trust}"
    if interrupted:  # said before the summary, which takes a moment that a second Ctrl-C may cut short
        say(f"interrupted; {len(samples)} samples are kept in {writer.path}. {go_on}")
    repetition = compared(repeats, run.path) if repeats is not None and samples else None
    if samples:
        show(run, as_json=as_json, repetition=repetition)
    for format_name, path in exports.items():
        write_table(run, format_name, str(path))
    if hint := _hint(run):
        say(hint)
    if interrupted:
        raise click.exceptions.Exit(EXIT_INTERRUPTED)
    check_measured(samples, writer.path, f"{len(samples)} samples are kept in {writer.path}. {go_on}", say)
    _check_successes(run, writer.path)
    if missing := _missing(run):
        say(f"the budget is spent with {missing}. {go_on}")
    say(f"stored in {writer.path}; report it with: coldstart report {writer.path}")


def check_measured(samples: tuple[Sample, ...], path: Path, kept: str, say: Callable[[str], None]) -> None:
    """The run came to its end, measured something, and was not disturbed too often; ``say`` hears what is left out.

    Raises:
        InvalidEnvironmentError: it did not, with the reason; ``kept`` says where the samples of one that was lost are.
    """
    from coldstart.model.sample import Outcome  # noqa: PLC0415  --help need not pay for it

    check_end(samples, kept)
    if not any(sample.outcome is Outcome.OK for sample in samples):
        raise NothingMeasuredError(_why_nothing(samples, path))
    _check_repeats(samples, path, say)


def check_end(samples: Sequence[Sample], kept: str) -> None:
    """A run whose last start was lost ended because of that, before its planned end.

    Raises:
        InvalidEnvironmentError: with what was lost, the remedy, and ``kept``: where the samples are.
    """
    if samples and (what := _ENDED_BY.get(samples[-1].outcome.value)) is not None:
        raise InvalidEnvironmentError(f"{what}: {samples[-1].reason} {kept}")


def _hint(run: StoredRun) -> str | None:
    """What may have kept starts from succeeding: that they tried to reach what cannot be reached from the testbed."""
    from coldstart.model.outside import tried_outside  # noqa: PLC0415  --help need not pay for it
    from coldstart.model.sample import Outcome  # noqa: PLC0415  --help need not pay for it

    failed = [sample for sample in run.samples if sample.outcome in {Outcome.EXITED, Outcome.NEVER_READY}]
    tried = sum(tried_outside(sample) for sample in failed)
    if not tried or run.manifest.experiment.egress or run.manifest.engine.where == "user":
        return None
    return (
        f"{tried} of {len(failed)} failed starts tried to reach another network. Containers on the testbed reach none: "
        "if what was started needs one, measure it with --egress."
    )


def _check_repeats(samples: tuple[Sample, ...], path: Path, say: Callable[[str], None]) -> None:
    from coldstart.model.repeats import repeats_of  # noqa: PLC0415  --help need not pay for it

    found = repeats_of(samples)
    for (_, cell), reason in found.never_cold.items():
        say(f"left out: {cell.key} could not be proved cold: {reason}")
    if found.is_contaminated:
        raise InvalidEnvironmentError(
            f"contaminated: more than a tenth of the starts is too much. {found.disturbance}. All are kept in {path}. "
            "End what else runs here, and measure again."
        )


def _check_successes(run: StoredRun, path: Path) -> None:
    """At least half of the starts that were due must have succeeded; otherwise the figures are those of exceptions.

    Due are the starts that were made, and in each block that was begun one of every cell that was given up. A start
    that a spent budget left out was never due. Warm-up blocks are not counted, nor are cells that could not be proved
    cold: those are left out by name.
    """
    from coldstart.measure.session import Prospects  # noqa: PLC0415  --help need not pay for it
    from coldstart.model.repeats import repeats_of  # noqa: PLC0415
    from coldstart.model.sample import Outcome  # noqa: PLC0415
    from coldstart.plan.schedule import cells  # noqa: PLC0415

    never_cold = {cell for _, cell in repeats_of(run.samples).never_cold}
    samples = [sample for sample in run.samples if sample.trial.cell not in never_cold]
    made = {(sample.trial.block, sample.trial.cell) for sample in samples if not sample.trial.warmup}
    blocks = {sample.trial.block for sample in run.samples if not sample.trial.warmup}
    record = Prospects(earlier=samples)
    given_up = [cell for cell in cells(run.manifest.experiment) if record.gave_up((None, cell))]
    due = len(made | {(block, cell) for block in blocks for cell in given_up})
    ok = sum(sample.outcome is Outcome.OK for sample in samples if not sample.trial.warmup)
    if 2 * ok >= due:
        return
    last = [sample for sample in samples if sample.outcome is not Outcome.OK][-1]  # one at least: fewer are ok than due
    raise InvalidEnvironmentError(
        f"most starts failed: {ok} of {due} succeeded. The last that did not: {last.trial.cell.key} {last.outcome}: "
        f"{last.reason}. All are kept, with what the containers wrote, in {path}"
    )


def _missing(run: StoredRun) -> str | None:
    """The blocks that were not begun, and the starts that were not made of the last one that was; ``None``: neither."""
    from coldstart.measure.session import Prospects  # noqa: PLC0415  --help need not pay for it
    from coldstart.model.repeats import MAX_ATTEMPTS  # noqa: PLC0415
    from coldstart.plan.schedule import cells, schedule  # noqa: PLC0415
    from coldstart.store.resume import remaining  # noqa: PLC0415

    experiment, record = run.manifest.experiment, Prospects(earlier=run.samples)
    last = run.samples[-1].trial.block
    blocks = experiment.warmup + experiment.runs - 1 - last
    planned = schedule(experiment, cells(experiment), run.manifest.seed)
    left = [trial for block in remaining(run, planned, max_attempts=MAX_ATTEMPTS) for trial in block]
    starts = sum(trial.block == last and not record.is_hopeless(trial) for trial in left)
    found = [f"{blocks} blocks not begun"] if blocks else []
    return " and ".join([*found, f"{starts} starts of block {last} not made"] if starts else found) or None


def _why_nothing(samples: tuple[Sample, ...], path: Path) -> str:
    from coldstart.model.repeats import repeats_of  # noqa: PLC0415  --help need not pay for it

    if not samples:
        return "nothing was measured: the budget was spent before the first start. Give more time with --budget."
    repeats, last = repeats_of(samples), samples[-1]
    if all((sample.trial.side, sample.trial.cell) in repeats.never_cold for sample in samples):
        cells = "; ".join(
            f"{cell.key} could not be proved cold: {why}" for (_, cell), why in repeats.never_cold.items()
        )
        return f"nothing was measured: {cells}. All are kept in {path}"
    if all(sample.outcome.is_requeued for sample in samples):
        return (
            f"nothing was measured, for this machine was disturbed all the time: {repeats.disturbance}. End what else "
            f"runs here, and measure again. All {len(samples)} starts are kept in {path}"
        )
    return (
        f"nothing was measured: none of {len(samples)} starts succeeded. The last: {last.trial.cell.key} "
        f"{last.outcome}: {last.reason}. All are kept, with what the containers wrote, in {path}"
    )
