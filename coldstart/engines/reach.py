"""From where an engine's containers can be reached: our network namespace, another one, or not at all.

An address is only as good as the namespace it is asked in: containers of a rootless Docker or of a virtual machine
have addresses that something else may have here, and that would answer in their place.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from coldstart.engines.daemons import daemon_pids
from coldstart.engines.netns import inside

_DAEMONS = {"dockerd", "balenad"}  # those whose bridges are in their own network namespace
_RELEASE = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(.*)", re.ASCII)


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """``netns`` is where to open sockets (``None``: here); with ``by_container`` it is each container's own.

    ``obstacle`` says why containers cannot be reached; ``is_here`` whether they run on this machine, under this kernel.
    """

    netns: Path | None = None
    by_container: bool = False
    obstacle: str | None = None
    is_here: bool = True


def reach(docker_socket: Path, kernel: str | None, proc: Path = Path("/proc")) -> Reach:
    """How to reach the containers of the Docker that answers on a Unix socket and runs under ``kernel``."""
    here = os.uname().release
    if kernel is not None and _normal(kernel) != _normal(here):
        return Reach(
            obstacle=f"its containers run under another kernel ({kernel}, here {here}), as in a virtual machine",
            is_here=False,
        )
    dockerd = next((pid for pid in daemon_pids(docker_socket)[:1] if _name(pid, proc) in _DAEMONS), None)
    if dockerd is None:
        if os.geteuid() == 0:
            return Reach(by_container=True)
        return Reach(obstacle="its daemon cannot be seen from here, and only root may enter a container's network")
    if _network_of(dockerd, proc) == _network_of("self", proc):
        return Reach()
    netns = proc / str(dockerd) / "ns" / "net"
    try:
        with inside(netns):
            return Reach(netns=netns)
    except OSError as error:
        return Reach(
            obstacle=f"its containers are in another network namespace, as of a rootless Docker ({error.strerror})"
        )


def container_netns(container_id: str, pid: int | None, proc: Path = Path("/proc")) -> Path | None:
    """The network namespace of a container's process; ``None`` if that process is not the container's.

    A process number may be another machine's. A container's own names it in its control groups, or in what it mounts
    over /etc/hosts.
    """
    for file in ("cgroup", "mountinfo"):
        try:
            if pid is not None and container_id in (proc / str(pid) / file).read_text(errors="replace"):
                return proc / str(pid) / "ns" / "net"
        except OSError:
            continue
    return None


def _normal(release: str) -> str:
    """A kernel's release as Docker writes it: with three numbers."""
    match = _RELEASE.fullmatch(release)
    return release if match is None else "{}.{}.{}{}".format(*(part or "0" for part in match.groups()[:3]), match[4])


def _name(pid: int, proc: Path) -> str | None:
    try:
        return (proc / str(pid) / "comm").read_text().strip()
    except OSError:
        return None


def _network_of(pid: int | str, proc: Path) -> int | None:
    """A number that two processes share if they share a network namespace.

    ns/net is for root; the inode of a file below net is the namespace's, too, and anybody may ask for it.
    """
    try:
        return (proc / str(pid) / "net" / "dev").stat().st_ino
    except OSError:
        return None
