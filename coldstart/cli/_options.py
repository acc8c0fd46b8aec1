"""Command-line options shared by commands, and how their text becomes values."""

from __future__ import annotations

import glob
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from coldstart.cli._containers import docker_options
from coldstart.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])


class PassThrough(click.Command):
    """A command that keeps what follows ``--`` for the container; the function finds it by `container_command`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Cut the arguments at the first ``--``."""
        if "--" in args:
            cut = args.index("--")
            ctx.meta[__name__] = tuple(args[cut + 1 :])
            args = args[:cut]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show the container's command in the usage line."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


class Blocks(click.types.IntParamType):
    """A number of blocks; Docker's meaning of ``-w`` is told apart."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number.

        Raises:
            UsageError: a folder, as in a line of ``docker run``.
        """
        if isinstance(value, str) and value.startswith("/"):
            raise UsageError(f"-w {value}: -w is --warmup here. Write --workdir {value}.")
        number: int = super().convert(value, param, ctx)
        return number


def container_command() -> tuple[str, ...]:
    """What followed ``--``."""
    command: tuple[str, ...] = click.get_current_context().meta.get(__name__, ())
    return command


def container_options(function: Command) -> Command:
    """Docker's own options for the containers to start, under Docker's names, and egress for them."""
    egress = click.option(
        "--egress",
        is_flag=True,
        default=None,
        help="Open the testbed to other networks, for an app that needs them.",
    )
    return docker_options(egress(function))


def factor_options(function: Command) -> Command:
    """The factors whose levels a run can replace, each a comma list."""
    for option in reversed(
        (
            click.option("--runtime", metavar="LIST", help="OCI runtimes, such as runc,crun."),
            click.option("--workload", metavar="LIST", help="Workloads of the catalogue, or folders of one's own."),
            click.option("--variant", metavar="LIST", help="Image variants, such as alpine,distroless."),
            click.option("--tier", metavar="LIST", help="Cold tiers: absent, cached, warm."),
            click.option("--network", metavar="LIST", help="Network modes: bridge, host, none."),
            click.option(
                "--engine",
                metavar="NAME",
                help="The engine; with DOCKER_HOST or DOCKER_CONTEXT set, docker means yours.",
            ),
        )
    ):
        function = option(function)
    return function


def export_options(function: Command) -> Command:
    """``--export-FORMAT FILE`` for every format there is."""
    from coldstart.export.base import formats  # noqa: PLC0415  only commands that export pay for discovery

    for name in reversed(formats()):
        option = click.option(
            f"--export-{name}",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help=f"Write the samples there as {name}, as coldstart export does.",
        )
        function = option(function)
    return function


def bases_option(function: Command) -> Command:
    """Where base images come from."""
    option = click.option(
        "--bases",
        type=click.Choice(("auto", "upstream", "packages")),
        default="auto",
        show_default=True,
        help="Where base images come from; auto: from upstream where a registry can be reached, else from packages.",
    )
    return option(function)


def source_option(text: str) -> Callable[[Command], Command]:
    """Which source phases come from; ``text`` says what for."""
    return click.option(
        "--source", type=click.Choice(("auto", "trace", "proc", "engine")), default="auto", show_default=True, help=text
    )


def timeout_option(function: Command) -> Command:
    """How long a start may take."""
    return click.option(
        "--timeout",
        metavar="TIME",
        help="How long one start may take, from its request until it is ready, such as 30s. A create may take as long. "
        "A pull may take longer as long as it makes progress.",
    )(function)


def budget_option(function: Command) -> Command:
    """How long measuring may take in all."""
    return click.option(
        "--budget",
        metavar="TIME",
        help="Begin no block that would not end within this time, such as 40m. A start that hangs ends by --timeout, "
        "and after the budget no other is begun.",
    )(function)


def complete_run(ctx: click.Context, _param: click.Parameter, start: str) -> list[str]:
    """IDs of runs that begin so."""
    results = Path(ctx.params.get("results") or "results")
    return sorted(entry.parent.name for entry in results.glob(f"{glob.escape(start)}*/run.json"))


def results_option(function: Command) -> Command:
    """Where runs are."""
    option = click.option(
        "--results",
        type=click.Path(path_type=Path),
        default=Path("results"),
        show_default=True,
        metavar="DIR",
        help="Where runs are kept, and looked up by ID.",
    )
    return option(function)
