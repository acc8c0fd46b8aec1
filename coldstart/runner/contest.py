"""Two contenders on one place: their images side by side in one run, their starts pair by pair."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from coldstart.errors import UsageError
from coldstart.images.bases import BaseSource
from coldstart.measure.bench import Bench
from coldstart.model.cell import CellPair, Side
from coldstart.model.experiment import Experiment
from coldstart.model.image import Image, packed_otherwise
from coldstart.model.rule import Rule
from coldstart.model.run import Comparison, RunManifest
from coldstart.plan.pairing import pair_cells
from coldstart.runner.place import Place
from coldstart.runner.prepare import Prepared, prepare
from coldstart.runner.sources import AUTO

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Both contenders as they will be measured, on the same instruments."""

    baseline: Prepared
    candidate: Prepared
    pairs: tuple[CellPair, ...]
    every_pair: bool = True
    notes: tuple[str, ...] = ()

    def manifest(
        self, *, run_id: str, seed: int, started_at: dt.datetime, argv: Sequence[str], rule: Rule | None = None
    ) -> RunManifest:
        """The baseline's manifest, with the candidate's experiment, runtimes and images beside."""
        ours = self.baseline.manifest(run_id=run_id, seed=seed, started_at=started_at, argv=argv)
        theirs = self.candidate.manifest(run_id=run_id, seed=seed, started_at=started_at, argv=argv)
        named = {(image.workload, image.variant) for image in ours.images}
        others = tuple(image for image in theirs.images if (image.workload, image.variant) not in named)
        merged: RunManifest = msgspec.structs.replace(
            ours,
            runtimes=tuple(dict.fromkeys((*ours.runtimes, *theirs.runtimes))),
            images=(*ours.images, *others),
            notes=(*ours.notes, *self.notes),
            comparison=Comparison(
                candidate=theirs.experiment,
                pairs=self.pairs,
                rule=rule,
                images=theirs.images,
                every_pair=self.every_pair,
            ),
        )
        return merged

    def bench(self, run_id: str) -> Bench:
        """The instruments of the run, as the baseline uses them."""
        return self.baseline.bench(run_id)

    def sides(self, run_id: str) -> dict[Side, Bench]:
        """What the candidate's starts have of their own: images and options."""
        theirs = self.candidate.bench(run_id)
        ours = self.bench(run_id)
        return {
            Side.CANDIDATE: replace(
                ours, subjects=theirs.subjects, timeout_ns=theirs.timeout_ns, options=theirs.options
            )
        }

    def close(self) -> None:
        """Leave nothing of the instruments in the kernel."""
        self.baseline.close()


def prepare_contest(
    place: Place,
    baseline: Experiment,
    candidate: Experiment,
    progress: Progress,
    *,
    required_tiers: bool = False,
    bases: BaseSource = BaseSource.AUTO,
    platform: str | None = None,
    source: str = AUTO,
) -> Contest:
    """Check both against the place and one another, and make their images; a tier that one lacks is left out of both.

    Raises:
        UsageError: their cells do not go together, or only one has a way out; and all that `prepare` raises.
    """
    if baseline.egress != candidate.egress:
        raise UsageError("egress is said of one of the two only: what it costs would be taken for the candidate's.")
    ours = prepare(
        place,
        baseline,
        progress,
        required_tiers=required_tiers,
        bases=bases,
        platform=platform,
        source=source,
    )
    try:
        theirs = prepare(
            place,
            candidate,
            progress,
            required_tiers=required_tiers,
            bases=bases,
            platform=platform,
            chosen=ours.chosen,
        )
        tiers = tuple(tier for tier in ours.experiment.tier if tier in theirs.experiment.tier)
        if tiers:
            ours, theirs = (
                replace(one, experiment=msgspec.structs.replace(one.experiment, tier=tiers)) for one in (ours, theirs)
            )
        theirs = _told_apart(ours, theirs)
        pairs = pair_cells(ours.experiment, theirs.experiment)
        notes = _packed_otherwise(ours, theirs, pairs)
        for note in notes:
            progress(note)
        return Contest(
            baseline=ours,
            candidate=theirs,
            pairs=pairs,
            notes=notes,
            every_pair=required_tiers,
        )
    except BaseException:
        ours.close()
        raise


def _packed_otherwise(ours: Prepared, theirs: Prepared, pairs: Sequence[CellPair]) -> tuple[str, ...]:
    """Of each two images that are compared, that their layers were packed by different programs."""
    found = (
        packed_otherwise(ours.images[baseline], theirs.images[candidate])
        for baseline, candidate in dict.fromkeys((pair.baseline.image_key, pair.candidate.image_key) for pair in pairs)
        if baseline in ours.images and candidate in theirs.images
    )
    return tuple(note for note in found if note is not None)


def _told_apart(ours: Prepared, theirs: Prepared) -> Prepared:
    """Give an image of the candidate another variant's name where both call different images the same."""
    if theirs.experiment.image is None:
        return theirs
    ((key, image),) = theirs.images.items()
    namesake = ours.images.get(key)
    if namesake is None or namesake.image_id == image.image_id:
        return theirs
    renamed: Image = msgspec.structs.replace(image, variant=f"{image.variant}-{Side.CANDIDATE}")
    experiment = msgspec.structs.replace(theirs.experiment, variant=(renamed.variant,))
    return replace(theirs, experiment=experiment, images={(renamed.workload, renamed.variant): renamed})
