"""What a base image is made of before it is an image: layers, runtime settings, provenance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from coldstart.model.image import Provenance

Progress = Callable[[str], None]


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The makings of a base image: uncompressed ``layers`` (tar, what made it), base first.

    ``config`` holds runtime settings by the image specification's names; ``python`` is the interpreter's minor version
    (``3.11``) where there is one.
    """

    layers: tuple[tuple[Path, str], ...]
    config: dict[str, object]
    provenance: Provenance
    python: str | None = None


class Recipe(NamedTuple):
    """How a base is made from packages: ``version`` changes whenever the result would."""

    version: str
    make: Callable[[Path, str, Progress], Parts]


PATH_ENV = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
