"""One platform, many names: Docker's ``linux/arm/v7`` is Debian's ``armhf`` and Alpine's ``armv7``."""

from __future__ import annotations

import platform as _host

from coldstart.errors import ImageBuildError, NotPublishedError

# Docker platform → (Debian architecture, Alpine architecture), after
# https://wiki.debian.org/SupportedArchitectures and https://wiki.alpinelinux.org/wiki/Requirements
_NAMES = {
    "linux/amd64": ("amd64", "x86_64"),
    "linux/386": ("i386", "x86"),
    "linux/arm64": ("arm64", "aarch64"),
    "linux/arm/v7": ("armhf", "armv7"),
    "linux/arm/v6": (None, "armhf"),
    "linux/ppc64le": ("ppc64el", "ppc64le"),
    "linux/riscv64": ("riscv64", "riscv64"),
    "linux/s390x": ("s390x", "s390x"),
}

_PYTHON_MACHINES = {
    "linux/amd64": "x86_64",
    "linux/386": "i686",
    "linux/arm64": "aarch64",
    "linux/arm/v7": "armv7l",
    "linux/ppc64le": "ppc64le",
    "linux/riscv64": "riscv64",
    "linux/s390x": "s390x",
}

_ALSO_RUN = {("amd64", "386"), ("arm64", "arm")}  # a 64-bit architecture, and its 32-bit one

BOOKWORM_GLIBC_MINOR = 36
"""Of glibc 2 in Debian bookworm, the oldest that a base has."""

_OLDEST_GLIBC_MINOR = 5  # https://peps.python.org/pep-0600: the oldest any wheel is for
_LEGACY_TAGS = {"x86_64": ("manylinux1", "manylinux2010", "manylinux2014")}  # PEP 600's names of 2.5, 2.12 and 2.17


def normalize(os_name: str, architecture: str, variant: str | None = None) -> str:
    """Docker's short form: arm64 is v8 and amd64 is v1 unless said otherwise, so neither is written.

    The rules are containerd's (``platforms/database.go``); a bare ``arm`` is v7 there.
    """
    if architecture == "arm":
        return f"{os_name}/arm/{variant or 'v7'}"
    plain = not variant or (architecture, variant) in {("arm64", "v8"), ("amd64", "v1")}
    return f"{os_name}/{architecture}" if plain else f"{os_name}/{architecture}/{variant}"


def runs_natively(platform: str | None, engine: str) -> bool:
    """Whether programs of ``platform`` run on an ``engine`` of that platform without an emulator.

    A newer CPU runs what was built for an older one (amd64/v3 counts: whether this CPU has it, only a start tells), and
    the 64-bit ones their 32-bit kind where the kernel has it: the order is containerd's (``platforms/compare.go``).
    What does not say what it is for is taken at its word.
    """
    if platform is None or platform == engine:
        return True
    ours, theirs = _parts(engine), _parts(platform)
    if theirs[0] != ours[0]:
        return False
    if theirs[1] == ours[1]:
        return ours[1] != "arm" or theirs[2] <= ours[2]
    return (ours[1], theirs[1]) in _ALSO_RUN


def _parts(platform: str) -> tuple[str, str, str]:
    """Operating system, architecture and variant, in full."""
    os_name, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    if architecture == "arm":
        return os_name, architecture, variant or "v7"
    return os_name, architecture, variant


def of_engine(architecture: str, machine: str | None = None) -> str:
    """The platform an engine runs natively, from its API's ``Arch`` (Go's names) and the kernel's machine name.

    The engine decides, not the kernel: a 32-bit engine on a 64-bit kernel is a 32-bit platform.
    """
    if architecture == "arm":
        return normalize("linux", "arm", "v6" if (machine or _host.machine()).startswith("armv6") else "v7")
    return normalize("linux", architecture)


def of_machine(machine: str | None = None) -> str:
    """The platform of a kernel's machine name, by default of this one: what an engine here would run."""
    name = machine or _host.machine()
    if name.startswith("armv6"):
        return "linux/arm/v6"
    return next((platform for platform, kernel in _PYTHON_MACHINES.items() if kernel == name), f"linux/{name}")


def of_facts(platform: str) -> str:
    """The platform an engine runs natively, from what it says of itself (``linux/arm``, as Go names them)."""
    os_name, _, architecture = platform.partition("/")
    return of_engine(architecture) if os_name == "linux" and "/" not in architecture else platform


def debian_architecture(platform: str) -> str:
    """Debian's name for ``platform``.

    Raises:
        NotPublishedError: Debian has no packages for it.
    """
    return _name(platform, 0, "Debian")


def of_debian(architecture: str) -> str:
    """The platform that Debian calls ``architecture``.

    Raises:
        ImageBuildError: none we know.
    """
    for platform, names in _NAMES.items():
        if names[0] == architecture:
            return platform
    raise ImageBuildError(f"no platform is known for Debian's {architecture}.")


def alpine_architecture(platform: str) -> str:
    """Alpine's name for ``platform``.

    Raises:
        NotPublishedError: Alpine has no packages for it.
    """
    return _name(platform, 1, "Alpine")


def python_machine(platform: str) -> str:
    """The machine's name in tags of wheels (PEP 600): the kernel's.

    Raises:
        NotPublishedError: nobody publishes wheels for it.
    """
    name = _PYTHON_MACHINES.get(platform)
    if name is None:
        raise NotPublishedError(f"nobody publishes wheels for {platform}: leave out the images that need some.")
    return name


def wheel_tags(platform: str, glibc_minor: int) -> list[str]:
    """Every platform tag of wheels that runs on ``platform`` with that glibc 2, as pip takes them (PEP 600).

    Raises:
        NotPublishedError: nobody publishes wheels for it.
    """
    machine = python_machine(platform)
    versions = [f"manylinux_2_{minor}" for minor in range(glibc_minor, _OLDEST_GLIBC_MINOR - 1, -1)]
    return [f"{name}_{machine}" for name in (*versions, *_LEGACY_TAGS.get(machine, ("manylinux2014",)), "linux")]


def _name(platform: str, column: int, distribution: str) -> str:
    name = _NAMES.get(platform, (None, None))[column]
    if name is None:
        raise NotPublishedError(
            f"{distribution} has no packages for {platform}: use --bases upstream where a registry can be reached."
        )
    return name
