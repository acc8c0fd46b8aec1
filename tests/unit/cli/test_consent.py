"""A stored run's options are shown, and used only by consent: the folder may be a stranger's."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coldstart.cli._consent import wishes
from coldstart.model.cell import Network
from coldstart.model.options import ContainerOptions
from coldstart.model.probe import ProbeSpec
from coldstart.store.reader import open_run
from coldstart.store.writer import RunWriter
from coldstart.testbed import surroundings
from coldstart.testbed.quiet import QuietWait
from tests.unit.cli.conftest import Run
from tests.unit.factories import make_experiment, make_manifest, make_sample

STRANGE = ContainerOptions(volumes=("/etc:/v",), command=("sh", "-c", "echo owned > /v/owned"))
LIMITS = {"memory_bytes", "cpus", "cpuset_cpus", "shm_bytes", "cap_drop", "read_only"}


def example(name: str) -> Any:
    """A value of a container option that is not its default."""
    default = getattr(ContainerOptions(), name)
    kind = ContainerOptions.__annotations__[name]
    if isinstance(default, bool):
        return True
    return ("x:y",) if "tuple" in kind else 7 if kind.startswith(("int", "float")) else "x"


@pytest.mark.parametrize("name", sorted(set(ContainerOptions.__struct_fields__) - LIMITS))
def test_every_option_that_does_more_than_limit_is_asked_for(name: str) -> None:
    stored = make_experiment(options=ContainerOptions(**{name: example(name)}))
    assert [asked for asked, _ in wishes(stored, stored)] == [name]


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_a_limit_is_not_asked_for(name: str) -> None:
    stored = make_experiment(options=ContainerOptions(**{name: example(name)}))
    assert wishes(stored, stored) == ()


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"network": (Network.BRIDGE, Network.HOST)}, ("network", "host")),
        ({"egress": True}, ("egress", "containers reach other networks")),
        ({"ready": ProbeSpec.parse("exec:rm -rf /")}, ("ready", "exec:rm -rf /")),
        ({"folders": {"app": "/home/ada/app"}}, ("folder of workload app", "/home/ada/app")),
    ],
)
def test_what_reaches_out_of_the_container_is_asked_for(fields: dict[str, Any], shown: tuple[str, str]) -> None:
    stored = make_experiment(**fields)
    assert wishes(stored, stored) == (shown,)


def test_a_plain_experiment_needs_no_consent() -> None:
    stored = make_experiment(ready=ProbeSpec.parse("http:8080/"), network=(Network.BRIDGE, Network.NONE))
    assert wishes(stored, stored) == ()


def test_what_the_command_line_says_itself_is_not_asked_for() -> None:
    stored = make_experiment(options=STRANGE, egress=True, network=(Network.HOST,))
    said = ContainerOptions(volumes=("/srv:/v",), command=STRANGE.command)
    ours = make_experiment(options=said, egress=False, network=(Network.BRIDGE,))
    assert wishes(stored, ours) == (("command", "sh -c 'echo owned > /v/owned'"),)


def test_a_value_cannot_forge_a_line_or_reach_the_terminal() -> None:
    stored = make_experiment(options=ContainerOptions(volumes=("/a:/b\n  volumes: none\x1b[2K",)))
    ((_, shown),) = wishes(stored, stored)
    assert "\n" not in shown
    assert "\x1b" not in shown


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is always quiet."""
    quiet = QuietWait(quiet=True, waited_ns=0, busy_fraction=0.0)
    monkeypatch.setattr(surroundings, "wait_until_quiet", lambda **_: quiet)


@pytest.fixture
def strange(coldstart: Run, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Path:
    """A run of the fake engine whose folder a stranger has changed: it mounts /etc and runs a command."""
    assert coldstart(
        "run", "tiers", "--engine", "fake", "--runtime", "runc", "--variant", "alpine", "--tier", "warm",
        "-n", "2", "-w", "0", "--results", str(tmp_path / "r"),
    ) == 0  # fmt: skip
    (folder,) = (tmp_path / "r").iterdir()
    record = json.loads((folder / "run.json").read_text())
    record["experiment"]["options"] = msgspec.to_builtins(STRANGE)
    (folder / "run.json").write_text(json.dumps(record))
    samples = (folder / "samples.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "samples.jsonl").write_bytes(samples[0])
    capfd.readouterr()
    return folder


@pytest.mark.parametrize("way", ["--from", "--resume"])
def test_without_a_terminal_nothing_is_started(
    way: str, strange: Path, coldstart: Run, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = (strange / "samples.jsonl").read_bytes()
    assert coldstart("run", way, str(strange), "--results", str(tmp_path / "r2")) == 2
    err = capfd.readouterr().err
    assert "  volumes: /etc:/v\n  command: sh -c 'echo owned > /v/owned'\n" in err
    assert "--trust" in err
    assert ((strange / "samples.jsonl").read_bytes(), (tmp_path / "r2").exists()) == (before, False)


@pytest.mark.parametrize("way", ["--from", "--resume"])
def test_with_trust_it_is_started_and_still_shown(
    way: str, strange: Path, coldstart: Run, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert coldstart("run", way, str(strange), "--trust", "--results", str(tmp_path / "r2")) != 2
    assert "  volumes: /etc:/v\n" in capfd.readouterr().err
    measured = strange if way == "--resume" else next((tmp_path / "r2").iterdir())
    assert len(open_run(measured).samples) == 2


def test_trust_without_a_stored_run_is_refused(coldstart: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert coldstart("run", "tiers", "--trust") == 2
    assert "--from or --resume" in capfd.readouterr().err


@pytest.mark.parametrize(("answer", "code"), [("n", 2), ("", 2)])
def test_on_a_terminal_it_is_asked_and_no_is_the_default(answer: str, code: int, strange: Path, tmp_path: Path) -> None:
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "coldstart", "run", "--from", str(strange), "--results", str(tmp_path / "r2")],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        env={**os.environ, "TERM": "dumb"},
    )
    os.close(inner)
    os.write(outer, f"{answer}\n".encode())
    assert process.wait(timeout=60) == code
    shown = os.read(outer, 65536).decode()
    os.close(outer)
    assert "Use them on this machine? [y/N]" in shown
    assert not (tmp_path / "r2").exists()


def test_a_run_that_does_not_describe_its_image_is_refused(
    coldstart: Run, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    manifest = make_manifest(experiment=make_experiment(image="app.tar"), images=())
    with RunWriter.create(tmp_path, manifest) as writer:
        writer.append(make_sample())
    assert coldstart("run", "--resume", str(tmp_path / manifest.run_id)) == 2
    assert "does not describe its image" in capfd.readouterr().err
