"""Cold tiers: brought about before the timed window, proved before and after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from coldstart.engines.base import Capability, Engine, LayerEvent, Timed
from coldstart.errors import EngineError
from coldstart.measure.bench import Bench, BlobLog
from coldstart.measure.failure import TrialFailure
from coldstart.model.cell import Cell, Tier
from coldstart.model.image import Image
from coldstart.model.sample import ColdProof, Outcome

REGISTRY_LOG = "registry_log"
ENGINE_API = "engine_api"
STILL_WARM = 0.95
"""A start is warm while so much of what the last warming start left in memory is still there.

A start touches a part of its image's pages, and the kernel reclaims those first that were used least recently
(Documentation/admin-guide/mm/concepts.rst, "Reclaim"): what nobody used since it was unpacked goes before what a start
used. So while a twentieth is gone, a start that touches less than 95 % of the pages has lost none of them, and one that
touches more has lost a twentieth at most. A share of the image's size could say nothing, for a start touches all of a
single static binary and little of a large image: of hello/alpine, 4.5 of 13.7 MB.
"""


def unprovable(tier: Tier, engine: Engine) -> str | None:
    """Why this engine cannot prove a tier; ``None`` if it can."""
    if tier is Tier.ABSENT and Capability.PULL not in engine.capabilities:
        return "the engine does not pull images"
    if tier is Tier.ABSENT and Capability.PULL_PROGRESS not in engine.capabilities:
        return "the engine keeps images in containerd's store, where a pull does not tell of each layer if it was there"
    if tier is Tier.CACHED and Capability.LAYER_PATHS not in engine.capabilities:
        return "the engine's layer folders cannot be read here, so their pages can be neither evicted nor counted"
    return None


class ColdKeeper:
    """Keeps each image as cold as the next trial wants it, and remembers what that did."""

    def __init__(self, bench: Bench) -> None:
        self._engine = bench.engine
        self._surroundings = bench.surroundings
        self._blobs = bench.blobs
        self._warm_starts: dict[tuple[str, str], int] = {}
        self._warmed_bytes: dict[tuple[str, str], int] = {}
        self._layers: dict[str, frozenset[str]] = {}

    def prepare(self, cell: Cell, image: Image, start_once: Callable[[Cell], None]) -> ColdProof:
        """Bring the tier about; what can be proved before the start. ``start_once`` is for a tier that needs a start.

        Raises:
            TrialFailure: `Outcome.NOT_COLD` with what is missing, or why the image cannot be had.
        """
        if cell.tier is Tier.ABSENT:
            return self._prepare_absent(image)
        self._ensure_present(image)
        if cell.tier is Tier.CACHED:
            return self._prepare_cached(image)
        key = (image.image_id, cell.runtime)
        if not self._is_still_warm(key, image):
            self._forget(image)
        if self._warm_starts.get(key, 0) == 0:
            start_once(cell)
            self.started(cell, image)
        if (resident_bytes := self._resident_bytes(image)) is not None:
            self._warmed_bytes.setdefault(key, resident_bytes)
        return ColdProof(
            tier=cell.tier,
            source=self._proof_source(),
            image_present=self._engine.has_image(image),
            resident_bytes=resident_bytes,
            warm_starts=self._warm_starts[key],
            warmed_bytes=self._warmed_bytes.get(key),
        )

    def confirm(self, proof: ColdProof, image: Image) -> ColdProof:
        """The proof with what is in memory now: asked just before the window, for waiting for quiet takes seconds.

        Raises:
            TrialFailure: `Outcome.NOT_COLD`: something read the layers since they were evicted, or what an earlier
                start had left in memory is gone.
        """
        if proof.resident_bytes is None:
            return proof
        resident_bytes = self._surroundings.resident_bytes(self._engine.layer_paths(image))
        confirmed: ColdProof = msgspec.structs.replace(proof, resident_bytes=resident_bytes)
        reason = _doubt_in_memory(confirmed)
        if reason is not None:
            self._forget(image)
            raise TrialFailure(Outcome.NOT_COLD, reason)
        return confirmed

    def _is_still_warm(self, key: tuple[str, str], image: Image) -> bool:
        warmed_bytes = self._warmed_bytes.get(key)
        resident_bytes = None if warmed_bytes is None else self._resident_bytes(image)
        return warmed_bytes is None or resident_bytes is None or resident_bytes >= STILL_WARM * warmed_bytes

    def _resident_bytes(self, image: Image) -> int | None:
        """Bytes of its layers in memory; ``None`` where they cannot be read."""
        if Capability.LAYER_PATHS not in self._engine.capabilities:
            return None
        return self._surroundings.resident_bytes(self._engine.layer_paths(image))

    def started(self, cell: Cell, image: Image) -> None:
        """A container of this image was started: its pages, and the runtime's for it, are in memory now."""
        key = (image.image_id, cell.runtime)
        self._layers[image.image_id] = frozenset(layer.diff_id for layer in image.layers)
        self._warm_starts[key] = self._warm_starts.get(key, 0) + 1

    def watch(self) -> BlobWatch:
        """Begin to count what the registry serves."""
        return BlobWatch(self._blobs)

    def _prepare_absent(self, image: Image) -> ColdProof:
        try:
            self._engine.remove_image(image)
        except EngineError as error:
            raise TrialFailure(Outcome.NOT_COLD, str(error)) from error
        self._forget(image)
        present = self._engine.has_image(image)
        if present:
            raise TrialFailure(Outcome.NOT_COLD, f"{image.reference} is still in the engine after its removal")
        self._surroundings.warm_registry(image)
        return ColdProof(tier=Tier.ABSENT, source=self._proof_source(), image_present=present)

    def _prepare_cached(self, image: Image) -> ColdProof:
        paths: tuple[Path, ...] = self._engine.layer_paths(image)
        self._forget(image)
        self._surroundings.evict(paths)
        resident_bytes = self._surroundings.resident_bytes(paths)
        if resident_bytes > 0:
            raise TrialFailure(Outcome.NOT_COLD, f"{resident_bytes} bytes of its layers stayed in memory")
        return ColdProof(
            tier=Tier.CACHED, source=self._proof_source(), image_present=True, resident_bytes=resident_bytes
        )

    def _ensure_present(self, image: Image) -> None:
        """Have the image under the reference that containers are created from; of one that is there, only the name."""
        if self._engine.has_reference(image):
            return
        if not self._engine.has_image(image):
            self._forget(image)
        try:
            self._engine.pull(image)
        except EngineError as error:
            raise TrialFailure(Outcome.PULL_FAILED, str(error)) from error

    def _forget(self, image: Image) -> None:
        """The image's layers went, or their pages did: neither it nor another that shares one is warm any more."""
        gone = {layer.diff_id for layer in image.layers}
        cold = {image.image_id, *(name for name, layers in self._layers.items() if layers & gone)}
        self._warm_starts = {key: n for key, n in self._warm_starts.items() if key[0] not in cold}
        self._warmed_bytes = {key: n for key, n in self._warmed_bytes.items() if key[0] not in cold}

    def _proof_source(self) -> str:
        return REGISTRY_LOG if self._blobs is not None else ENGINE_API


class BlobWatch:
    """What the registry served from here on."""

    def __init__(self, blobs: BlobLog | None) -> None:
        self._blobs = blobs
        self._mark = blobs.mark() if blobs is not None else 0

    def conclude(self, proof: ColdProof, image: Image, pull: Timed[tuple[LayerEvent, ...]] | None) -> ColdProof:
        """The proof with what the trial itself showed."""
        events = pull.value if pull is not None else ()
        expected = len(_blob_digests(image)) + 1 if pull is not None else 0
        traffic = self._blobs.settle(self._mark, gets=expected) if self._blobs is not None else None
        return msgspec.structs.replace(
            proof,
            blob_gets=traffic.gets if traffic is not None else None,
            blob_bytes=traffic.bytes if traffic is not None else None,
            blob_digests=traffic.digests if traffic is not None else None,
            layers_unpacked=len({event.layer for event in events if event.status == "Pull complete"}),
        )


def doubt(proof: ColdProof, image: Image) -> str | None:
    """What the evidence lacks for its tier; ``None`` if it is complete.

    ``absent``: the registry served each blob of the manifest once, to the byte, and no other, and every layer was
    unpacked. ``cached`` and ``warm``: it served none, the image was there, and so were its pages, or were not.
    """
    return _doubt_absent(proof, image) if proof.tier is Tier.ABSENT else _doubt_present(proof)


def _doubt_absent(proof: ColdProof, image: Image) -> str | None:
    layers = _distinct_layers(image)
    if proof.layers_unpacked != layers:
        return f"{proof.layers_unpacked} of {layers} layers were unpacked: the others were there already"
    served = (proof.blob_gets, proof.blob_bytes)
    manifest = (len(_blob_digests(image)) + 1, _blob_bytes(image))  # one more: the configuration
    if proof.blob_gets is not None and served != manifest:
        return "the registry served {} blobs, {} bytes; the manifest has {} and {}".format(*served, *manifest)
    if proof.blob_digests is not None:
        return _doubt_blobs(Counter(proof.blob_digests), Counter([image.image_id, *_blob_digests(image)]))
    return None


def _doubt_blobs(served: Counter[str], listed: Counter[str | None]) -> str | None:
    other = sorted(digest for digest in served if digest not in listed)
    if other:
        return f"the registry served {', '.join(other)}, which the manifest does not list"
    again = sorted(digest for digest, count in served.items() if count > listed[digest])
    return f"the registry served {', '.join(again)} more than once" if again else None


def _doubt_present(proof: ColdProof) -> str | None:
    if proof.blob_gets:
        return f"the registry served {proof.blob_gets} blobs to a start that needed none"
    if not proof.image_present:
        return "the image was not in the engine"
    if proof.tier is Tier.WARM and not proof.warm_starts:
        return "nothing had started it since it was last evicted"
    return _doubt_in_memory(proof)


def _doubt_in_memory(proof: ColdProof) -> str | None:
    resident_bytes, warmed_bytes = proof.resident_bytes, proof.warmed_bytes
    if proof.tier is Tier.CACHED and resident_bytes != 0:
        return f"{resident_bytes} bytes of its layers were in memory: something read them after they were evicted"
    if resident_bytes is None or warmed_bytes is None or resident_bytes >= STILL_WARM * warmed_bytes:
        return None
    return (
        f"{resident_bytes} bytes of its layers were in memory, of {warmed_bytes} that the start which warmed them left "
        "there: the machine needed the memory for something else"
    )


def _distinct_layers(image: Image) -> int:
    """How many layers an engine reports of a pull: a layer that the manifest lists twice is reported once.

    Docker sends one "Pull complete" per digest (moby, distribution/xfer/download.go, makeDownloadFuncFromDownload).
    """
    return len({layer.digest or layer.diff_id for layer in image.layers})


def _blob_digests(image: Image) -> dict[str | None, int]:
    return {layer.digest: layer.compressed_bytes or 0 for layer in image.layers}


def _blob_bytes(image: Image) -> int:
    return sum(_blob_digests(image).values()) + (image.config_bytes or 0)
