"""What this machine can measure, asked of everything that measuring will ask."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from coldstart.engines.http import Connection
from coldstart.engines.own_docker import own_docker
from coldstart.engines.runtimes import runtime_facts
from coldstart.errors import EngineUnreachableError, TestbedError
from coldstart.model.board import Abilities
from coldstart.model.cell import Tier
from coldstart.testbed import executables
from coldstart.testbed.quiet import wait_until_quiet
from coldstart.trace import tracefs
from coldstart.trace.base import WatchingUnavailableError
from coldstart.trace.connector import ConnectorWatcher


def abilities(calibration: str | None) -> Abilities:
    """Ask root, executables, sources and engines; nothing is started or changed. ``calibration`` is what is known."""
    path = executables.search_path()
    testbed = _testbed_obstacle(path)
    own = None if testbed is None else _own_engine()
    elsewhere = None if testbed is None else "this engine's layers and registry are not ours to see"
    return Abilities(
        testbed=testbed,
        own_engine=own,
        runtimes=tuple(runtime_facts(name, str(where)) for name, where in executables.runtimes({}, path).items()),
        sources={
            "trace": _refusal(lambda: tracefs.Instance().close()),
            "proc": _refusal(lambda: ConnectorWatcher().close()),
        },
        tiers={tier.value: elsewhere if tier is not Tier.WARM else None for tier in Tier},
        busy=wait_until_quiet(timeout_ns=0).busy_fraction,
        calibration=calibration,
    )


def _testbed_obstacle(path: str) -> str | None:
    if os.geteuid() != 0:
        return "it needs root"
    try:
        executables.require(None, path)
    except TestbedError as error:
        return str(error)
    return None


def _own_engine() -> str | None:
    own = own_docker()
    try:
        with closing(Connection(own.url, timeout_s=5)) as asking:
            asking.request("GET", "/_ping")
    except EngineUnreachableError:
        return None
    return f"Docker at {own}"


def _refusal(attempt: Callable[[], None]) -> str | None:
    """Why a source is not to be had; ``None`` if it is."""
    try:
        attempt()
    except WatchingUnavailableError as error:
        return str(error)
    return None


def data_root() -> Path:
    """Where the engine's data would be."""
    from coldstart.testbed.config import TestbedConfig  # noqa: PLC0415  only this asks the environment

    return TestbedConfig.from_environment().root
