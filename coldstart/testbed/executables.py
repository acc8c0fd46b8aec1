"""What this machine has to run: executables by name, never packages."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from coldstart.errors import TestbedError, UsageError

# Daemons live in sbin, which a user's PATH often lacks.
_EXTRA_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_ENGINE_NEEDS = {
    "dockerd": "docker.io",
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "runc": "runc",
    "docker-proxy": "docker.io",
    "iptables": "iptables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setsid": "util-linux",
    "mount": "mount",
    "umount": "mount",
}
_REGISTRY_NAMES = ("docker-registry", "registry")
_RUNTIMES = ("crun", "youki", "runsc", "kata-runtime")
_RUNTIME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


def search_path(environ: Mapping[str, str] = os.environ) -> str:
    """PATH with the folders that daemons are installed in."""
    folders = [folder for folder in environ.get("PATH", "").split(":") if folder.startswith("/")]
    return ":".join(dict.fromkeys([*folders, *_EXTRA_PATH]))


def find(name: str, path: str) -> Path | None:
    """The executable of that name, absolute; ``None`` if the machine has none."""
    found = shutil.which(name, path=path)
    return Path(found).absolute() if found else None


def require(external_registry: str | None, path: str) -> dict[str, Path]:
    """Everything a testbed starts, by name; our own registry, whatever it is called here, as ``registry``.

    Raises:
        TestbedError: names all that is missing, and how to get it.
    """
    found = {name: find(name, path) for name in _ENGINE_NEEDS}
    packages = dict(_ENGINE_NEEDS)
    if external_registry is None:
        found["registry"] = next((hit for name in _REGISTRY_NAMES if (hit := find(name, path))), None)
        packages["registry"] = "docker-registry"
    else:
        found["slirp4netns"] = find("slirp4netns", path)
        packages["slirp4netns"] = "slirp4netns"
    missing = [name for name, where in found.items() if where is None]
    if missing:
        wanted = " ".join(dict.fromkeys(packages[name] for name in missing))
        raise TestbedError(
            f"the testbed needs executables this machine lacks: {', '.join(missing)}. Run scripts/setup (it starts no "
            f"service), or install the Debian packages {wanted} and repeat."
        )
    return {name: where for name, where in found.items() if where is not None}


def runtimes(added: Mapping[str, Path], path: str) -> dict[str, Path]:
    """Every OCI runtime to offer, by name: runc, which is the engine's own, then those installed, then ``added``."""
    installed = {name: where for name in ("runc", *_RUNTIMES) if (where := find(name, path))}
    return {**installed, **added}


def parse_runtime(text: str) -> tuple[str, Path]:
    """Read ``NAME=PATH`` of an OCI runtime to add.

    Raises:
        UsageError: not of that form, a name the engine keeps for itself, or nothing executable at the path.
    """
    name, equals, where = text.partition("=")
    if not equals or not where or not _RUNTIME_NAME.fullmatch(name):
        raise UsageError(f"--add-runtime {text!r}: write NAME=PATH, such as crun-1.28=/opt/crun-1.28/bin/crun.")
    if name == "runc":
        raise UsageError(f"--add-runtime {text!r}: the engine keeps the name runc for its own. Choose another name.")
    path = Path(where).absolute()
    if not path.is_file() or not os.access(path, os.X_OK):
        raise UsageError(f"--add-runtime {text!r}: {path} is not an executable file.")
    return name, path
