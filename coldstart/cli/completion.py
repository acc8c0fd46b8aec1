"""Completion of commands, options, experiments and runs for a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_VARIABLE = "_COLDSTART_COMPLETE"  # click's name for it, from the program's


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def command(shell: str) -> None:
    """Print what makes SHELL complete coldstart's commands: eval "$(coldstart completion bash)"."""
    complete = get_completion_class(shell)
    assert complete is not None  # the choices are click's own
    root = click.get_current_context().find_root().command
    click.echo(complete(root, {}, "coldstart", _VARIABLE).source())
