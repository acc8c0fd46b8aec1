"""``coldstart testbed`` where there is nothing to start: what it says, what it refuses."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from coldstart.testbed.config import Layout, ProcessRef, Testbed, write_record
from coldstart.testbed.hold import hold
from tests.unit.cli.conftest import Run

DEAD = ProcessRef(pid=1 << 22, start_ticks=1, name="dockerd")  # beyond what kernels give out (proc_sys_kernel(5))


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder with nothing in it; its path is short, as the engine's sockets need it."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("COLDSTART_STATE_DIR", folder)
        yield Path(folder).resolve()


@pytest.fixture
def died(root: Path) -> Path:
    """The record of a testbed whose engine is gone."""
    layout = Layout.of(root)
    testbed = Testbed(
        id=layout.id,
        root=root,
        docker_socket=layout.socket,
        engine_netns=layout.engine_netns,
        registry_netns=None,
        registry_address="198.18.0.2:5000",
        registry_link="local link",
        registry_storage=None,
        registry_log=None,
        engine_log=layout.log / "dockerd.log",
        data_root=layout.data,
        storage="ext4",
        loop_device=None,
        loop_mount=None,
        cgroup_parent="/coldstart",
        runtimes={"runc": Path("/usr/bin/runc")},
        processes=(DEAD,),
        started_at="2026-11-24T05:15:30Z",
    )
    write_record(layout.state, testbed)
    return root


def test_where_nothing_is_up_the_status_says_down(
    coldstart: Run, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (coldstart("testbed", "status"), capsys.readouterr()) == (0, (f"testbed  down in {root}\n", ""))


def test_json_has_null_where_there_is_nothing(coldstart: Run, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coldstart("testbed", "status", "--json")
    expected: dict[str, object] = {"state": "down", "root": str(root), "problems": [], "testbed": None, "holder": None}
    assert json.loads(capsys.readouterr().out) == expected


def test_the_status_changes_nothing(coldstart: Run, root: Path) -> None:
    coldstart("testbed", "status")
    assert list(root.iterdir()) == []


def test_whoever_holds_it_is_named(coldstart: Run, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with hold(root, "a test"):
        coldstart("testbed", "status")
    assert "(a test, since " in capsys.readouterr().out.splitlines()[-1]


def test_a_broken_testbed_is_shown_with_what_is_wrong(
    coldstart: Run, died: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coldstart("testbed", "status")
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (shown["testbed"], shown["problem"]) == (f"broken in {died}", f"dockerd (process {DEAD.pid}) is gone")


@pytest.mark.usefixtures("died")
def test_a_broken_testbed_is_shown_with_what_to_do(coldstart: Run, capsys: pytest.CaptureFixture[str]) -> None:
    coldstart("testbed", "status")
    assert capsys.readouterr().err == "repair it: coldstart testbed up, or remove it: coldstart testbed down\n"


def test_json_has_the_whole_record_with_paths_as_text(
    coldstart: Run, died: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coldstart("testbed", "status", "--json")
    testbed = json.loads(capsys.readouterr().out)["testbed"]
    assert (testbed["root"], testbed["runtimes"]) == (str(died), {"runc": "/usr/bin/runc"})


def test_a_damaged_record_ends_with_4_and_what_to_do(
    coldstart: Run, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "state.json").write_text("{")
    assert coldstart("testbed", "status") == 4
    assert (
        "state.json: Input data was truncated. Remove this testbed: coldstart testbed down" in capsys.readouterr().err
    )


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("up", "--add-runtime", "crun"), "--add-runtime 'crun': write NAME=PATH"),
        (("up", "--add-runtime", "runc=/bin/sh"), "the engine keeps the name runc for its own"),
        (("up", "--add-runtime", "x=/nonexistent"), "/nonexistent is not an executable file"),
        (("up", "--registry", "registry.local"), "--registry 'registry.local': write HOST:PORT"),
        (("up", "--registry", "localhost:5000"), "localhost is itself"),
        (("up", "--data-root", "/run/data"), "the testbed's engine has its own /run"),
    ],
)
def test_what_makes_no_sense_ends_with_2_and_starts_nothing(
    coldstart: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    code = coldstart("testbed", *arguments)
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n"), message in err) == (2, "", 1, True)


@pytest.mark.parametrize("place", ["/run/coldstart", "/etc/coldstart"])
def test_a_state_folder_the_engine_would_not_see_ends_with_2(
    coldstart: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    monkeypatch.setenv("COLDSTART_STATE_DIR", place)
    assert coldstart("testbed", "status") == 2
    assert f"COLDSTART_STATE_DIR {place}: the testbed's engine has its own" in capsys.readouterr().err


def test_a_state_folder_too_deep_for_a_socket_ends_with_2(
    coldstart: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLDSTART_STATE_DIR", "/nonexistent/" + "x" * 100)
    assert coldstart("testbed", "status") == 2
    assert "Choose a shorter COLDSTART_STATE_DIR." in capsys.readouterr().err


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("command", ["up", "down"])
def test_without_root_the_testbed_ends_with_4_and_says_so(
    coldstart: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert coldstart("testbed", command) == 4
    assert "root" in capsys.readouterr().err
