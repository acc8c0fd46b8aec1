"""Testbeds made by hand, and programs that stand for the machine's."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coldstart.testbed import processes
from coldstart.testbed.config import LOCAL_LINK, REGISTRY_ADDRESS, Layout, ProcessRef, Testbed
from coldstart.testbed.shell import TAG


def make_testbed(root: Path, **fields: Any) -> Testbed:
    """A testbed in ``root`` with a registry of its own, runc and crun; its processes are none unless given."""
    layout = Layout.of(root)
    defaults: dict[str, Any] = {
        "id": layout.id,
        "root": layout.root,
        "docker_socket": layout.socket,
        "engine_netns": layout.engine_netns,
        "registry_netns": layout.registry_netns,
        "registry_address": REGISTRY_ADDRESS,
        "registry_link": LOCAL_LINK,
        "registry_storage": layout.root / "registry",
        "registry_log": layout.log / "registry.log",
        "engine_log": layout.log / "dockerd.log",
        "data_root": layout.data,
        "storage": "directory on journaled ext4",
        "loop_device": None,
        "loop_mount": None,
        "cgroup_parent": f"/{layout.name}",
        "runtimes": {"runc": Path("/usr/bin/runc"), "crun": Path("/usr/bin/crun")},
        "processes": (),
        "started_at": "2026-11-24T05:15:30+00:00",
    }
    return Testbed(**{**defaults, **fields})


def reference_to(pid: int, role: str | None = None) -> ProcessRef:
    """A live process, as the testbed refers to it."""
    _, start_ticks, name = processes._stat(Path(f"/proc/{pid}"))
    return ProcessRef(pid=pid, start_ticks=start_ticks, name=name, role=role)


def signal_and_wait(pid: int, number: signal.Signals) -> None:
    """Stop or kill a child of ours, and return once it is."""
    os.kill(pid, number)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


def add_program(folder: Path, name: str, text: str = "#!/bin/sh\n") -> Path:
    """An executable file."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(text)
    program.chmod(0o755)
    return program


@contextmanager
def tagged(layout: Layout, role: str, *argv: str | Path) -> Iterator[int]:
    """Run a program (``sleep`` by default) that carries the testbed's mark; its process id. It is ended at the end."""
    words = argv or ("sleep", "600")
    environment = {**os.environ, TAG: processes.tag(layout, role)}
    child = subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        if argv:
            child.stdout.readline()  # it says when it is ready
        yield child.pid
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
