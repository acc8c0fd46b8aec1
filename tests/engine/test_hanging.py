"""Engines, daemons and runtimes that hang: a run ends in time, names what hangs, and leaves none of it for the next."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from coldstart.engines.daemons import condition_of
from coldstart.images.bases import BaseSource, ensure_base
from coldstart.images.host import engine_client, platform_of
from coldstart.model.sample import Outcome
from coldstart.testbed import lifecycle, processes
from coldstart.testbed.config import Layout, Testbed, TestbedConfig
from tests.engine.command_line import Cli

pytestmark = pytest.mark.engine

ROOT = Path("/var/lib/coldstart-test-hanging")
SECONDS = 1_000_000_000


@pytest.fixture(scope="module")
def hanging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI runtime that never ends a create; all else it has done by runc."""
    program = tmp_path_factory.mktemp("runtime") / "hang"
    program.write_text(
        '#!/bin/sh\nfor word; do [ "$word" = create ] && exec sleep 1000; done\nexec /usr/sbin/runc "$@"\n'
    )
    program.chmod(0o755)
    return program


@pytest.fixture
def bed(testbed_config: TestbedConfig, hanging: Path) -> Iterator[Testbed]:
    """A testbed of its own, up and whole, that has that runtime besides."""
    config = msgspec.structs.replace(testbed_config, root=ROOT, runtimes={"hang": hanging})
    yield lifecycle.up(config, lambda _: None)
    lifecycle.down(ROOT, lambda _: None)


@pytest.fixture
def cli(bed: Testbed, tmp_path: Path) -> Cli:
    """The command line on it."""
    return Cli(bed, tmp_path / "results")


@pytest.fixture
def job(bed: Testbed, testbed_config: TestbedConfig) -> tuple[str, ...]:
    """A job that is ready when it has ended, at once; runtime, number and limit are to be added."""
    with engine_client(bed.docker_host) as client:
        platform = platform_of(client)
    base = ensure_base(testbed_config.cache, "alpine", platform, BaseSource.AUTO, lambda _: None)
    return ("--image", str(base.archive), "--ready", "exit", "--tier", "warm", "-w", "0", "--network", "none")


def _pid(name: str) -> int:
    return next(ref.pid for ref in processes.find(Layout.of(ROOT)) if ref.name == name)


def _ended_in(process: subprocess.Popen[str], seconds: float) -> tuple[int, str]:
    """The exit code and messages of a run that ends by itself in that time."""
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        _, said = process.communicate()
        pytest.fail(f"still running after {seconds} s: {said}")
    assert "Traceback" not in said
    return process.returncode, said


def test_a_runtime_that_hangs_is_a_failed_start_in_time_and_leaves_nothing(cli: Cli, job: tuple[str, ...]) -> None:
    code, said = _ended_in(cli.start(*job, "--runtime", "hang", "-n", "1", "--timeout", "5s", "--", "true"), 90)
    (sample,) = cli.samples()
    assert (code, sample.outcome) == (4, Outcome.START_FAILED), said
    assert "no answer within 5 s, though the engine answers other requests" in (sample.reason or "")
    assert not [ref for ref in processes.find(Layout.of(ROOT)) if ref.name.startswith(("containerd-shim", "sleep"))]
    code, said = _ended_in(cli.start(*job, "--runtime", "runc", "-n", "1", "--", "true"), 90)
    assert code == 0, said


def test_one_sigterm_ends_a_run_whose_start_hangs(cli: Cli, job: tuple[str, ...]) -> None:
    running = cli.start(*job, "--runtime", "hang", "-n", "1", "--timeout", "10m", "--", "true")
    _until(lambda: any(ref.name == "sleep" for ref in processes.find(Layout.of(ROOT))))
    running.send_signal(signal.SIGTERM)
    assert _ended_in(running, 60)[0] == 130
    code, said = _ended_in(cli.start(*job, "--runtime", "runc", "-n", "1", "--", "true"), 90)
    assert code == 0, said


@pytest.mark.parametrize("name", ["dockerd", "containerd"])
def test_a_daemon_that_is_stopped_ends_the_run_by_name_and_up_starts_it_anew(
    cli: Cli, job: tuple[str, ...], testbed_config: TestbedConfig, hanging: Path, name: str
) -> None:
    running = cli.start(*job, "--runtime", "runc", "-n", "200", "--timeout", "5s", "--", "true")
    assert running.stderr is not None
    next(line for line in running.stderr if line.startswith("[  2/"))
    pid = _pid(name)
    os.kill(pid, signal.SIGSTOP)
    code, said = _ended_in(running, 120)
    assert (code, cli.samples()[-1].outcome) == (4, Outcome.ENGINE_LOST), said
    assert f"{name} (process {pid}) is stopped. Start the testbed anew: coldstart testbed up" in said.splitlines()[-1]
    lifecycle.up(msgspec.structs.replace(testbed_config, root=ROOT, runtimes={"hang": hanging}), lambda _: None)
    assert condition_of(pid) == "is gone"
    code, said = _ended_in(cli.start(*job, "--runtime", "runc", "-n", "1", "--", "true"), 90)
    assert code == 0, said


def test_one_interrupt_ends_a_run_whose_engine_hangs(cli: Cli, job: tuple[str, ...]) -> None:
    running = cli.start(*job, "--runtime", "runc", "-n", "200", "--timeout", "10m", "--", "true")
    assert running.stderr is not None
    next(line for line in running.stderr if line.startswith("[  2/"))
    os.kill(_pid("dockerd"), signal.SIGSTOP)
    time.sleep(1)
    running.send_signal(signal.SIGINT)
    assert _ended_in(running, 60)[0] == 130


def test_a_testbed_all_of_whose_daemons_are_stopped_is_removed_in_time(bed: Testbed) -> None:
    for name in ("dockerd", "containerd", "docker-registry"):
        os.kill(_pid(name), signal.SIGSTOP)
    begin_ns = time.monotonic_ns()
    assert lifecycle.down(bed.root, lambda _: None)
    assert time.monotonic_ns() - begin_ns < 60 * SECONDS
    assert processes.find(Layout.of(ROOT)) == ()


def _until(condition: object) -> None:
    assert callable(condition)
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("it did not come to that within 60 s")
