"""What a kind of fuzzed input is, and how text and JSON of it are made wrong."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

from benchmarks.fuzzing.mutations import encoded, mutated_bytes, mutated_json, mutated_text

Files: TypeAlias = dict[str, bytes]
Rng: TypeAlias = random.Random

ROOT = Path(__file__).resolve().parent.parent.parent
_TEXT_ALONE, _STRUCTURE_ALONE = 0.7, 0.85  # shares of inputs whose bytes stay as they were encoded


class Target(NamedTuple):
    """A kind of input, made by ``make`` and read as a command would by ``read``, in a folder of its own.

    ``share`` of all inputs are of it, relative to the others' shares.
    """

    name: str
    share: float
    make: Callable[[Rng], Files]
    read: Callable[[Files, Path], object]
    cpu_limit_s: float = 10.0


def placed(files: Files, folder: Path) -> None:
    """Write the files into the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def as_text(rng: Rng, text: str) -> bytes:
    """The text made wrong, mostly by its lines."""
    data = mutated_text(rng, text).encode("utf-8", "surrogatepass") if rng.random() < 0.9 else text.encode()
    return data if rng.random() < _TEXT_ALONE else mutated_bytes(rng, data)


def as_json(rng: Rng, value: object) -> bytes:
    """The value made wrong, mostly by its structure."""
    data = encoded(rng, mutated_json(rng, value)) if rng.random() < 0.95 else json.dumps(value).encode()
    return data if rng.random() < _STRUCTURE_ALONE else mutated_bytes(rng, data)
