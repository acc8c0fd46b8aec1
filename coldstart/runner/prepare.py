"""An experiment on a place: checked against what is there, its images made, its instruments chosen."""

from __future__ import annotations

import datetime as dt
import hashlib
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import msgspec

from coldstart import __version__, engines, probes
from coldstart.engines import fake
from coldstart.engines.base import Capability
from coldstart.errors import InvalidEnvironmentError
from coldstart.images.bases import BaseSource
from coldstart.images.build import ensure_images
from coldstart.images.catalogue import Workload, with_own
from coldstart.images.emulation import emulator_for
from coldstart.images.intake import take_in
from coldstart.measure.bench import Bench, Subject
from coldstart.measure.cold import unprovable
from coldstart.model.cell import Cell, Tier
from coldstart.model.experiment import Experiment
from coldstart.model.image import ZSTD, Image
from coldstart.model.options import ContainerOptions
from coldstart.model.run import SCHEMA_VERSION, RegistryFacts, RunManifest
from coldstart.plan.overrides import with_image
from coldstart.plan.schedule import cells, check_levels, missing_variants
from coldstart.runner.checks import check_health, check_probes, check_runtimes, specs_of
from coldstart.runner.mounts import check_mounts
from coldstart.runner.place import Place
from coldstart.runner.sources import AUTO, Chosen, choose
from coldstart.testbed.config import LOCAL_LINK
from coldstart.testbed.host import host_facts

Progress = Callable[[str], None]
ImageKey = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An experiment as it will be measured: every level exists here and every tier can be proved."""

    experiment: Experiment
    place: Place
    images: dict[ImageKey, Image]
    chosen: Chosen

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The treatments."""
        return cells(self.experiment)

    def manifest(self, *, run_id: str, seed: int, started_at: dt.datetime, argv: Sequence[str]) -> RunManifest:
        """What the run directory begins with; it names the runtimes and images that are used, and no others."""
        place, experiment = self.place, self.experiment
        registry, images = _without_address(place.registry, tuple(self.images.values()))
        return RunManifest(
            schema_version=SCHEMA_VERSION,
            coldstart_version=__version__,
            run_id=run_id,
            started_at=started_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            argv=tuple(argv),
            experiment=experiment,
            seed=seed,
            host=host_facts(place.storage),
            engine=place.engine.facts(),
            runtimes=tuple(facts for facts in place.engine.runtimes() if facts.name in experiment.runtime),
            images=images,
            registry=registry,
            sources=tuple(source.facts for source in self.chosen.sources),
            notes=(*place.notes, *_left_out(experiment)),
        )

    def bench(self, run_id: str) -> Bench:
        """The instruments of the run."""
        place, experiment = self.place, self.experiment
        workloads = {} if experiment.ready is not None else with_own(experiment.folders)
        return Bench(
            run_id=run_id,
            engine=place.engine,
            subjects={key: self._subject(image, workloads) for key, image in self.images.items()},
            sources=self.chosen.sources,
            surroundings=place.surroundings,
            blobs=place.blobs,
            timeout_ns=experiment.timeout_ns,
            options=self._options(),
            source_profile=self.chosen.profile,
            way_out=place.egress if experiment.egress else nullcontext,
            registry_lost=place.registry_lost,
        )

    def close(self) -> None:
        """Leave nothing of the sources in the kernel."""
        for source in self.chosen.sources:
            source.close()

    def _options(self) -> ContainerOptions:
        asked = self.experiment.options
        return asked if self.experiment.egress or asked.dns or asked.dns_options else asked.plus(self.place.offline)

    def _subject(self, image: Image, workloads: dict[str, Workload]) -> Subject:
        ready = self.experiment.ready or workloads[image.workload].ready
        emulator = emulator_for(image.platform, self.place.engine.facts().platform)
        return Subject(image=image, new_probe=probes.factory(ready), port=ready.port, emulator=emulator)


def prepare(
    place: Place,
    experiment: Experiment,
    progress: Progress,
    *,
    required_tiers: bool = False,
    bases: BaseSource = BaseSource.AUTO,
    platform: str | None = None,
    source: str = AUTO,
    chosen: Chosen | None = None,
) -> Prepared:
    """Check the experiment against the place and make its images.

    A variant that a workload does not have is left out for it, and a tier that cannot be proved here for all, which
    ``progress`` is told; with ``required_tiers`` the latter is an error, and so it is if none remains. ``platform``
    chooses one of an ad hoc image's; ``source`` is one of `coldstart.runner.sources.CHOICES`. With ``chosen``, the
    instruments of another experiment on this place, no others are opened.

    Raises:
        UnknownNameError: a level that is not there, with the nearest name.
        InputFileError: a workload of one's own that cannot be read, or is called as one of the catalogue.
        UsageError: a probe that no start could satisfy, or a volume that is not there for the engine.
        InvalidEnvironmentError: a tier, or every tier, that cannot be proved here, no such source, or containers that
            cannot be reached.
        ImageBuildError, EngineUnreachableError, RegistryUnreachableError, StorageError: no images.
    """
    workloads = with_own(experiment.folders)
    variants = {name: workload.variants for name, workload in workloads.items()}
    check_runtimes(experiment, place.engine)
    check_levels(
        experiment,
        runtimes=[facts.name for facts in place.engine.runtimes()],
        engines=engines.names(),
        workloads=variants,
    )
    check_probes(experiment, specs_of(experiment, workloads), place.engine, progress)
    check_mounts(experiment.options, place.engine)
    experiment = msgspec.structs.replace(experiment, missing=missing_variants(experiment, variants))
    for note in _left_out(experiment):
        progress(note)
    experiment, images = _images(place, experiment, workloads, progress, bases, platform)
    ready = {image.workload: experiment.ready or workloads[image.workload].ready for image in images.values()}
    check_health(images, ready, experiment.timeout_ns, place.engine)
    experiment = _provable(place, experiment, images, progress, required=required_tiers)
    if experiment.egress and Capability.PRIVATE not in place.engine.capabilities:
        progress("--egress changes nothing here: containers have the network that your own engine gives them")
    instruments = choose(place.engine, source, progress) if chosen is None else chosen
    return Prepared(experiment=experiment, place=place, images=images, chosen=instruments)


def _without_address(registry: RegistryFacts, images: tuple[Image, ...]) -> tuple[RegistryFacts, tuple[Image, ...]]:
    """What is stored of an external registry: a hash for its address, which is one of the user's own network."""
    address = registry.address
    if address is None or registry.link == LOCAL_LINK:
        return registry, images
    name = f"registry-{hashlib.sha256(address.encode()).hexdigest()[:8]}"
    return msgspec.structs.replace(registry, address=name), tuple(
        msgspec.structs.replace(image, reference=image.reference.replace(f"{address}/", f"{name}/", 1))
        for image in images
    )


def differences(begun: RunManifest, now: RunManifest) -> tuple[str, ...]:
    """What keeps a run from going on under the manifest it would have now, in words; nothing where it may."""
    pairs: list[tuple[str, object, object]] = [
        ("host", begun.host.host_id, now.host.host_id),
        ("engine", f"{begun.engine.name} {begun.engine.version}", f"{now.engine.name} {now.engine.version}"),
        ("engine's place", begun.engine.where, now.engine.where),
        ("engine's storage", begun.engine.storage_driver, now.engine.storage_driver),
        ("registry", begun.registry.address, now.registry.address),
        ("registry's link", begun.registry.link, now.registry.link),
    ]
    known = {facts.name: facts for facts in now.runtimes}
    pairs += [
        (f"runtime {facts.name}", facts.sha256 or facts.version, known[facts.name].sha256 or known[facts.name].version)
        for facts in begun.runtimes
        if facts.name in known
    ]
    made = {(image.workload, image.variant): image for image in now.images}
    pairs += [
        (f"{what} {image.workload}/{image.variant}", before, after)
        for image in begun.images
        if (other := made.get((image.workload, image.variant))) is not None
        for what, before, after in (
            ("image", image.image_id, other.image_id),
            ("manifest of image", image.digest, other.digest),  # one image, compressed otherwise, is another pull
        )
    ]
    return tuple(f"its {what} was {before}, here it is {after}" for what, before, after in pairs if before != after)


def command_line() -> tuple[str, ...]:
    """The command as typed, without the folder our executable happens to lie in."""
    return ("coldstart", *sys.argv[1:])


def _left_out(experiment: Experiment) -> tuple[str, ...]:
    return tuple(f"left out: workload {workload} has no variant {variant}" for workload, variant in experiment.missing)


def _images(
    place: Place,
    experiment: Experiment,
    workloads: dict[str, Workload],
    progress: Progress,
    bases: BaseSource,
    platform: str | None,
) -> tuple[Experiment, dict[ImageKey, Image]]:
    if experiment.image is not None:
        image = _ad_hoc_image(place, experiment.image, platform, progress)
        _refuse_unreadable(place, image)
        return with_image(experiment, workload=image.workload, variant=image.variant), {
            (image.workload, image.variant): image
        }
    wanted = list(dict.fromkeys(cell.image_key for cell in cells(experiment)))
    if place.image_host is None:
        return experiment, {pair: fake.image(*pair) for pair in wanted}
    made = ensure_images(place.image_host, wanted, progress, bases=bases, workloads=workloads, egress=place.egress)
    return experiment, {(image.workload, image.variant): image for image in made}


def _ad_hoc_image(place: Place, reference: str, platform: str | None, progress: Progress) -> Image:
    if place.image_host is not None:
        return take_in(place.image_host, reference, platform, progress)
    name, _, variant = reference.partition(":")
    return fake.image(name, variant or "image")


def _refuse_unreadable(place: Place, image: Image) -> None:
    """Refuse layers that the engine cannot unpack before anything is measured: the pull would fail with a tar error.

    Raises:
        InvalidEnvironmentError: naming the compression, and what helps.
    """
    if Capability.ZSTD_LAYERS in place.engine.capabilities:
        return
    if any(layer.compression == ZSTD for layer in image.layers):
        raise InvalidEnvironmentError(
            f"--image {image.workload}: its layers are compressed by zstd, which this engine "
            f"({place.engine.name} {place.engine.facts().version}) does not unpack. Use a newer engine (Docker 23 or "
            "later), or build with gzip: docker buildx build -o type=image,compression=gzip,force-compression=true"
        )


def _provable(
    place: Place, experiment: Experiment, images: dict[ImageKey, Image], progress: Progress, *, required: bool
) -> Experiment:
    obstacles = {tier: why for tier in experiment.tier if (why := _obstacle(place, tier, images)) is not None}
    kept = tuple(tier for tier in experiment.tier if tier not in obstacles)
    told = "; ".join(f"tier {tier}: {why}" for tier, why in obstacles.items())
    if obstacles and (required or not kept):
        raise InvalidEnvironmentError(
            f"cannot be measured on this engine: {told}. "
            "Leave it out with --tier, or use the testbed (coldstart testbed up, as root)."
        )
    if obstacles:
        progress(f"left out: {told}")
    changed: Experiment = msgspec.structs.replace(experiment, tier=kept)
    return changed


def _obstacle(place: Place, tier: Tier, images: dict[ImageKey, Image]) -> str | None:
    why = unprovable(tier, place.engine)
    if why is None and tier is Tier.ABSENT and not all(image.can_be_pulled for image in images.values()):
        return "its images were built on this engine and are in no registry to pull them from"
    if why is None and tier is Tier.CACHED and (reason := place.surroundings.eviction_obstacle()) is not None:
        return f"pages of its layers cannot be put out of memory on the engine's storage: {reason}"
    if why is None and tier is Tier.ABSENT:
        kept = (place.engine.kept_layers(image) for image in images.values())
        return next((f"{reason}, and coldstart removes only what it pulled" for reason in kept if reason), None)
    return why
