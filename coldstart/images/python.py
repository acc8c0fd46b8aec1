"""Python bases from Debian packages: with pip and compilers as ``python`` is, and the interpreter alone as its slim."""

from __future__ import annotations

import tarfile
from pathlib import Path

from coldstart.errors import ImageBuildError
from coldstart.images import debian
from coldstart.images.layers import LayerWriter, new_layer, plain_name, split
from coldstart.images.recipe import PATH_ENV, Parts, Progress, Recipe
from coldstart.model.image import Provenance

# What python:*-bookworm has by way of buildpack-deps, as far as building a package takes it.
_FULL = ("python3", "python3-pip", "python3-dev", "build-essential", "ca-certificates")
_SLIM = ("python3", "ca-certificates")

_INTERPRETER_BELOW = ("usr/lib/python3", "usr/bin/python3", "usr/bin/pip", "usr/share/python")

# A layer cannot keep every file's own time (the writer caps it), and bytecode that names another time than its source's
# is compiled again at every start. Bytecode that is never compared with its source is always the same, and always used.
_COMPILE = (
    'chroot "$1" sh -c \'PYTHONHASHSEED=0 python3 -m compileall -q -f --invalidation-mode unchecked-hash '
    '$(python3 -c "import sysconfig; print(sysconfig.get_path(\\"stdlib\\"))") /usr/lib/python3/dist-packages\''
)


def make_full(work: Path, platform: str, progress: Progress) -> Parts:
    """A minbase system with Python, pip and a C toolchain."""
    return _make(work, platform, progress, _FULL, "Python {} with pip and compilers")


def make_slim(work: Path, platform: str, progress: Progress) -> Parts:
    """A minbase system with Python alone."""
    return _make(work, platform, progress, _SLIM, "Python {}")


FULL = Recipe("1", make_full)
SLIM = Recipe("1", make_slim)


def version_in(packages: tuple[str, ...]) -> str:
    """The interpreter's minor version among ``name=version`` packages.

    Raises:
        ImageBuildError: none of them is ``python3``.
    """
    for package in packages:
        name, _, version = package.partition("=")
        if name == "python3":
            return ".".join(version.split(".")[:2])
    raise ImageBuildError("the packages of a Python base have no python3; use --bases upstream.")


def _make(work: Path, platform: str, progress: Progress, include: tuple[str, ...], what: str) -> Parts:
    """Two layers, the system's and the interpreter's: other images of the suite have neither."""
    system = debian.bootstrap(work, platform, progress, include=include, finish=_COMPILE)
    facts = debian.facts_of(system)
    base, interpreter = work / "python-os.tar", work / "python-interpreter.tar"
    with new_layer(base) as base_writer, new_layer(interpreter) as interpreter_writer:

        def sink(member: tarfile.TarInfo) -> LayerWriter | None:
            if debian.is_dropped(member.name):
                return None
            return interpreter_writer if plain_name(member.name).startswith(_INTERPRETER_BELOW) else base_writer

        split(system, sink)
        debian.add_sources(base_writer, facts.suite)
    packages = debian.packages_of(facts.status)
    version = version_in(packages)
    return Parts(
        layers=((base, "mmdebstrap --variant=minbase"), (interpreter, "python3")),
        config={"Env": [PATH_ENV], "Cmd": ["python3"]},
        provenance=Provenance(
            what=f"{what.format(version)} on Debian {facts.version} minbase",
            source=f"Debian packages, {facts.suite}, by mmdebstrap",
            packages=packages,
        ),
        python=version,
    )
