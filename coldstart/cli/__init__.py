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
from coldstart.cli._console import outlive_readers, undelivered
from coldstart.cli._unexpected import path_of, unexpected
from coldstart.errors import (
    EXIT_ENVIRONMENT,
    EXIT_INCONCLUSIVE,
    EXIT_INTERRUPTED,
    EXIT_OK,
    ColdstartError,
    refusal,
)


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
    """Run the command line and exit with the code of `coldstart.errors`, whatever happens."""
    outlive_readers()
    for number in (signal.SIGTERM, signal.SIGHUP):  # whoever ends us, what we started is taken down
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup's choice stays
            signal.signal(number, _interrupt)
    try:
        try:
            code = _delivered(_ended())
        finally:
            _end_undisturbed()
    except KeyboardInterrupt:  # once more, while the first one was being reported
        code = EXIT_INTERRUPTED
    except BaseException:  # noqa: BLE001  of reporting an error: nothing is left to do but to end with the right code
        code = EXIT_ENVIRONMENT
    _end_undisturbed()  # again, where the first call was itself interrupted
    sys.exit(code)


def _ended() -> int:
    """Run the command; its code. Code 1 comes from a verdict (`click.exceptions.Exit`) and from nothing else."""
    try:
        code = root.main(prog_name="coldstart", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001  a defect of ours or a library's: never a traceback, never 1
        return _reported(error)
    return code if isinstance(code, int) else EXIT_OK


def _reported(error: BaseException) -> int:
    code = EXIT_ENVIRONMENT
    match error:
        case click.exceptions.Abort() | KeyboardInterrupt():
            return EXIT_INTERRUPTED
        case click.ClickException():  # click's own code would be 1 for all but usage errors
            error.show()
            return error.exit_code if isinstance(error, click.UsageError) else code
        case SystemExit(code=None | 0):
            return EXIT_OK
        case ColdstartError():
            message, code = str(error), error.exit_code
        case MemoryError():
            message = "there is not enough memory. Free some, and repeat."
        case OSError():
            message = refusal(error, path_of(error)) or unexpected(error)
        case _:
            message = unexpected(error)
    click.echo(f"coldstart: {message}", err=True)
    return code


def _delivered(code: int) -> int:
    """The code, or 4 where all went well but standard output did not take what was found."""
    error = undelivered()
    if error is None:
        return code
    click.echo(
        f"coldstart: standard output cannot be written: {error.strerror}. Make room, or send it elsewhere; what was "
        "stored before is kept.",
        err=True,
    )
    return EXIT_ENVIRONMENT if code in {EXIT_OK, EXIT_INCONCLUSIVE} else code


def _end_undisturbed() -> None:
    """Ignore signals from here on: while the interpreter ends it gives up our handlers, and one would change the code.

    By then all is stored and taken down, and every thread has ended.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
