"""Egress from the engine's network namespace, for builds: there while asked for, gone before measuring."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from coldstart.errors import RegistryUnreachableError, TestbedError
from coldstart.testbed import processes, registry, shell
from coldstart.testbed.config import Layout, Testbed
from coldstart.testbed.executables import find, search_path
from coldstart.units import NS_PER_S

_DEVICE = "tap0"
_OPTIONS = ("--configure", "--mtu=65520", "--netns-type=path")
_READY_TIMEOUT_S = 10
_END_TIMEOUT_S = 10
_POLL_S = 0.05


@contextmanager
def egress(testbed: Testbed) -> Iterator[None]:
    """Give the engine and its containers a way out (user-mode NAT, DNS at 10.0.2.3) for the block.

    slirp4netns watches a pipe that only we hold: if we are killed, the way out closes too. A testbed with an external
    registry has it all the time, and keeps it.

    Raises:
        TestbedError: slirp4netns is missing or did not come up.
    """
    if testbed.registry_netns is None:
        yield
        return
    exit_read, exit_write = os.pipe()
    ready_read, ready_write = os.pipe()
    log = testbed.engine_log.with_name("egress.log")
    try:
        with log.open("ab") as output:
            process = _start(testbed, exit_read, ready_write, output.fileno())
        os.close(exit_read)
        os.close(ready_write)
        exit_read = ready_write = -1
        try:
            if not select.select([ready_read], [], [], _READY_TIMEOUT_S)[0] or os.read(ready_read, 1) != b"1":
                raise TestbedError(f"slirp4netns did not come up. Its log ends:{shell.tail(log)}")
            yield
        finally:
            _end(process)
    finally:
        for descriptor in {exit_read, exit_write, ready_read, ready_write} - {-1}:
            os.close(descriptor)


def start_permanent(layout: Layout, address: str, path: str) -> None:
    """Give the engine a way out until ``down``, and wait until the external registry can be reached by it.

    Raises:
        RegistryUnreachableError: it cannot.
    """
    shell.spawn(
        ["slirp4netns", *_OPTIONS, layout.engine_netns, _DEVICE],
        tag=processes.tag(layout, processes.EGRESS),
        path=path,
        home=layout.run,
        log=layout.log / "egress.log",
    )
    deadline_ns = time.monotonic_ns() + _READY_TIMEOUT_S * NS_PER_S
    while True:
        try:
            registry.check_external(layout.engine_netns, address)
        except RegistryUnreachableError:
            if time.monotonic_ns() > deadline_ns:
                raise
            time.sleep(_POLL_S)
        else:
            return


def _start(testbed: Testbed, exit_fd: int, ready_fd: int, output: int) -> subprocess.Popen[bytes]:
    path = search_path()
    executable = find("slirp4netns", path)
    if executable is None:
        raise TestbedError("building needs slirp4netns, which is not installed. Run scripts/setup.")
    layout = Layout.of(testbed.root)
    return subprocess.Popen(
        [
            *(executable, *_OPTIONS, f"--exit-fd={exit_fd}", f"--ready-fd={ready_fd}"),
            *(testbed.engine_netns, _DEVICE),
        ],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={"PATH": path, shell.TAG: processes.tag(layout, processes.EGRESS)},
        pass_fds=[exit_fd, ready_fd],
        start_new_session=True,
        cwd="/",
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
