"""Which processes are an engine's daemons, found from the socket they answer on."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

_CONTAINERD = "containerd"
_CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
_CONNECT_TIMEOUT_S = 1
_PID_FILE = Path("/var/run/docker.pid")  # dockerd's own default


def daemon_pids(docker_socket: Path, proc: Path = Path("/proc")) -> tuple[int, ...]:
    """Dockerd, then its containerd: its child, or else the machine's; those that cannot be told are left out.

    Under systemd the socket is init's own, since that made it listen; dockerd's pid file tells then.
    """
    dockerd = listener_pid(docker_socket)
    if dockerd in {None, 1}:
        dockerd = _written_pid(_PID_FILE)
    if dockerd is None:
        return ()
    containerd = _child_named(dockerd, _CONTAINERD, proc) or listener_pid(_CONTAINERD_SOCKET)
    return (dockerd,) if containerd in {None, 1} else (dockerd, containerd)


def listener_pid(path: Path | str) -> int | None:
    """Who listens on a Unix socket (SO_PEERCRED, unix(7)); ``None`` if nobody, or it is not for us to ask.

    A name that begins with a NUL is an abstract one.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as asking:
        asking.settimeout(_CONNECT_TIMEOUT_S)  # a listener that accepts nobody has a backlog that fills up
        try:
            asking.connect(str(path))
            pid, _, _ = struct.unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        except OSError:
            return None
    return int(pid) or None  # 0: in a process namespace we cannot see


def _child_named(parent: int, name: str, proc: Path) -> int | None:
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            text = (folder / "stat").read_text(errors="replace")
        except OSError:
            continue
        command, _, rest = text.partition("(")[2].rpartition(")")
        if command == name and int(rest.split()[1]) == parent:
            return int(folder.name)
    return None


def _written_pid(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
