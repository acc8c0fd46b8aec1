"""``coldstart run`` as its users type it, for the tests that look at what it stores."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from coldstart.model.sample import Sample
from coldstart.store.reader import newest_run, open_run
from coldstart.testbed.config import Testbed


class Cli:
    """The command line on the tests' testbed, storing under ``results``."""

    def __init__(self, bed: Testbed, results: Path, **environment: str) -> None:
        self.results = results
        self.environment = {**os.environ, "COLDSTART_STATE_DIR": str(bed.root), **environment}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """``coldstart run`` in the background."""
        return subprocess.Popen(
            [sys.executable, "-m", "coldstart", "run", "--results", str(self.results), *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Its exit code and what it said on stderr, never with a traceback."""
        process = self.start(*arguments)
        _, said = process.communicate()
        assert "Traceback" not in said, said
        return process.returncode, said

    def samples(self) -> tuple[Sample, ...]:
        """Of the newest run."""
        return open_run(newest_run(self.results)).samples
