"""Volumes and devices, against the machine and against what the engine sees of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from coldstart.engines.base import Capability
from coldstart.engines.fake import FakeEngine
from coldstart.errors import UsageError
from coldstart.model.options import ContainerOptions
from coldstart.runner.mounts import check_mounts


class Watched(FakeEngine):
    """A fake engine whose daemon is process 7."""

    def daemons(self) -> tuple[int, ...]:
        return (7, 8)


class Theirs(Watched):
    """One that is not ours alone."""

    capabilities = FakeEngine.capabilities - {Capability.PRIVATE}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Process 7's root folder, which is this machine's."""
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "root").symlink_to("/")
    return tmp_path


@pytest.fixture
def other_root(tmp_path: Path) -> Path:
    """Process 7's root folder, with an /etc and nothing else."""
    (tmp_path / "7" / "root" / "etc").mkdir(parents=True)
    (tmp_path / "7" / "root" / "etc" / "passwd").touch()
    (tmp_path / "7" / "root" / "etc" / "resolv.conf").touch()
    return tmp_path


def volumes(*entries: str) -> ContainerOptions:
    return ContainerOptions(volumes=entries)


def test_what_both_see_alike_is_mounted(root: Path, tmp_path: Path) -> None:
    check_mounts(volumes(f"{tmp_path}:/x", "/etc/passwd:/y:ro"), Watched(), root)


@pytest.mark.parametrize(("field", "option"), [("volumes", "--volume"), ("devices", "--device")])
def test_what_is_not_there_is_refused_and_not_made(root: Path, tmp_path: Path, field: str, option: str) -> None:
    entry = f"{tmp_path}/missing/a:/x"
    with pytest.raises(UsageError, match=f"{option} {entry}: there is no {tmp_path}/missing/a on this machine"):
        check_mounts(msgspec.structs.replace(ContainerOptions(), **{field: (entry,)}), Watched(), root)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize(
    ("volume", "remedy"),
    [
        ("/run:/x", "The testbed has its own /run. Mount something from another place"),
        ("/var/run:/x:ro", "The testbed has its own /run"),
        ("/etc/passwd:/x", "On the testbed /etc and /opt can only be read: add :ro"),
        ("/etc/resolv.conf:/x:ro", "On the testbed /etc and /opt can only be read"),
        ("/etc/group:/x:ro", "On the testbed /etc and /opt"),
        ("/usr:/x:ro", "If it was mounted after the testbed was started, start that anew"),
    ],
)
def test_what_the_testbed_sees_otherwise_is_refused_with_the_reason(other_root: Path, volume: str, remedy: str) -> None:
    if not Path(volume.partition(":")[0]).exists():
        pytest.skip("this machine has no such place")
    with pytest.raises(UsageError) as caught:
        check_mounts(volumes(volume), Watched(), other_root)
    assert remedy in str(caught.value)


def test_a_file_of_etc_that_is_only_read_is_mounted(other_root: Path) -> None:
    check_mounts(volumes("/etc/passwd:/x:ro"), Watched(), other_root)


def test_a_users_engine_that_sees_another_folder_is_refused_without_words_of_the_testbed(other_root: Path) -> None:
    with pytest.raises(UsageError, match=r"the engine does not see /usr as this machine does\. Mount something from"):
        check_mounts(volumes("/usr:/x"), Theirs(), other_root)


def test_an_engine_whose_root_nobody_may_look_at_is_believed(tmp_path: Path) -> None:
    check_mounts(volumes("/usr:/x"), Watched(), tmp_path)


def test_nothing_is_known_of_an_engine_elsewhere(tmp_path: Path) -> None:
    engine = Watched()
    engine.capabilities = FakeEngine.capabilities - {Capability.SAME_MACHINE}
    check_mounts(volumes("/no/such/place:/x"), engine, tmp_path)
