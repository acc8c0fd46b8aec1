"""What starting a process costs here: from making one of the injectors' program to the first thing that it does."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import msgspec

from coldstart.model.sample import Phase
from coldstart.model.truth import Stamp

_NAME = "inject-true"  # a runtime to the program: it stamps when it began, and becomes the real one


class ProcessCost:
    """Starts the program in a folder of its own, with a delay of 1 ns, so that it stamps.

    The cost is fork, exec, loading, and the language's own beginning. An injector cannot stamp before that.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamps = folder / "stamps.jsonl"

    def install(self, binary: bytes) -> None:
        """Write the program and what it reads."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        program = self._folder / _NAME
        program.write_bytes(binary)
        program.chmod(0o755)
        real = shutil.which("true") or "/bin/true"
        lines = (f"stamps {self._stamps}", f"real {_NAME} {real}", f"delay {Phase.RUNTIME_CREATE} 1", "settle 0", "")
        (self._folder / "inject.conf").write_text("\n".join(lines))

    def measure_ns(self) -> int | None:
        """What it cost now; ``None`` if the program did not stamp."""
        self._stamps.unlink(missing_ok=True)
        program = str(self._folder / _NAME)
        begun_ns = time.monotonic_ns()
        child = os.posix_spawn(program, [program, "create"], {})
        os.waitpid(child, 0)
        try:
            first = self._stamps.read_bytes().splitlines()[0]
        except (FileNotFoundError, IndexError):
            return None
        return msgspec.json.decode(first, type=Stamp).start_ns - begun_ns
