"""The command line: one module a command, imported only when it is called.

A module here that does not start with an underscore is a command of its name and defines ``command``. Messages go to
stderr, data to stdout; every `ColdstartError` becomes one message and its exit code.
"""

from __future__ import annotations

import importlib
import pkgutil
import signal
import sys

import click

from coldstart import __version__
from coldstart.cli._console import outlive_readers
from coldstart.errors import EXIT_ENVIRONMENT, EXIT_INTERRUPTED, ColdstartError


class LazyGroup(click.Group):
    """A group whose commands are the modules beside this one; listing them imports none but for help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Module names without a leading underscore."""
        return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"{__name__}.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but a mistyped command is answered with the nearest one."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            from coldstart.errors import UnknownNameError  # noqa: PLC0415  only a mistake pays for it

            raise UnknownNameError("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="coldstart")
def root() -> None:
    """Where does every millisecond of a container's cold start go, on this machine, and did it get worse?"""


def main() -> None:
    """Run the command line and exit with the code of `coldstart.errors`."""
    outlive_readers()
    for number in (signal.SIGTERM, signal.SIGHUP):  # whoever ends us, what we started is taken down
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup's choice stays
            signal.signal(number, _interrupt)
    try:
        code = root.main(prog_name="coldstart", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except ColdstartError as error:
        click.echo(f"coldstart: {error}", err=True)
        code = error.exit_code
    except PermissionError as error:
        click.echo(
            f"coldstart: permission denied: {error.filename}. Run as root (sudo), or choose another place.", err=True
        )
        code = EXIT_ENVIRONMENT
    sys.exit(code)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
