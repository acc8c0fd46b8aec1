"""One value a file, as the kernel shows what it knows."""

from __future__ import annotations

import re
from pathlib import Path


def read_text(path: Path) -> str | None:
    """The file's text without the space and NULs around it; ``None`` if there is none, or it cannot be read."""
    try:
        return path.read_text(errors="replace").strip("\0 \n") or None
    except OSError:
        return None


def read_integer(path: Path) -> int | None:
    """The file's decimal number; ``None`` if it holds none."""
    found = read_text(path)
    return int(found) if found is not None and re.fullmatch(r"-?\d+", found) else None
