"""What of the host a testbed could have changed, as text: two snapshots are compared line by line.

``python -m tests.engine.host_snapshot`` prints one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_DOCKERS_OWN = (
    *("/var/lib/docker", "/var/lib/containerd", "/etc/docker", "/etc/containerd", "/etc/resolv.conf"),
    *("/run/docker", "/run/docker.sock", "/run/docker.pid", "/run/containerd", "/run/netns", "/opt/containerd"),
)
# Counters and clocks among the sysctls, which move by themselves.
_MOVING = ("random/", "fs/dentry-state", "fs/file-nr", "fs/inode-nr", "fs/inode-state", "fs/quota/", "ns_last_pid")
_MOVING_ENDS = ("nf_conntrack_count",)


# What a testbed runs; other people's commands come and go by themselves.
_DAEMONS = ("dockerd", "docker-proxy", "docker-registry", "registry", "containerd", "slirp4netns", "runc", "crun")


def take() -> tuple[str, ...]:
    """Every line of the snapshot, sorted within its kind."""
    return tuple(f"{kind}: {line}" for kind, lines in _kinds() for line in sorted(set(lines)))


def difference(before: tuple[str, ...], after: tuple[str, ...]) -> list[str]:
    """Lines that went and lines that came, but for sysctls of kernel modules that were first needed in between."""
    names = {_sysctl_name(line) for line in before}
    came = [line for line in after if line not in before and _sysctl_name(line) in {None, *names}]
    return [f"- {line}" for line in before if line not in after] + [f"+ {line}" for line in came]


def _sysctl_name(line: str) -> str | None:
    return line.partition(" = ")[0] if line.startswith("sysctl: ") else None


def _kinds() -> Iterator[tuple[str, Iterator[str]]]:
    yield "link", _said("ip", "-o", "link")
    yield "address", _said("ip", "-o", "address")
    yield "route", _said("ip", "route", "show", "table", "all")
    yield "netns", _said("ip", "netns", "list")
    for tables in ("iptables-legacy-save", "ip6tables-legacy-save", "iptables-nft-save", "ip6tables-nft-save"):
        yield f"firewall ({tables})", _rules(tables)
    yield "sysctl", _sysctls()
    yield "mount", _mounts()
    yield "cgroup", _cgroups()
    yield "process", _processes()
    yield "docker's own", _files(_DOCKERS_OWN)
    yield "loop device", _loops()
    yield "AppArmor profile", iter(_lines(Path("/sys/kernel/security/apparmor/profiles")))


def _said(*argv: str) -> Iterator[str]:
    if shutil.which(argv[0]) is None:
        return
    yield from subprocess.run(argv, capture_output=True, text=True, check=False).stdout.splitlines()


def _rules(program: str) -> Iterator[str]:
    for line in _said(program):
        if not line.startswith("#"):
            yield line.partition(" [")[0]  # without the packet counters


def _sysctls() -> Iterator[str]:
    root = Path("/proc/sys")
    for folder in ("net", "kernel", "vm", "fs"):
        for path in (root / folder).rglob("*"):
            name = str(path.relative_to(root))
            if not path.is_file() or any(part in name for part in _MOVING) or name.endswith(_MOVING_ENDS):
                continue
            try:
                yield f"{name} = {' '.join(path.read_text(errors='replace').split())}"
            except OSError:
                continue  # write-only


def _mounts() -> Iterator[str]:
    for line in _lines(Path("/proc/self/mountinfo")):
        fields = line.split(" ")
        yield f"{fields[4]} {line.partition(' - ')[2]}"


def _cgroups() -> Iterator[str]:
    for mount in _lines(Path("/proc/self/mounts")):
        _, point, kind, *_ = mount.split(" ")
        if kind in {"cgroup", "cgroup2"}:
            for folder, _, files in os.walk(point):
                given = Path(folder, "cgroup.subtree_control") if "cgroup.subtree_control" in files else None
                yield f"{folder} gives {given.read_text().strip() if given else '-'}"


def _processes() -> Iterator[str]:
    ours = {os.getpid(), os.getppid()}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) in ours:
            continue
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if Path(command.partition(" ")[0]).name.startswith(_DAEMONS):
            yield command


def _files(paths: tuple[str, ...]) -> Iterator[str]:
    for path in map(Path, paths):
        if not os.path.lexists(path):
            yield f"{path} is absent"
        elif path.is_dir():
            yield from (f"{entry} {entry.lstat().st_size}" for entry in path.rglob("*"))
        else:
            yield f"{path} {path.lstat().st_size}"


def _loops() -> Iterator[str]:
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        yield f"{backing.parent.parent.name} {backing.read_text().strip()}"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


if __name__ == "__main__":
    sys.stdout.write("\n".join([*take(), ""]))
