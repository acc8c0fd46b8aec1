"""Python bases: which packages, which layers, which version."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from coldstart.errors import ImageBuildError
from coldstart.images import debian, python
from coldstart.images.recipe import Parts

STATUS = b"Package: python3\nVersion: 3.11.2-1+b1\n"


class Bootstrap:
    """Stands for mmdebstrap: a system of a few files."""

    def __init__(self) -> None:
        self.included: Sequence[str] = ()
        self.finish = ""

    def __call__(self, work: Path, *_: object, include: Sequence[str], finish: str) -> Path:
        self.included, self.finish = include, finish
        with tarfile.open(work / "system.tar", "w") as tar:
            for name, content in {
                "./usr/bin/env": b"",
                "./usr/bin/python3.11": b"",
                "./usr/lib/python3.11/os.py": b"",
                "./var/lib/dpkg/status": STATUS,
                "./etc/hostname": b"",
            }.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return work / "system.tar"


@pytest.fixture
def bootstrap(monkeypatch: pytest.MonkeyPatch) -> Bootstrap:
    bootstrap = Bootstrap()
    monkeypatch.setattr(debian, "bootstrap", bootstrap)
    return bootstrap


def _slim(tmp_path: Path) -> Parts:
    return python.make_slim(tmp_path, "linux/amd64", lambda _: None)


@pytest.mark.usefixtures("bootstrap")
def test_the_interpreter_has_a_layer_of_its_own(tmp_path: Path) -> None:
    names = []
    for layer, _ in _slim(tmp_path).layers:
        with tarfile.open(layer) as tar:
            names.append(tar.getnames())
    assert names == [
        ["usr/bin/env", "var/lib/dpkg/status", "etc/apt/sources.list"],
        ["usr/bin/python3.11", "usr/lib/python3.11/os.py"],
    ]


@pytest.mark.usefixtures("bootstrap")
def test_the_parts_say_which_python_it_is(tmp_path: Path) -> None:
    parts = _slim(tmp_path)
    assert (parts.python, parts.provenance.packages) == ("3.11", ("python3=3.11.2-1+b1",))


def test_the_full_base_alone_has_pip_and_a_compiler(tmp_path: Path, bootstrap: Bootstrap) -> None:
    _slim(tmp_path)
    slim = set(bootstrap.included)
    python.make_full(tmp_path, "linux/amd64", lambda _: None)
    assert set(bootstrap.included) - slim == {"python3-pip", "python3-dev", "build-essential"}


def test_bytecode_is_never_compared_with_times_that_a_layer_does_not_keep(tmp_path: Path, bootstrap: Bootstrap) -> None:
    _slim(tmp_path)
    assert "--invalidation-mode unchecked-hash" in bootstrap.finish


def test_packages_without_python_are_refused() -> None:
    with pytest.raises(ImageBuildError, match="no python3"):
        python.version_in(("bash=5",))
