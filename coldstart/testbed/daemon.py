"""The private dockerd: its configuration, its mount and network namespace, its start."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterable, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import Any

import msgspec

from coldstart.errors import TestbedError
from coldstart.testbed import cgroups, mounts, processes, shell
from coldstart.testbed.config import OWN_PLACES, REGISTRY_NETWORK, RESOLVER, Layout
from coldstart.testbed.marker import MARKER
from coldstart.units import NS_PER_S

_READY_TIMEOUT_NS = 90 * NS_PER_S  # an SD card's first start takes its time
_POLL_S = 0.02
_PING_TIMEOUT_S = 5

_MODPROBE = """\
#!/bin/sh
# dockerd asks for br_netfilter, which would put the host's own bridges behind iptables.
for name do
    shift
    [ "$name" = br_netfilter ] || set -- "$@" "$name"
done
PATH=${PATH#*:}
exec modprobe "$@"
"""


_FOLLOW = """\
# Where the host's mounts are private, its unmounts do not reach this namespace by themselves: a stick that was
# unmounted and pulled would stay in use here. Each line names what the host has unmounted.
while read -r point; do
    case $point in
        *\\\\*) point=$(printf %s "$point" | sed 's/\\\\x20/ /g; s/\\\\x5c/\\\\/g') ;;
    esac
    case $point in
        {kept}) continue ;;
    esac
    umount -l -- "$point" 2>/dev/null
done
"""


def config(layout: Layout, data_root: Path, registry_address: str, runtimes: Mapping[str, Path]) -> dict[str, Any]:
    """The configuration file of dockerd.

    runc is left out: dockerd keeps that name for itself and refuses it here. Images are kept by the classic store on
    every version, for its layers are folders and its log has each layer's steps.
    """
    return {
        "debug": True,
        "hosts": [f"unix://{layout.socket}"],
        "pidfile": str(layout.run / "docker.pid"),
        "data-root": str(data_root),
        "exec-root": str(layout.exec_root),
        "cgroup-parent": f"/{layout.name}",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "insecure-registries": [registry_address, REGISTRY_NETWORK],
        "dns": [RESOLVER],
        "features": {"containerd-snapshotter": False},
        "runtimes": {name: {"path": str(path)} for name, path in runtimes.items() if name != "runc"},
    }


def script(layout: Layout, table: Iterable[mounts.Mount]) -> str:
    """What runs inside the new mount namespace, before dockerd and as it: every step is invisible to the host.

    The host's unmounts reach it: by propagation where the host's mounts are shared, else by `_FOLLOW`.
    It sees no AppArmor, whose docker-default profile it would load into the host's kernel and leave there.
    /run is empty there: no other engine's containerd, no firewalld to hand our rules to, our own xtables lock.
    /etc and /opt take what dockerd and containerd write into them (key.json, bin, lib) in memory only.
    """
    table = tuple(table)
    over = "/run/coldstart-over"
    lines = ["set -e"]
    lines += [f"umount -l {shlex.quote(str(point))} 2>/dev/null || :" for point in foreign_mounts(layout, table)]
    if cgroups.version(table) == "hybrid":  # crun refuses hybrid hierarchies
        lines += [f"umount {shlex.quote(str(point))}" for point in cgroups.points(table, "cgroup2")]
    lines += [f"umount -l {shlex.quote(str(point))}" for point in cgroups.points(table, "securityfs")]
    lines += [f"mount -t tmpfs -o mode=755 {layout.name} /run"]
    for name in ("etc", "opt"):
        layers = f"lowerdir=/{name},upperdir={over}/{name}/upper,workdir={over}/{name}/work"
        lines += [
            f"mkdir -p {over}/{name}/upper {over}/{name}/work",
            f"[ ! -d /{name} ] || mount -t overlay -o {layers} coldstart /{name}",
        ]
    lines += ["rm -f /etc/resolv.conf", f"echo nameserver {RESOLVER} > /etc/resolv.conf"]
    follow = f"{shell.TAG}={processes.tag(layout, processes.TOOL)} setsid --fork sh"  # no child of dockerd's
    lines += [f"{follow} {shlex.quote(str(layout.run / 'follow.sh'))} <> {shlex.quote(str(_unmounted(layout)))}"]
    config_file = shlex.quote(str(layout.run / "daemon.json"))
    lines += [f"exec nsenter --net={shlex.quote(str(layout.engine_netns))} dockerd --config-file {config_file}"]
    return "\n".join(lines) + "\n"


def follow_script(layout: Layout, data_root: Path) -> str:
    """What undoes the host's mounts in the engine's namespace as the host undoes them.

    Places that are the engine's own there, and what its data lie on, stay.
    """
    own = [Path(name) for name in (*OWN_PLACES, str(layout.root), str(data_root))]
    kept = [pattern for place in own for pattern in (shlex.quote(str(place)), f"{shlex.quote(str(place))}/*")]
    above = [shlex.quote(str(folder)) for place in (layout.root, data_root) for folder in place.parents]
    return _FOLLOW.format(kept="|".join(dict.fromkeys([*kept, *above])))


def _unmounted(layout: Layout) -> Path:
    """A pipe that carries the names of what the host unmounts."""
    return layout.run / "unmounted"


def _watch_unmounts(layout: Layout, path: str) -> None:
    """Begin to name what the host unmounts from here on."""
    os.mkfifo(_unmounted(layout), 0o600)
    # Opened for both, so that neither end waits for the other.
    watch = 'exec findmnt --poll=umount --noheadings --raw --output TARGET <> "$0" >&0'
    shell.spawn(
        ["sh", "-c", watch, _unmounted(layout)],
        tag=processes.tag(layout, processes.TOOL),
        path=path,
        home=layout.run,
        log=layout.log / "unmounts.log",
    )


def foreign_mounts(layout: Layout, table: Iterable[mounts.Mount]) -> tuple[Path, ...]:
    """Mounts of other testbeds: a private copy of them would keep their disk and namespaces alive beyond their end."""
    foreign = []
    for mount in table:
        holders = (folder for folder in (mount.point, *mount.point.parents) if _holds_marker(folder))
        if any(holder != layout.root for holder in holders) and not mount.point.is_relative_to(layout.root):
            foreign.append(mount.point)
    return tuple(reversed(foreign))


def _holds_marker(folder: Path) -> bool:
    """Not where nobody may look: a bpf filesystem refuses names with a dot, and a server may be gone."""
    return os.path.isfile(folder / MARKER)  # noqa: PTH113  Path's own raises on such refusals


def start(layout: Layout, *, data_root: Path, registry_address: str, runtimes: Mapping[str, Path], path: str) -> None:
    """Start dockerd in namespaces of its own; `wait_ready` tells whether it came up."""
    configuration = config(layout, data_root, registry_address, runtimes)
    (layout.run / "daemon.json").write_bytes(msgspec.json.format(msgspec.json.encode(configuration)))
    (layout.run / "engine.sh").write_text(script(layout, mounts.read()))
    (layout.run / "follow.sh").write_text(follow_script(layout, data_root))
    tools = layout.run / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "modprobe").write_text(_MODPROBE)
    (tools / "modprobe").chmod(0o755)
    _watch_unmounts(layout, path)
    shell.spawn(
        ["unshare", "--mount", "--propagation", "slave", "sh", layout.run / "engine.sh"],
        tag=processes.tag(layout, processes.ENGINE),
        path=f"{tools}:{path}",
        home=layout.run,
        log=engine_log(layout),
    )


def engine_log(layout: Layout) -> Path:
    """Where dockerd writes its debug log."""
    return layout.log / "dockerd.log"


def wait_ready(layout: Layout) -> None:
    """Return once the engine answers.

    Raises:
        TestbedError: it ended, or is silent; with the end of its log.
    """
    deadline_ns = time.monotonic_ns() + _READY_TIMEOUT_NS
    while not answers(layout.socket):
        alive = processes.has_role(layout, processes.ENGINE)
        if not alive or time.monotonic_ns() > deadline_ns:
            how = "is not ready after 90 s" if alive else "ended at its start"
            raise TestbedError(f"the testbed's dockerd {how}. Its log ends:{shell.tail(engine_log(layout))}")
        time.sleep(_POLL_S)


def answers(docker_socket: Path) -> bool:
    """Whether an engine answers on that socket."""
    connection = _UnixConnection(docker_socket)
    try:
        connection.request("GET", "/_ping")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_PING_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the path."""
        self.sock = socket(AF_UNIX, SOCK_STREAM)
        self.sock.settimeout(_PING_TIMEOUT_S)
        self.sock.connect(str(self._path))
