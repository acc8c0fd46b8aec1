"""Everything a report says about one run, analysed once and shared by every way of showing it."""

from __future__ import annotations

import msgspec
import pandas as pd

from coldstart.analyse.calibration import Calibration
from coldstart.analyse.cells import CellSummary, summarise
from coldstart.analyse.contrasts import FactorRatio, Ranking, factor_ratios, rank
from coldstart.analyse.quality import Quality, assess
from coldstart.analyse.resources import PartUse, part_uses
from coldstart.analyse.targets import Overview, judge, load_targets, overviews
from coldstart.analyse.verdict import Verdict, conclude
from coldstart.model.cell import Tier
from coldstart.model.run import RunManifest
from coldstart.model.sample import Sample
from coldstart.model.target import Target
from coldstart.report.labels import Labels
from coldstart.report.recovery import Selftest

FACTORS = ("runtime", "variant")


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """A run's records and what the analyses make of them; ``repaired`` tells of a torn last line.

    ``verdict`` is a gate's; ``calibration`` the error rates of this kind of machine and ``selftest`` how well known
    delays are found on this host, where they are known.
    """

    manifest: RunManifest
    repaired: str | None
    frame: pd.DataFrame
    cells: tuple[CellSummary, ...]
    rankings: tuple[Ranking, ...]
    factors: tuple[FactorRatio, ...]
    targets: tuple[Overview, ...]
    quality: Quality
    resources: tuple[PartUse, ...]
    samples: tuple[Sample, ...]
    labels: Labels
    verdict: Verdict | None = None
    calibration: Calibration | None = None
    selftest: Selftest | None = None

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """Tiers with at least one timed cell, coldest first."""
        timed = {summary.cell.tier for summary in self.cells if summary.ok}
        return tuple(tier for tier in Tier if tier in timed)

    def timed_in(self, tier: Tier) -> tuple[CellSummary, ...]:
        """Cells of the tier that have timings."""
        return tuple(summary for summary in self.cells if summary.ok and summary.cell.tier is tier)


def analyse(
    manifest: RunManifest,
    frame: pd.DataFrame,
    repaired: str | None = None,
    samples: tuple[Sample, ...] = (),
    calibration: Calibration | None = None,
    selftest: Selftest | None = None,
) -> Content:
    """Run every analysis over a tidy frame; ``samples`` are the records it was made of, for the waterfalls.

    Raises:
        UnknownNameError: the experiment names a targets file this catalogue lacks.
        InputFileError: a targets file is not valid.
    """
    cells = summarise(frame)
    is_gate = manifest.comparison is not None and manifest.comparison.rule is not None
    targets: list[Target] = [target for name in manifest.experiment.targets for target in load_targets(name).target]
    return Content(
        manifest=manifest,
        repaired=repaired,
        frame=frame,
        cells=cells,
        rankings=rank(frame, cells),
        factors=tuple(ratio for factor in FACTORS for ratio in factor_ratios(frame, factor)),
        targets=overviews(judge(targets, frame, manifest.all_images)),
        quality=assess(frame),
        resources=part_uses(frame),
        samples=samples,
        labels=Labels(summary.cell for summary in cells),
        verdict=conclude(manifest, frame) if is_gate else None,
        calibration=calibration,
        selftest=selftest,
    )
