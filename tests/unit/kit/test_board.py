"""A kit on a board: refused where it does not fit, else laid out for apt and pip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from coldstart import __version__
from coldstart.errors import InputFileError, InvalidEnvironmentError
from coldstart.images import platforms
from coldstart.kit import board as module
from coldstart.kit.board import refuse_unfit, this_board, unpack_kit
from coldstart.kit.bundle import Manifest, Target, write

BOARD = Target(architecture="arm64", release="bookworm", python="3.11")
MANIFEST = Manifest(coldstart=__version__, platform="linux/arm64", target=BOARD)
PATH = Path("kit.tar")


@pytest.mark.parametrize(
    ("differing", "what"),
    [
        (replace(BOARD, architecture="amd64"), "is for architecture arm64, and this board has amd64.*linux/amd64"),
        (replace(BOARD, release="trixie"), "is for release bookworm, and this board has trixie.*--release trixie"),
        (replace(BOARD, python="3.12"), r"is for Python 3\.11, and this board has 3\.12"),
    ],
)
def test_a_kit_for_another_board_is_refused_with_the_command_that_saves_a_fitting_one(
    differing: Target, what: str
) -> None:
    with pytest.raises(InputFileError, match=rf"kit\.tar: {what}"):
        refuse_unfit(PATH, MANIFEST, differing)


def test_a_kit_of_another_coldstart_is_refused() -> None:
    with pytest.raises(InputFileError, match=r"saved by coldstart 9\.9, and this is .*same version on both"):
        refuse_unfit(PATH, replace(MANIFEST, coldstart="9.9"), BOARD)


def test_a_file_of_images_is_no_kit() -> None:
    with pytest.raises(InputFileError, match="holds images only"):
        refuse_unfit(PATH, replace(MANIFEST, target=None), BOARD)


def test_a_kit_is_laid_out_for_apt_and_pip(tmp_path: Path) -> None:
    for name in ("wheels/a.whl", "debs/Packages"):
        (tmp_path / "parts" / name).parent.mkdir(parents=True)
        (tmp_path / "parts" / name).write_text(name)
    write(tmp_path / "kit.tar", MANIFEST, tmp_path / "parts")
    unpack_kit(tmp_path / "kit.tar", tmp_path / "kit", BOARD)
    assert (tmp_path / "kit" / "wheels" / "a.whl").is_file()
    assert (tmp_path / "kit" / "sources.list").read_text() == f"deb [trusted=yes] file:{tmp_path}/kit/debs ./\n"
    assert f'Dir::Etc::sourcelist "{tmp_path}/kit/sources.list";' in (tmp_path / "kit" / "apt.conf").read_text()


def test_a_kit_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    write(tmp_path / "kit.tar", MANIFEST, tmp_path / "parts")
    with pytest.raises(InputFileError):
        unpack_kit(tmp_path / "kit.tar", tmp_path / "kit", replace(BOARD, release="trixie"))
    assert not (tmp_path / "kit").exists()


def test_a_machine_that_is_no_debian_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(InvalidEnvironmentError, match="kits are for Debian"):
        this_board()


def test_the_board_names_platforms_as_images_do() -> None:
    assert {platforms.of_debian(name): name for name in module._PLATFORMS} == {
        platform: name for name, platform in module._PLATFORMS.items()
    }
