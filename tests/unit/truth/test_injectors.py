"""The injectors' folder: names, delays, stamps."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.model.sample import Phase
from coldstart.model.truth import Arm, Stamp
from coldstart.truth.injectors import SETTLE_NS, Toolbox


@pytest.fixture
def toolbox(tmp_path: Path) -> Toolbox:
    made = Toolbox(tmp_path / "inject", {"runc": Path("/usr/sbin/runc")}, Path("/usr/bin/unpigz"))
    made.install(b"program")
    return made


def told(toolbox: Toolbox, word: str) -> list[list[str]]:
    """What follows the word in each of its lines."""
    lines = (toolbox.folder / "inject.conf").read_text().splitlines()
    return [line.split(" ")[1:] for line in lines if line.startswith(f"{word} ")]


def test_one_program_stands_under_every_name(toolbox: Toolbox) -> None:
    names = {path.name: path.read_bytes() for path in toolbox.folder.iterdir() if path.is_file()}
    assert {name for name, content in names.items() if content == b"program"} == {"inject", "inject-runc", "unpigz"}
    assert (toolbox.folder / "inject").stat().st_mode & 0o777 == 0o755


def test_the_engine_is_offered_the_runtimes_alone(toolbox: Toolbox) -> None:
    assert toolbox.runtimes == {"inject-runc": toolbox.folder / "inject-runc"}


def test_each_name_is_told_what_it_stands_for(toolbox: Toolbox) -> None:
    assert told(toolbox, "real") == [["inject-runc", "/usr/sbin/runc"], ["unpigz", "/usr/bin/unpigz"]]


def test_without_a_decompressor_none_is_stood_in_for(tmp_path: Path) -> None:
    made = Toolbox(tmp_path / "inject", {"runc": Path("/usr/sbin/runc")}, None)
    made.install(b"")
    assert not (made.folder / "unpigz").exists()


def test_nothing_is_delayed_at_first(toolbox: Toolbox) -> None:
    assert told(toolbox, "delay") == []


@pytest.mark.parametrize("point", [Phase.UNPACK, Phase.RUNTIME_CREATE, Phase.RUNTIME_START])
def test_wrappers_are_told_by_the_file(toolbox: Toolbox, point: Phase) -> None:
    arm = Arm(runtime="runc", point=point, delay_ns=5)
    toolbox.tell(arm)
    assert told(toolbox, "delay") == [[str(point), "5"]]
    assert toolbox.environment(arm) == toolbox.environment(Arm(runtime="runc"))


@pytest.mark.parametrize(
    ("point", "name"), [(Phase.APP_START, "INJECT_APP_START_NS"), (Phase.RESPOND, "INJECT_RESPOND_NS")]
)
def test_the_app_is_told_by_its_environment(toolbox: Toolbox, point: Phase, name: str) -> None:
    arm = Arm(runtime="runc", point=point, delay_ns=5)
    toolbox.tell(arm)
    assert f"{name}=5" in toolbox.environment(arm)
    assert told(toolbox, "delay") == []


def test_a_delay_of_the_proxy_is_told_to_nobody_here(toolbox: Toolbox) -> None:
    arm = Arm(runtime="runc", point=Phase.DOWNLOAD, delay_ns=5)
    toolbox.tell(arm)
    assert (told(toolbox, "delay"), toolbox.environment(arm)) == ([], toolbox.environment(Arm(runtime="runc")))


@pytest.mark.parametrize("point", [None, Phase.DOWNLOAD, Phase.RUNTIME_CREATE, Phase.RESPOND])
def test_every_arm_settles_for_as_long_as_the_control_arm(toolbox: Toolbox, point: Phase | None) -> None:
    arm = Arm(runtime="runc", point=point, delay_ns=5)
    toolbox.tell(arm)
    assert told(toolbox, "settle") == [[str(SETTLE_NS)]]
    assert f"INJECT_SETTLE_NS={SETTLE_NS}" in toolbox.environment(arm)


def test_the_app_stamps_into_the_same_file_as_the_wrappers(toolbox: Toolbox) -> None:
    outside, inside = toolbox.volume.split(":")
    variable, *_ = toolbox.environment(Arm(runtime="runc"))
    stamps = Path(told(toolbox, "stamps")[0][0])
    assert (str(stamps.parent), variable) == (outside, f"INJECT_STAMPS={inside}/{stamps.name}")


def test_stamps_are_read_until_the_next_trial_is_told(toolbox: Toolbox) -> None:
    before = toolbox.stamps()
    Path(told(toolbox, "stamps")[0][0]).write_text('{"phase":"unpack","start_ns":1,"end_ns":3}\n')
    assert (before, toolbox.stamps()) == ((), (Stamp(phase=Phase.UNPACK, start_ns=1, end_ns=3),))
    toolbox.tell(Arm(runtime="runc"))
    assert toolbox.stamps() == ()


def test_installing_again_forgets_what_was_there(toolbox: Toolbox) -> None:
    (toolbox.folder / "old").write_text("")
    toolbox.install(b"other")
    assert not (toolbox.folder / "old").exists()
    assert (toolbox.folder / "inject-runc").read_bytes() == b"other"
