"""A run's manifest: everything needed to read its samples elsewhere, and to repeat it."""

from __future__ import annotations

import msgspec

from coldstart.errors import UsageError
from coldstart.model.cell import CellPair, Side
from coldstart.model.experiment import Experiment
from coldstart.model.host import HostFacts
from coldstart.model.image import Image
from coldstart.model.rule import Rule

SCHEMA_VERSION = 1


class RuntimeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An OCI runtime as registered with the engine; ``sha256`` is of the executable, ``None`` if unreadable."""

    name: str
    path: str | None
    version: str | None
    sha256: str | None


class EngineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The engine under test and how it was reached (``testbed`` or ``user``)."""

    name: str
    version: str
    api_version: str | None
    where: str
    platform: str | None = None
    storage_driver: str | None
    containerd_version: str | None
    decompressor: str | None
    capabilities: tuple[str, ...]


class RegistryFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Where pulls come from; ``link`` is ``local link`` when the registry shares the machine."""

    address: str | None
    version: str | None
    link: str
    cache_state: str


class SourceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a source promises about its instants: ``resolution_ns`` and ``bias`` (a sentence, with figures)."""

    name: str
    resolution_ns: int | None
    bias: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two contenders in one run: the baseline is the run's own experiment, ``candidate`` the other one's.

    ``pairs`` are the cells held against one another; each block starts both cells of each pair, one after the other.
    ``rule`` is what was asked of them; ``None`` where nothing is to be judged (calibration). ``images`` are the
    candidate's own, those of the manifest being the baseline's first. In runs before 0.2 there are none: both sides'
    are then the manifest's, but for a name that two different experiments share (see `RunManifest.images_of`). With
    ``every_pair`` nothing is concluded unless each pair was timed; otherwise one whose image cannot be proved cold is
    left out.
    """

    candidate: Experiment
    pairs: tuple[CellPair, ...]
    rule: Rule | None = None
    images: tuple[Image, ...] = ()
    every_pair: bool = True


class RunManifest(msgspec.Struct, frozen=True, kw_only=True):
    """``run.json``: written once, before the first trial; ``argv`` is the command as typed."""

    schema_version: int
    coldstart_version: str
    run_id: str
    started_at: str
    argv: tuple[str, ...]
    experiment: Experiment
    seed: int
    host: HostFacts
    engine: EngineFacts
    runtimes: tuple[RuntimeFacts, ...]
    images: tuple[Image, ...]
    registry: RegistryFacts
    sources: tuple[SourceFacts, ...]
    notes: tuple[str, ...] = ()
    comparison: Comparison | None = None

    def images_of(self, side: Side | None) -> dict[tuple[str, str], Image]:
        """The images that a side's starts were made from, by workload and variant: both may use the same names.

        Runs before 0.2 stored one image for each name. Where the experiments differ and both use a name, it is the
        baseline's, and the candidate's is not known.
        """
        found = {(image.workload, image.variant): image for image in self.images}
        if side is not Side.CANDIDATE or self.comparison is None:
            return found
        if not self.comparison.images and self.comparison.candidate != self.experiment:
            shared = {pair.baseline.image_key for pair in self.comparison.pairs}
            return {key: image for key, image in found.items() if key not in shared}
        return found | {(image.workload, image.variant): image for image in self.comparison.images}

    def refuse_mixed_sides(self) -> None:
        """For what looks at cells and not at sides: two contenders that go by one name would be taken for one.

        Raises:
            UsageError: a cell of the baseline's has the same name as the one of the candidate that differs from it.
        """
        if self.comparison is None:
            return
        are_alike = self.comparison.candidate == self.experiment and set(self.comparison.images) <= set(self.images)
        mixed = next((pair for pair in self.comparison.pairs if pair.baseline == pair.candidate), None)
        if mixed is not None and not are_alike:
            raise UsageError(
                f"{self.run_id}: starts of both sides go by the name {mixed.key}, and would be taken for one. Judge "
                f"them with coldstart gate {self.run_id}, or measure one side alone with coldstart run."
            )

    @property
    def all_images(self) -> tuple[Image, ...]:
        """Every image that was started, the baseline's first."""
        theirs = () if self.comparison is None else self.comparison.images
        return tuple(dict.fromkeys((*self.images, *theirs)))
