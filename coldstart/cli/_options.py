"""Command-line options shared by commands, and how their text becomes values."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from coldstart.errors import InputFileError, UsageError
from coldstart.model.options import ContainerOptions
from coldstart.units import parse_bytes

_CPU_LIST = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")

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


def container_command() -> tuple[str, ...]:
    """What followed ``--``."""
    command: tuple[str, ...] = click.get_current_context().meta.get(__name__, ())
    return command


def container_options(function: Command) -> Command:
    """Docker's own options for the containers to start, under Docker's names."""
    for option in reversed(
        (
            click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="Set an environment variable."),
            click.option("--env-file", multiple=True, type=Path, metavar="FILE", help="Read environment variables."),
            click.option("-v", "--volume", multiple=True, metavar="HOST:PATH[:ro]", help="Bind-mount a host folder."),
            click.option("--device", multiple=True, metavar="HOST[:PATH[:rwm]]", help="Give access to a device."),
            click.option("--memory", metavar="SIZE", help="Memory limit, such as 512m."),
            click.option("--cpus", type=float, metavar="N", help="CPU limit, such as 0.5."),
            click.option("--cpuset-cpus", metavar="LIST", help="CPUs to run on, such as 0-1."),
            click.option(
                "--egress",
                is_flag=True,
                default=None,
                help="A way out of the testbed, for an app that needs other networks.",
            ),
        )
    ):
        function = option(function)
    return function


def factor_options(function: Command) -> Command:
    """The factors whose levels a run can replace, each a comma list."""
    for option in reversed(
        (
            click.option("--runtime", metavar="LIST", help="OCI runtimes, such as runc,crun."),
            click.option("--workload", metavar="LIST", help="Workloads of the catalogue, or folders of one's own."),
            click.option("--variant", metavar="LIST", help="Image variants, such as alpine,distroless."),
            click.option("--tier", metavar="LIST", help="Cold tiers: absent, cached, warm."),
            click.option("--network", metavar="LIST", help="Network modes: bridge, host, none."),
            click.option("--engine", metavar="NAME", help="The engine; with DOCKER_HOST set, docker means yours."),
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


def parse_container_options(said: Mapping[str, Any], command: tuple[str, ...]) -> ContainerOptions:
    """The values of `container_options`, by their names, and the container's command as a record.

    Raises:
        UsageError: a value the engine would refuse, named with its option.
    """
    entries = [entry for path in said["env_file"] for entry in _env_file(path)]
    entries += [_checked_env(entry, "--env") for entry in said["env"]]
    for mount in said["volume"]:
        if ":" not in mount or not mount.startswith("/"):
            raise UsageError(f"--volume {mount!r}: write an absolute host folder and a path, such as /data:/data:ro.")
    for device in said["device"]:
        if not device.startswith("/"):
            raise UsageError(f"--device {device!r}: write a device's path, such as /dev/gpiomem.")
    cpus, memory, cpuset = said["cpus"], said["memory"], said["cpuset_cpus"]
    if cpuset is not None and not _CPU_LIST.fullmatch(cpuset):
        raise UsageError(f"--cpuset-cpus {cpuset!r}: write CPU numbers and ranges, such as 0-1 or 0,2.")
    if cpus is not None and not 0 < cpus <= 4096:
        raise UsageError(f"--cpus {cpus}: a limit is more than 0, such as 0.5.")
    return ContainerOptions(
        env=tuple(entries),
        volumes=tuple(said["volume"]),
        devices=tuple(said["device"]),
        memory_bytes=None if memory is None else _checked_memory(memory),
        cpus=cpus,
        cpuset_cpus=cpuset,
        command=command,
    )


def _env_file(path: Path) -> list[str]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"--env-file {path}", f"cannot be read ({error}).") from error
    return [
        _checked_env(line.strip(), f"{path}:{number}")
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]


def _checked_env(entry: str, where: str) -> str:
    name, equals, _ = entry.partition("=")
    if not equals or not name or any(character.isspace() for character in name):
        raise UsageError(f"{where}: {entry!r} is no environment variable; write NAME=value.")
    return entry


def _checked_memory(text: str) -> int:
    try:
        limit_bytes = parse_bytes(text)
    except UsageError as error:
        raise UsageError(f"--memory: {error}") from error
    if limit_bytes < 6 * 1024 * 1024:  # the least dockerd accepts
        raise UsageError(f"--memory {text}: Docker's least is 6m.")
    return limit_bytes
