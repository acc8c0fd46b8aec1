"""Wheels: by hash, for the image's own Python, once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from coldstart.errors import ImageBuildError, NotPublishedError
from coldstart.images import processes
from coldstart.images.bases import Base, BaseRecord
from coldstart.images.wheels import ensure_wheels, interpreter
from coldstart.model.image import Provenance

PLATFORM = "linux/amd64"
WHEEL = b"a wheel"


class Pip:
    """Stands for pip: brings one wheel, or fails."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.complaint = ""

    def run(self, argv: Sequence[str], **_: object) -> str:
        self.calls.append(list(argv))
        if self.complaint:
            raise processes.ToolFailedError(f"pip failed: {self.complaint}", self.complaint)
        folder = Path(argv[argv.index("--dest") + 1])
        folder.mkdir()
        (folder / "a-1-py3-none-any.whl").write_bytes(WHEEL)
        return ""

    def after(self, option: str) -> list[str]:
        """What the last call gave that option."""
        last = self.calls[-1]
        return [value for name, value in pairwise(last) if name == option]


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Pip:
    pip = Pip()
    monkeypatch.setattr(processes, "run", pip.run)
    return pip


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text(f"a==1 --hash=sha256:{hashlib.sha256(WHEEL).hexdigest()}\n")
    return path


def _wheels(tmp_path: Path, requirements: Path, python: str = "3.11", platform: str = PLATFORM) -> tuple[Path, ...]:
    return ensure_wheels(tmp_path / "cache", [requirements], python, platform, lambda _: None)


def _base(name: str, python: str | None) -> Base:
    record = BaseRecord(
        name=name,
        tag=f"coldstart-base/{name}:packages",
        image_id="sha256:1",
        platform=PLATFORM,
        provenance=Provenance(what=name, source="s"),
        python=python,
    )
    return Base(record=record, archive=Path(name))


@pytest.mark.usefixtures("pip")
def test_wheels_are_handed_over_by_their_paths(tmp_path: Path, requirements: Path) -> None:
    (wheel,) = _wheels(tmp_path, requirements)
    assert (wheel.name, wheel.read_bytes()) == ("a-1-py3-none-any.whl", WHEEL)


def test_cached_wheels_need_no_network(tmp_path: Path, pip: Pip, requirements: Path) -> None:
    first = _wheels(tmp_path, requirements)
    pip.complaint = "no network"
    assert _wheels(tmp_path, requirements) == first


def test_a_damaged_wheel_is_fetched_again(tmp_path: Path, pip: Pip, requirements: Path) -> None:
    (wheel,) = _wheels(tmp_path, requirements)
    wheel.write_bytes(b"damaged")
    (again,) = _wheels(tmp_path, requirements)
    assert (again.read_bytes(), len(pip.calls)) == (WHEEL, 2)


@pytest.mark.parametrize("changed", [{"python": "3.13"}, {"platform": "linux/arm64"}])
def test_another_python_or_platform_has_wheels_of_its_own(
    tmp_path: Path, pip: Pip, requirements: Path, changed: dict[str, str]
) -> None:
    _wheels(tmp_path, requirements)
    _wheels(tmp_path, requirements, **changed)
    assert len(pip.calls) == 2


def test_changed_requirements_have_wheels_of_their_own(tmp_path: Path, pip: Pip, requirements: Path) -> None:
    _wheels(tmp_path, requirements)
    requirements.write_text(requirements.read_text() + "# more\n")
    _wheels(tmp_path, requirements)
    assert len(pip.calls) == 2


def test_only_wheels_with_a_known_hash_are_taken(tmp_path: Path, pip: Pip, requirements: Path) -> None:
    _wheels(tmp_path, requirements)
    assert {"--require-hashes", "--only-binary=:all:", "--no-deps"} <= set(pip.calls[-1])


def test_wheels_are_those_of_the_images_machine(tmp_path: Path, pip: Pip, requirements: Path) -> None:
    _wheels(tmp_path, requirements, "3.13", "linux/arm64")
    assert pip.after("--python-version") == ["3.13"]
    assert "manylinux2014_aarch64" in pip.after("--platform")
    assert all(tag.endswith("_aarch64") for tag in pip.after("--platform"))


def test_a_platform_without_a_wheel_is_told_with_its_python(tmp_path: Path, pip: Pip, requirements: Path) -> None:
    pip.complaint = "ERROR: No matching distribution found for a==1"
    with pytest.raises(NotPublishedError, match=r"requirements\.txt: no wheel for Python 3\.11 on linux/amd64"):
        _wheels(tmp_path, requirements)


def test_any_other_failure_of_pip_is_told_as_it_is(tmp_path: Path, pip: Pip, requirements: Path) -> None:
    pip.complaint = "no network"
    with pytest.raises(ImageBuildError, match="pip failed: no network"):
        _wheels(tmp_path, requirements)


def test_a_failure_leaves_nothing_in_the_cache(tmp_path: Path, pip: Pip, requirements: Path) -> None:
    pip.complaint = "no network"
    with pytest.raises(ImageBuildError):
        _wheels(tmp_path, requirements)
    assert not (tmp_path / "cache" / "wheels").exists()


def test_the_interpreter_is_that_of_the_bases() -> None:
    assert interpreter("app", [_base("golang", None), _base("python", "3.11"), _base("python-slim", "3.11")]) == "3.11"


def test_bases_with_different_pythons_are_refused_by_name() -> None:
    with pytest.raises(ImageBuildError, match=r"python 3\.11, python-slim 3\.13"):
        interpreter("app", [_base("python", "3.11"), _base("python-slim", "3.13")])


def test_wheels_without_a_python_base_are_refused() -> None:
    with pytest.raises(ImageBuildError, match="workload app needs wheels, and none of its bases has Python"):
        interpreter("app", [_base("golang", None)])
