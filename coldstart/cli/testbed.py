"""Start, look at and remove the isolated engine and registry that measuring happens on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from coldstart.testbed.lifecycle import TestbedStatus


@click.group()
def command() -> None:
    """The isolated engine and registry: nothing of this machine's own engine, firewall or services is touched."""


@command.command()
@click.option(
    "--add-runtime", "added", multiple=True, metavar="NAME=PATH", help="Offer one more OCI runtime (repeatable)."
)
@click.option(
    "--data-root", type=click.Path(path_type=Path), help="Keep the engine's data there: on the storage under test."
)
@click.option("--registry", metavar="HOST:PORT", help="Pull from that registry instead of one on this machine.")
def up(added: tuple[str, ...], data_root: Path | None, registry: str | None) -> None:
    """Start the testbed, or say that it is up; what a killed run left is removed first."""
    from coldstart.runner.place import sweep_kernel  # noqa: PLC0415  --help need not pay for it
    from coldstart.testbed import executables, lifecycle  # noqa: PLC0415
    from coldstart.testbed.config import TestbedConfig  # noqa: PLC0415

    config = TestbedConfig.from_environment(
        runtimes=dict(executables.parse_runtime(text) for text in added), data_root=data_root, registry=registry
    )
    lifecycle.up(config, _say)
    sweep_kernel(_say)
    _show(lifecycle.status(config.root))


@command.command()
@click.option("--purge", is_flag=True, help="Remove the registry's images too, which otherwise survive.")
def down(purge: bool) -> None:
    """Remove the testbed and everything it made; built images stay unless --purge."""
    from coldstart.runner.place import remove  # noqa: PLC0415  --help need not pay for it
    from coldstart.testbed import registry  # noqa: PLC0415
    from coldstart.testbed.config import TestbedConfig  # noqa: PLC0415

    config = TestbedConfig.from_environment()
    removed = remove(config.root, _say)
    _say(f"removed the testbed in {config.root}" if removed else f"there was no testbed in {config.root}")
    if purge:
        storage = config.registry_storage
        purged = registry.purge(storage)
        _say(f"removed the images in {storage}" if purged else f"there were no images in {storage}")


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
def status(as_json: bool) -> None:
    """Say whether the testbed is up, what it consists of, and who holds it."""
    from coldstart.testbed import lifecycle  # noqa: PLC0415  --help need not pay for it
    from coldstart.testbed.config import TestbedConfig, encode_record  # noqa: PLC0415

    found = lifecycle.status(TestbedConfig.from_environment().root)
    if as_json:
        click.echo(encode_record(found))
    else:
        _show(found)


def _show(found: TestbedStatus) -> None:
    facts = {"testbed": f"{found.state} in {found.root}", "problem": "; ".join(found.problems)}
    if testbed := found.testbed:
        facts |= {
            "engine": testbed.docker_host,
            "runtimes": ", ".join(f"{name} ({path})" for name, path in testbed.runtimes.items()),
            "data-root": f"{testbed.data_root} ({testbed.storage})",
            "registry": f"{testbed.registry_address} ({testbed.registry_link})",
            "images": str(testbed.registry_storage or ""),
            "log": str(testbed.engine_log),
            "up since": testbed.started_at,
        }
    facts["held by"] = str(found.holder or "")
    width = max(map(len, facts))
    for name, value in facts.items():
        if value:
            click.echo(f"{name:<{width}}  {value}")
    if found.problems:
        _say("repair it: coldstart testbed up, or remove it: coldstart testbed down")


def _say(message: str) -> None:
    click.echo(message, err=True)
