"""What a stored run would do to this machine is shown, and done only by consent: its folder may be a stranger's."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from coldstart.errors import UsageError
from coldstart.text import clean

if TYPE_CHECKING:
    from coldstart.model.experiment import Experiment

_LIMITS = frozenset({"memory_bytes", "cpus", "cpuset_cpus", "shm_bytes", "cap_drop", "read_only"})
"""Options that only take something from a container. Every other one, and any new one, needs consent."""


def wishes(stored: Experiment, experiment: Experiment) -> tuple[tuple[str, str], ...]:
    """What ``experiment`` has from the ``stored`` one and needs consent, by its name in ``run.json``, as shown.

    These are options of the containers that do more than limit them, the host's network, other networks, a command
    that a probe runs, and folders that images are built from. What the command line said itself is not among them.
    """
    found: list[tuple[str, str]] = []
    own, theirs = experiment.options, stored.options
    for name, default in zip(own.__struct_fields__, _defaults(), strict=True):
        value = getattr(own, name)
        if name not in _LIMITS and value != default and value == getattr(theirs, name):
            found += [(name, shown) for shown in _shown(name, value)]
    if "host" in experiment.network and "host" in stored.network:
        found.append(("network", "host"))
    if experiment.egress and stored.egress:
        found.append(("egress", "containers reach other networks"))
    if experiment.ready is not None and experiment.ready == stored.ready and experiment.ready.kind == "exec":
        found.append(("ready", str(experiment.ready)))
    found += [
        (f"folder of workload {name}", folder)
        for name, folder in experiment.folders.items()
        if stored.folders.get(name) == folder
    ]
    return tuple((clean(name), clean(shown)) for name, shown in found)


def require_consent(path: Path, stored: Experiment, experiment: Experiment, *, trusted: bool) -> None:
    """Show on standard error what the run in ``path`` would do, and ask; ``trusted`` (--trust) is the answer.

    Raises:
        UsageError: the answer is no, or there is nobody to ask.
    """
    asked = wishes(stored, experiment)
    if not asked:
        return
    listed = "\n".join(f"  {name}: {value}" for name, value in asked)
    image = "" if experiment.image is None else f" in containers of {clean(experiment.image)}"
    click.echo(f"coldstart: the stored run {path} would use{image}:\n{listed}", err=True)
    if trusted:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            f"{path} needs your consent: the options above come from its run.json, which may be a stranger's. "
            "Look at them, and repeat with --trust to use them."
        )
    if not click.confirm("Use them on this machine?", default=False, err=True):
        raise UsageError(f"{path} was not started: its options were not agreed to.")


def _defaults() -> tuple[Any, ...]:
    from coldstart.model.options import ContainerOptions  # noqa: PLC0415  --help need not pay for it

    plain = ContainerOptions()
    return tuple(getattr(plain, name) for name in plain.__struct_fields__)


def _shown(name: str, value: Any) -> list[str]:
    if name in {"command", "entrypoint"}:
        return [shlex.join(value)]
    if isinstance(value, tuple):
        return [str(one) for one in value]
    return [str(value)]
