"""An article-like run, seeded: 24 cells of plausible times, a few failures and repeats."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd

from coldstart.model.cell import Cell, Tier
from coldstart.model.image import Image, Layer, Provenance
from coldstart.model.run import RunManifest, RuntimeFacts
from coldstart.model.timeline import PULL_PARTS
from tests.unit import tidy
from tests.unit.factories import MS, make_cell, make_experiment, make_image, make_manifest

UNPACKED_MB = {"single-stage": 602, "multi-stage": 79, "alpine": 13, "distroless": 7}
RUNTIMES = ("runc", "crun")
ARTICLE_CELLS = tuple(
    make_cell(runtime=runtime, variant=variant, tier=tier)
    for tier in Tier
    for variant in UNPACKED_MB
    for runtime in RUNTIMES
)


def article_frame(runs: int = 20, cells: tuple[Cell, ...] = ARTICLE_CELLS) -> pd.DataFrame:
    """``runs`` blocks of every cell in shuffled order; three trials repeated, two failed."""
    random = np.random.default_rng(7)
    rows: list[dict[str, Any]] = []
    at = dt.datetime(2026, 11, 24, 5, 15, 30, tzinfo=dt.UTC)
    for block in range(runs):
        for position, index in enumerate(random.permutation(len(cells))):
            at += dt.timedelta(seconds=1.5)
            stamp: dict[str, Any] = {"position": position, "started_at": at.isoformat()}
            number = block * len(cells) + position
            if number in {40, 41, 300}:
                rows.append(tidy.failed(cells[index], block, "not_quiet", **stamp))
            if number in {100, 350}:
                rows.append(tidy.failed(cells[index], block, "never_ready", **stamp))
                continue
            rows.append({**tidy.row(cells[index], block), **_times(cells[index], random), **stamp})
    return tidy.frame(rows)


def article_images() -> tuple[Image, ...]:
    """The four variants, with provenance."""
    return tuple(
        make_image(
            variant=variant,
            layers=(
                Layer(
                    digest=f"sha256:{size:064x}",
                    diff_id=f"sha256:{size:064x}",
                    compressed_bytes=size * 400_000,
                    unpacked_bytes=size * 1_000_000,
                    files=size * 10,
                ),
            ),
            provenance=(Provenance(what=f"{variant} base", source="packages", packages=("a=1", "b=2")),),
        )
        for variant, size in UNPACKED_MB.items()
    )


def article_manifest(**fields: Any) -> RunManifest:
    """The manifest of such a run, with the article's targets."""
    experiment = make_experiment(
        runtime=RUNTIMES, variant=tuple(UNPACKED_MB), tier=tuple(Tier), runs=20, targets=("article",)
    )
    runtimes = tuple(
        RuntimeFacts(name=name, path=f"/usr/bin/{name}", version="1.1", sha256="ab" * 32) for name in RUNTIMES
    )
    defaults: dict[str, Any] = {"experiment": experiment, "images": article_images(), "runtimes": runtimes}
    return make_manifest(**{**defaults, **fields})


def _times(cell: Cell, random: np.random.Generator) -> dict[str, Any]:
    size = UNPACKED_MB.get(cell.variant, 50)
    pull = np.array([30, 5, 8, 2, 6]) * (1 + size / 40) * MS if cell.tier is Tier.ABSENT else np.zeros(5)
    init = {Tier.ABSENT: 160, Tier.CACHED: 210, Tier.WARM: 150}[cell.tier] * (0.8 if cell.runtime == "crun" else 1) * MS
    parts = [int(value) for value in pull * random.lognormal(0, 0.07, 5)]
    create, init, readiness = (int(value * random.lognormal(0, 0.07)) for value in (9 * MS, init, 8 * MS))
    absent = cell.tier is Tier.ABSENT
    return {
        "e2e_ns": sum(parts) + create + init + readiness + 400_000,
        "pull_ns": sum(parts),
        **dict(zip(PULL_PARTS, parts, strict=True)),
        "create_ns": create,
        "init_ns": init,
        "readiness_ns": readiness,
        "gap_ns": 400_000,
        "download_ns": parts[0] + parts[1],
        "unpack_ns": parts[1] + parts[2],
        "register_ns": parts[3],
        "unattributed_ns": parts[4] + 5 * MS,
        "bytes_received": size * 400_000 if absent else 0,
        "image_compressed_bytes": size * 400_000,
        "image_unpacked_bytes": size * 1_000_000,
        "readiness_resolution_ns": MS,
        "clock_error_ns": 5_000,
    }
