"""A disk that is really full, or really read-only: mounts of our own, in a mount namespace of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare to mount"),
]

WRITE_UNTIL_IT_FAILS = """
import sys
from pathlib import Path
from coldstart.errors import StorageError
from coldstart.store.reader import open_run
from coldstart.store.writer import RunWriter
from tests.unit.factories import make_manifest, make_sample, make_trial

results = Path(sys.argv[1])
try:
    with RunWriter.create(results, make_manifest()) as writer:
        for block in range(100_000):
            writer.append(make_sample(make_trial(block=block)))
except StorageError as error:
    print(error)
for run_dir in results.glob("*"):
    run = open_run(run_dir)
    print("kept", len(run.samples) == block > 0, run.repaired)
"""


def run_on(mount_options: str, folder: Path) -> str:
    """What the script says with a tmpfs of these options on ``folder``; the mount goes with its namespace."""
    script = f'mount -t tmpfs -o {mount_options} tmpfs "$1" && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        [
            *("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"),
            *(str(folder), sys.executable, WRITE_UNTIL_IT_FAILS),
        ],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if "mount:" in done.stderr:
        pytest.skip(f"this machine lets nobody mount: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_full_disk_keeps_every_sample_before_it_and_says_how_to_go_on(tmp_path: Path) -> None:
    said = run_on("size=256k", tmp_path)
    assert "samples.jsonl: cannot be written: No space left on device. Its first " in said
    assert "coldstart run --resume" in said
    assert "kept True None" in said


def test_a_read_only_results_folder_is_refused_with_the_remedy(tmp_path: Path) -> None:
    said = run_on("ro", tmp_path)
    assert "cannot be written: Read-only file system. Choose another place with --results" in said
    assert "kept" not in said
