"""Which options a form of a command heeds: any other is refused by name, for what was asked is what is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from coldstart.cli._options import container_command
from coldstart.errors import UsageError

if TYPE_CHECKING:
    from coldstart.model.experiment import Experiment

_OUTPUT = ("what", "results", "as_json", "on_inconclusive")
BY_BUDGETS = frozenset({*_OUTPUT, "targets"})
"""``gate RUN --targets FILE``."""
OF_TIMES = frozenset({*_OUTPUT, "slowdowns", "alpha", "summary", "junit"})
"""``gate A.csv B.csv``."""
OF_STORED = OF_TIMES | {"max_pull_bytes", "max_unpacked_bytes", "max_files", "max_layers"}
"""``gate RUN`` and ``gate RUN RUN``."""
OF_BANK = frozenset({"pairs", "max_slowdown", "alpha", "results", "as_json"})
"""``calibrate --pairs 0``."""
_NOT_SAID = {ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP}


def refuse_others(heeded: frozenset[str], why: str) -> None:
    """Refuse the first option of the command line that is not ``heeded``; ``why`` says what is done here.

    Raises:
        UsageError: there is one.
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        if name not in heeded and context.get_parameter_source(name) not in _NOT_SAID:
            raise UsageError(f"{max(parameter.opts, key=len)}: {why}; leave it out.")
    if container_command():
        raise UsageError(f"-- {' '.join(container_command())}: {why}; leave it out.")


def check_bases(*experiments: Experiment) -> None:
    """Refuse ``--bases`` where all that is measured is images that are brought here as they are.

    Raises:
        UsageError: it was said, and nothing of ours is built.
    """
    was_said = click.get_current_context().get_parameter_source("bases") not in _NOT_SAID
    if was_said and all(experiment.image is not None for experiment in experiments):
        raise UsageError(
            "--bases is for catalogue images and folders, which are built here. Leave it out for an image of your own."
        )
