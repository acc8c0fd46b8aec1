"""Whoever wrote a text that is printed, no terminal obeys it."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from rich.table import Table

from coldstart.cli._safe_console import SafeConsole
from coldstart.model.cell import Tier
from coldstart.model.sample import Outcome
from tests.unit.cli.conftest import Run
from tests.unit.factories import RUN_ID, make_cell, make_experiment, make_manifest, make_sample, make_trial

EVIL = "\x1b]0;owned\x07\x1b[31m\x9b2J\u202e\r[link=https://evil.example]x[/link]"
UNSAFE = "\x1b\x07\x9b\u202e\r"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A stored run whose every free text is a stranger's."""
    cell = make_cell(runtime=EVIL, workload=EVIL, variant=EVIL, tier=Tier.WARM)
    manifest = make_manifest(
        argv=("coldstart", EVIL), notes=(EVIL,), experiment=make_experiment(runtime=(EVIL,), workload=(EVIL,))
    )
    samples = [
        make_sample(make_trial(cell=cell), reason=EVIL, outcome=Outcome.EXITED),
        make_sample(make_trial(cell=cell, block=1)),
    ]
    folder = tmp_path / RUN_ID
    folder.mkdir()
    (folder / "run.json").write_bytes(msgspec.json.encode(manifest))
    (folder / "samples.jsonl").write_bytes(b"".join(msgspec.json.encode(sample) + b"\n" for sample in samples))
    return folder


def on_a_terminal(*arguments: str, encoding: str = "utf-8", **environ: str) -> str:
    """What the command writes to a terminal, as it arrives there but for the line ends."""
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "coldstart", *arguments],
        stdout=inner,
        stderr=inner,
        env={**os.environ, "TERM": "dumb", "NO_COLOR": "1", **environ},
    )
    os.close(inner)
    received = b""
    try:
        while part := os.read(outer, 65536):
            received += part
    except OSError:  # EIO: the other end is closed
        pass
    finally:
        os.close(outer)
        process.wait()
    return received.decode(encoding).replace("\r\n", "\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "RUN", "--by", "runtime"),
        ("gate", "RUN", "RUN"),
        ("export", "RUN"),
        ("export", "RUN", "--format", "json"),
        ("report", "RUN", "-o", "OUT"),
        ("report", EVIL),
        ("run", "--from", "RUN", "--engine", EVIL),
        ("run", "--resume", "RUN"),
        (EVIL,),
    ],
)
def test_no_command_sends_a_strangers_escapes_to_a_terminal(
    arguments: tuple[str, ...], run_dir: Path, tmp_path: Path
) -> None:
    places = {"RUN": str(run_dir), "OUT": str(tmp_path / "out")}
    shown = on_a_terminal(*(places.get(word, word) for word in arguments))
    assert shown
    assert not [character for character in UNSAFE if character in shown]


@pytest.mark.parametrize(("given", "written"), [("ascii", "utf-8"), ("ascii:strict", "utf-8"), ("latin-1", "latin-1")])
@pytest.mark.parametrize("arguments", [("gate", "RUN", "RUN"), ("run", "--resume", "RUN"), ("report", "\N{EM DASH}")])
def test_no_encoding_of_the_terminal_lets_them_through(
    run_dir: Path, arguments: tuple[str, ...], given: str, written: str
) -> None:
    """Past a stream that takes ASCII alone click writes to its bytes."""
    words = (str(run_dir) if word == "RUN" else word for word in arguments)
    shown = on_a_terminal(*words, encoding=written, PYTHONIOENCODING=given)
    assert shown
    assert "unexpected error" not in shown
    assert not [character for character in UNSAFE if character in shown]


def test_an_id_with_escapes_is_refused_without_them(
    run_dir: Path, coldstart: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((run_dir / "run.json").read_text())
    (run_dir / "run.json").write_text(json.dumps({**record, "run_id": EVIL}))
    assert coldstart("report", str(run_dir)) == 2
    assert not set(UNSAFE) & set("".join(capfd.readouterr()))


def test_data_that_go_to_another_program_are_not_changed(
    run_dir: Path, coldstart: Run, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert coldstart("export", str(run_dir), "--format", "jsonl") == 0
    first = json.loads(capfdbinary.readouterr().out.splitlines()[0])
    assert (first["runtime"], first["reason"]) == (EVIL, EVIL)


def test_a_console_prints_markup_and_escapes_as_text() -> None:
    out = io.StringIO()
    console = SafeConsole(out, width=200)
    table = Table(EVIL, title=EVIL)
    table.add_row(EVIL)
    console.print(table)
    console.print(EVIL)
    assert not set(UNSAFE) & set(out.getvalue())
    assert out.getvalue().endswith("[link=https://evil.example]x[/link]\n")
