"""``coldstart run --from RUN``: what to measure again, and how it agrees."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from coldstart.cli._extras import can_report
from coldstart.cli._overrides import parse_overrides
from coldstart.cli._stored import opened
from coldstart.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from coldstart.analyse.repeat import Repetition
    from coldstart.model.experiment import Experiment
    from coldstart.store.reader import StoredRun


def stored_to_repeat(name: str, experiment: str | None, said: dict[str, Any]) -> StoredRun:
    """The run that is to be repeated.

    Raises:
        UsageError: there is none, it compares two contenders, or something else to measure was named, too.
        CorruptRunError: it cannot be trusted.
        MissingExtraError: what compares the two runs is not installed.
    """
    others = [experiment, *(f"--{key}" for key in ("image", "resume") if said[key] is not None)]
    if told := [other for other in others if other]:
        raise UsageError(f"--from repeats a stored run's experiment and images: leave out {', '.join(told)}.")
    if not can_report():
        raise MissingExtraError("the comparison of a repeated run", "report")
    run = opened(name, said["results"])
    if run.manifest.comparison is not None:
        raise UsageError(f"{run.path} compares two contenders, side by side: it cannot be repeated. Repeat the gate.")
    return run


def experiment_of(run: StoredRun, said: dict[str, Any]) -> Experiment:
    """Its experiment, with the command line's words in place of its own."""
    from coldstart.plan.overrides import narrow  # noqa: PLC0415  --help need not pay for it

    overrides = parse_overrides(said)
    if run.manifest.experiment.image is not None and (overrides.workload or overrides.variant):
        raise UsageError(f"{run.path} measured one image: leave out --workload and --variant.")
    return narrow(run.manifest.experiment, overrides)


def without_missing(experiment: Experiment, runtimes: Collection[str], say: Callable[[str], None]) -> Experiment:
    """The experiment without the runtimes that are not here, which is told; as it is, where none would remain."""
    kept = tuple(name for name in experiment.runtime if name in runtimes)
    missing = [name for name in experiment.runtime if name not in runtimes]
    if not (kept and missing):
        return experiment
    say(f"left out: runtime {', '.join(missing)}, which this engine does not have")
    changed: Experiment = msgspec.structs.replace(experiment, runtime=kept)
    return changed


def compared(then: StoredRun, path: Path) -> Repetition:
    """The run at ``path`` against the one it repeats, on a source that both have."""
    from coldstart.analyse.repeat import repetition  # noqa: PLC0415  --help need not pay for it
    from coldstart.model.timeline import common_profile  # noqa: PLC0415
    from coldstart.store.frames import tidy  # noqa: PLC0415
    from coldstart.store.reader import open_run  # noqa: PLC0415

    now = open_run(path)
    profile = common_profile([*then.samples, *now.samples])
    return repetition(then.manifest, tidy(then, profile), now.manifest, tidy(now, profile))


def show_repetition(found: Repetition) -> None:
    """Print it on standard output."""
    from coldstart.cli._console import stdout_console  # noqa: PLC0415  --help need not pay for it
    from coldstart.report.repeat import repetition_section  # noqa: PLC0415
    from coldstart.report.terminal import print_section  # noqa: PLC0415

    print_section(stdout_console(), repetition_section(found))
