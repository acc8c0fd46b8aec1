"""``coldstart trace``: what it refuses before anything is started."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from coldstart.errors import UsageError
from coldstart.runner import place, prepare
from tests.unit.cli.conftest import Run
from tests.unit.runner.test_prepare import make_place


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--runtime", "runc,crun"), "one start has one runtime, one tier and one network"),
        (("--tier", "warm,cached"), "to compare some: coldstart run"),
        (("--tier", "cold"), "unknown tier 'cold'"),
        (("--network", "brigde"), "did you mean 'bridge'?"),
        (("--image", "x:1"), "needs --ready"),
        (("--image", "x:1", "--ready", "http:80/", "--variant", "alpine"), "--image and --variant exclude each other"),
        (("--ready", "http:0/"), "needs the container's port"),
        (("--svg", "/nowhere/at/all.svg"), "there is no folder /nowhere/at"),
        (("--memory", "1m"), "Docker's least is 6m"),
        (("--platform", "linux/arm64"), "--platform goes with --image"),
        (("--image", "a:b", "--ready", "exit", "--bases", "packages"), "--bases is for catalogue images and folders"),
    ],
)
def test_what_makes_no_sense_ends_with_2_and_one_message(
    coldstart: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert coldstart("trace", *arguments) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_a_machine_without_an_engine_is_told_what_would_help(
    coldstart: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("coldstart.engines.own_docker.DEFAULT_SOCKET", f"unix://{tmp_path}/none.sock")
    assert coldstart("trace") == 4
    assert "Run scripts/setup as root, or start Docker and set DOCKER_HOST" in capsys.readouterr().err


def test_the_platform_that_was_asked_for_is_that_of_the_image_taken_in(
    coldstart: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_place: object, reference: str, platform: str | None, _progress: object) -> None:
        raise UsageError(f"{reference} for {platform}")

    monkeypatch.setattr(prepare, "_ad_hoc_image", refuse)
    monkeypatch.setattr(place, "open_place", lambda *_, **__: nullcontext(make_place()))
    assert coldstart("trace", "--image", "x:1", "--ready", "exit", "--platform", "linux/arm64") == 2
    assert "x:1 for linux/arm64" in capsys.readouterr().err
