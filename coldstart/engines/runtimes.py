"""An OCI runtime's executable, told apart from any other: version and hash."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from coldstart.model.run import RuntimeFacts


def runtime_facts(name: str, path: str | None) -> RuntimeFacts:
    """What the executable says of itself, and its SHA-256; ``None`` where there is none to ask."""
    version = digest = None
    if path is not None and Path(path).is_file():
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        try:
            told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
            version = told.stdout.partition("\n")[0].strip() or None
        except (OSError, subprocess.TimeoutExpired):
            version = None
    return RuntimeFacts(name=name, path=path, version=version, sha256=digest)
