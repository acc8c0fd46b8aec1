"""An image as measured: digest-pinned, with sizes, layers and where its parts came from."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

GZIP, ZSTD, UNCOMPRESSED = COMPRESSIONS = ("gzip", "zstd", "none")
"""How a layer's blob is compressed, by its content: engines look at that, not at the type in the manifest."""


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer: ``digest`` names its compressed blob, ``diff_id`` its unpacked tar.

    ``digest`` and ``compressed_bytes`` are ``None`` where the manifest was never seen by us. ``unpacked_bytes`` is the
    sum of its files' sizes and ``files`` the number of tar members; ``None`` where the blob was never seen.
    ``compression`` is one of `COMPRESSIONS`, ``None`` in older runs.
    """

    digest: str | None
    diff_id: str
    compressed_bytes: int | None
    unpacked_bytes: int | None = None
    files: int | None = None
    compression: str | None = None


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where a part of an image came from.

    ``what`` names it as results do (``Alpine 3.23.6 userland``); ``source`` is an upstream reference with
    digest, or the packages it was made of; ``packages`` are ``name=version``, sorted.
    """

    what: str
    source: str
    packages: tuple[str, ...] = ()


class Healthcheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When an image's HEALTHCHECK is run; 0 is Docker's default. ``is_set`` is false where the image has none."""

    is_set: bool = True
    interval_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A digest-pinned image of one platform.

    ``reference`` is what the engine pulls (``HOST:PORT/name@sha256:…``, or a local image's name); ``digest`` the
    manifest's, ``None`` for an image that was never in a registry; ``image_id`` the configuration's digest;
    ``healthcheck`` is ``None`` where the configuration was never seen.
    """

    workload: str
    variant: str
    reference: str
    image_id: str
    platform: str
    digest: str | None = None
    config_bytes: int | None = None
    layers: tuple[Layer, ...] = ()
    provenance: tuple[Provenance, ...] = ()
    healthcheck: Healthcheck | None = None

    @property
    def can_be_pulled(self) -> bool:
        """Whether some registry has it."""
        return self.digest is not None

    @property
    def compressed_bytes(self) -> int | None:
        """Bytes of its layers as a registry serves them; ``None`` if it was never in one, or any layer is unknown."""
        return _total(layer.compressed_bytes for layer in self.layers) if self.can_be_pulled else None

    @property
    def unpacked_bytes(self) -> int | None:
        """Bytes of its files, over all layers; ``None`` if any layer is unknown."""
        return _total(layer.unpacked_bytes for layer in self.layers)

    @property
    def files(self) -> int | None:
        """Members of its layers' tars; ``None`` if any layer is unknown."""
        return _total(layer.files for layer in self.layers)

    @property
    def blob_bytes(self) -> int | None:
        """What a full pull moves: layers and configuration; ``None`` if the manifest is unknown."""
        if self.compressed_bytes is None or self.config_bytes is None:
            return None
        return self.compressed_bytes + self.config_bytes


def packed_otherwise(ours: Image, theirs: Image) -> str | None:
    """How two images' pulls differ by more than their content, in words; ``None`` where nothing tells that they do.

    A layer of the same content (diff ID) with another digest was compressed by another program or another way: an image
    from a registry and the same from a local Docker, which keeps layers unpacked and has them compressed anew.
    """
    known = {layer.diff_id: layer for layer in ours.layers if layer.digest is not None}
    both = {layer.diff_id: (known[layer.diff_id], layer) for layer in theirs.layers if layer.diff_id in known}
    differing = [pair for pair in both.values() if pair[1].digest is not None and pair[0].digest != pair[1].digest]
    if not differing:
        return None
    sources = [next((part.source for part in image.provenance), "unknown") for image in (ours, theirs)]
    kinds = [sorted({pair[side].compression or "unknown" for pair in differing}) for side in (0, 1)]
    layers = "1 layer" if len(differing) == 1 else f"{len(differing)} layers"
    return (
        f"{layers} of the same content are packed otherwise ({ours.workload}:{ours.variant}, {sources[0]}: "
        f"{'/'.join(kinds[0])}; {theirs.workload}:{theirs.variant}, {sources[1]}: {'/'.join(kinds[1])}), so pull, "
        "unpack and bytes differ by that, too. Take both images from one place to compare their content"
    )


def _total(values: Iterable[int | None]) -> int | None:
    known = list(values)
    return sum(value for value in known if value is not None) if known and None not in known else None
