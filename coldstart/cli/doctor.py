"""What can this machine measure, and what would spoil it?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from coldstart.cli._extras import can_report
from coldstart.cli._options import results_option
from coldstart.errors import EXIT_ENVIRONMENT

if TYPE_CHECKING:
    from coldstart.model.board import BoardFacts, Finding

_MARKS = {"good": "ok", "note": "note", "spoils": "SPOILS", "blocks": "CANNOT"}


@click.command()
@results_option
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
def command(results: Path, as_json: bool) -> None:
    """Look at the machine: CPUs, power, heat, storage, memory, kernel, engine, runtimes, sources.

    For each thing that would spoil a measurement there is a verdict and a remedy. Nothing is started or changed. Ends
    with 4 if nothing could be measured here.
    """
    import msgspec  # noqa: PLC0415  --help need not pay for it

    from coldstart.analyse.fitness import findings  # noqa: PLC0415
    from coldstart.model.board import Level  # noqa: PLC0415
    from coldstart.runner.doctor import abilities, data_root  # noqa: PLC0415
    from coldstart.testbed.board import board_facts  # noqa: PLC0415

    board = board_facts(data_root())
    found_abilities = abilities(_calibration(results, board))
    found = findings(board, found_abilities)
    if as_json:
        record = {"board": board, "abilities": found_abilities, "findings": found}
        click.echo(msgspec.json.format(msgspec.json.encode(record), indent=2).decode())
    else:
        _print(board, found)
    if any(finding.level is Level.BLOCKS for finding in found):
        raise click.exceptions.Exit(EXIT_ENVIRONMENT)


def _calibration(results: Path, board: BoardFacts) -> str | None:
    """What is known of gates on this kind of machine; analysis' packages may be missing here."""
    if not can_report():
        return None
    from coldstart.analyse.calibration import host_class  # noqa: PLC0415  heavy, and perhaps not installed
    from coldstart.report.calibration import load_calibration, summary  # noqa: PLC0415

    calibration = load_calibration(results, host_class(board.host))
    return None if calibration is None else summary(calibration)


def _print(board: BoardFacts, found: tuple[Finding, ...]) -> None:
    host = board.host
    click.echo(f"{host.board or host.machine}: {host.cpu_model or 'unknown CPU'}, {host.cpus} CPUs, {host.machine}")
    click.echo(
        f"{host.os_name or 'unknown system'}, kernel {host.kernel}, cgroup {host.cgroup}, {host.page_bytes} byte pages"
    )
    width = max(len(finding.name) for finding in found)
    for finding in found:
        click.echo(f"{_MARKS[finding.level]:<6}  {finding.name:<{width}}  {finding.what}")
        if finding.remedy:
            click.echo(f"{'':<6}  {'':<{width}}  → {finding.remedy}")
