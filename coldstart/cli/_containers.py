"""Options of ``docker run`` on our command line: taken under Docker's names, or refused by name with the reason."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from coldstart.decoding import read_named
from coldstart.errors import InputFileError, UsageError
from coldstart.model.options import ContainerOptions
from coldstart.plan.containers import WrittenOptions, checked_env, passed_on, read_options

Command = TypeVar("Command", bound=Callable[..., Any])

# Parameter (as WrittenOptions has it), how it is written, the value's name (None: a flag), help. Lists may be repeated.
_TEXTS = (
    ("memory", ("-m", "--memory"), "SIZE", "Memory limit, such as 512m."),
    ("cpuset_cpus", ("--cpuset-cpus",), "LIST", "CPUs to run on, such as 0-1."),
    ("user", ("-u", "--user"), "USER[:GROUP]", "Whom the container runs as."),
    ("entrypoint", ("--entrypoint",), "PROGRAM", "In place of the image's; its CMD is left out, too."),
    ("workdir", ("--workdir",), "PATH", "Working folder in the container."),
    ("hostname", ("--hostname",), "NAME", "The container's host name."),
    ("shm_size", ("--shm-size",), "SIZE", "Size of /dev/shm, such as 256m."),
)
_LISTS = (
    ("env", ("-e", "--env"), "NAME[=VALUE]", "Set an environment variable; NAME alone passes yours on."),
    ("volumes", ("-v", "--volume"), "HOST:PATH[:ro]", "Bind-mount a file or folder of this machine."),
    ("mounts", ("--mount",), "SPEC", "The same as type=bind,source=…,target=…, or a tmpfs."),
    ("devices", ("--device",), "HOST[:PATH[:rwm]]", "Give access to a device."),
    ("tmpfs", ("--tmpfs",), "PATH[:OPTIONS]", "Mount a tmpfs."),
    ("cap_add", ("--cap-add",), "NAME", "Add a capability."),
    ("cap_drop", ("--cap-drop",), "NAME", "Drop a capability."),
    ("security_opt", ("--security-opt",), "NAME=VALUE", "A security option, such as seccomp=FILE."),
    ("ulimits", ("--ulimit",), "NAME=SOFT[:HARD]", "A resource limit, such as nofile=4096."),
    ("add_hosts", ("--add-host",), "NAME:ADDRESS", "Add a line to /etc/hosts."),
    ("dns", ("--dns",), "ADDRESS", "A name server."),
    ("dns_options", ("--dns-opt", "--dns-option"), "NAME[:N]", "An option of the resolver, such as ndots:1."),
    ("labels", ("-l", "--label"), "NAME=VALUE", "Label the container."),
)
_FLAGS = (
    ("read_only", ("--read-only",), "Make the root filesystem read-only."),
    ("init", ("--init",), "Run docker-init as process 1."),
    ("privileged", ("--privileged",), "Give the container every capability and device."),
)
_ALWAYS = (("-d", "--detach"), ("--rm",))  # what every measured container is, whether it is asked for or not
_NOT_REPEATED = "it is not among the container options that a run stores and repeats. Leave it out."
_PORTS = (
    "no port needs to be published. Network probes ask the container's own address, for docker-proxy accepts at a "
    "published port before the app listens. Leave it out."
)
_TERMINAL = "a measured start has no terminal and no input. Leave it out."
_REFUSED_VALUES = {
    ("-p", "--publish"): _PORTS,
    ("--name",): "every start creates a container of its own, and the engine names them. Leave it out.",
    ("--restart",): "each start is measured once: a container that ends is an outcome. Leave it out.",
    ("--gpus",): (
        "register the vendor's runtime instead: coldstart testbed up --add-runtime "
        "nvidia=/usr/bin/nvidia-container-runtime, then --runtime nvidia -e NVIDIA_VISIBLE_DEVICES=all."
    ),
    ("--net",): "write --network bridge, host or none.",
    ("--pull",): "the cold tier decides what is pulled: --tier absent, cached or warm.",
    **dict.fromkeys(
        (
            *(
                ("--link",),
                ("--volumes-from",),
                ("--volume-driver",),
                ("--pid",),
                ("--ipc",),
                ("--uts",),
                ("--userns",),
            ),
            *(
                ("--cgroup-parent",),
                ("--cgroupns",),
                ("--log-driver",),
                ("--log-opt",),
                ("--sysctl",),
                ("--group-add",),
            ),
            *(
                ("--pids-limit",),
                ("--memory-swap",),
                ("--memory-reservation",),
                ("-c", "--cpu-shares"),
                ("--cpu-quota",),
            ),
            *(("--cpu-period",), ("--cpuset-mems",), ("--blkio-weight",), ("--health-cmd",), ("--health-interval",)),
            *(
                ("--stop-signal",),
                ("--stop-timeout",),
                ("--expose",),
                ("--ip",),
                ("--network-alias",),
                ("--dns-search",),
            ),
            *(("--domainname",), ("--oom-score-adj",), ("--cidfile",), ("--label-file",), ("--device-cgroup-rule",)),
            *(("-a", "--attach"), ("--storage-opt",), ("--isolation",), ("--mac-address",)),
        ),
        _NOT_REPEATED,
    ),
}
_REFUSED_FLAGS = {
    ("-i", "--interactive"): _TERMINAL,
    ("-t", "--tty"): _TERMINAL,
    ("-P", "--publish-all"): _PORTS,
    ("--no-healthcheck",): _NOT_REPEATED,
    ("--oom-kill-disable",): _NOT_REPEATED,
}
PARAMETERS = ("env_file", "cpus", *(name for name, *_ in (*_TEXTS, *_LISTS, *_FLAGS)))
"""What `docker_options` adds to a command's parameters."""


def docker_options(function: Command) -> Command:
    """Add them all to a command."""
    options: list[Callable[[Command], Command]] = [
        *(
            click.option(*written, name, multiple=True, metavar=value, help=text)
            for name, written, value, text in _LISTS
        ),
        click.option("--env-file", multiple=True, type=Path, metavar="FILE", help="Read environment variables."),
        *(click.option(*written, name, metavar=value, help=text) for name, written, value, text in _TEXTS),
        click.option("--cpus", type=float, metavar="N", help="CPU limit, such as 0.5."),
        *(click.option(*written, name, is_flag=True, default=None, help=text) for name, written, text in _FLAGS),
        *(
            click.option(*written, _unnamed(written), is_flag=True, hidden=True, expose_value=False)
            for written in _ALWAYS
        ),
        *(_refused(written, why, is_flag=False) for written, why in _REFUSED_VALUES.items()),
        *(_refused(written, why, is_flag=True) for written, why in _REFUSED_FLAGS.items()),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def parse_container_options(said: Mapping[str, Any], command: tuple[str, ...]) -> ContainerOptions:
    """The values of `docker_options`, by their parameters' names, and the container's command as a record.

    Raises:
        UsageError: a value the engine would refuse, named with its option.
    """
    entries = [entry for path in said.get("env_file") or () for entry in _env_file(path)]
    entries += [passed_on(entry, "--env") for entry in said.get("env") or ()]
    given = {name: said[name] for name in WrittenOptions.__struct_fields__ if said.get(name) not in (None, ())}
    lists = {name: tuple(given[name]) for name, *_ in _LISTS if name in given}
    written = WrittenOptions(**{**given, **lists, "env": tuple(entries), "command": command})
    return read_options(written, _option_of)


def _option_of(name: str) -> str:
    if name == "cpus":
        return "--cpus"
    return next(written[-1] for other, written, *_ in (*_TEXTS, *_LISTS, *_FLAGS) if other == name)


def _refused(written: tuple[str, ...], why: str, *, is_flag: bool) -> Callable[[Command], Command]:
    def refuse(_ctx: click.Context, _param: click.Parameter, value: object) -> None:
        if value not in (None, False, ()):
            raise UsageError(f"{written[-1]}: {why}")

    taken: dict[str, Any] = {"is_flag": True} if is_flag else {"multiple": True}
    return click.option(*written, _unnamed(written), hidden=True, expose_value=False, callback=refuse, **taken)


def _unnamed(written: tuple[str, ...]) -> str:
    """A parameter's name that no command has one of its own by."""
    return f"docker_{written[-1].strip('-').replace('-', '_')}"


def _env_file(path: Path) -> list[str]:
    """As Docker reads it: a byte order mark and returns are dropped, values are kept to their last space."""
    try:
        lines = read_named(path).decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"--env-file {path}", f"cannot be read ({error}).") from error
    entries = []
    for number, line in enumerate(lines, start=1):
        entry = line.removesuffix("\r").lstrip()
        if not entry or entry.startswith("#"):
            continue
        if "=" in entry:
            entries.append(checked_env(entry, f"{path}:{number}"))
        elif (value := os.environ.get(entry.strip())) is not None:
            entries.append(checked_env(f"{entry.strip()}={value}", f"{path}:{number}"))
        else:
            checked_env(entry.strip(), f"{path}:{number}")
    return entries
