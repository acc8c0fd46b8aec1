"""An image as measured: digest-pinned, with sizes, layers and where its parts came from."""

from __future__ import annotations

import msgspec


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer: ``digest`` names its compressed blob, ``diff_id`` its unpacked tar.

    ``unpacked_bytes`` is the sum of its files' sizes and ``files`` the number of tar members;
    ``None`` where the blob was never seen by us.
    """

    digest: str
    diff_id: str
    compressed_bytes: int
    unpacked_bytes: int | None = None
    files: int | None = None


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where a part of an image came from.

    ``what`` names it as results do (``Alpine 3.23.6 userland``); ``source`` is an upstream reference with
    digest, or the packages it was made of; ``packages`` are ``name=version``, sorted.
    """

    what: str
    source: str
    packages: tuple[str, ...] = ()


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A digest-pinned image of one platform.

    ``reference`` is what the engine pulls (``HOST:PORT/name@sha256:…``, or a local image's name); ``digest`` the
    manifest's, ``None`` for an image that was never in a registry; ``image_id`` the configuration's digest.
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

    @property
    def compressed_bytes(self) -> int | None:
        """Bytes of its layers as a registry serves them; ``None`` if it was never in one."""
        return sum(layer.compressed_bytes for layer in self.layers) if self.digest else None

    @property
    def unpacked_bytes(self) -> int | None:
        """Bytes of its files, over all layers; ``None`` if any layer is unknown."""
        sizes = [layer.unpacked_bytes for layer in self.layers]
        return sum(size for size in sizes if size is not None) if sizes and None not in sizes else None

    @property
    def files(self) -> int | None:
        """Members of its layers' tars; ``None`` if any layer is unknown."""
        counts = [layer.files for layer in self.layers]
        return sum(count for count in counts if count is not None) if counts and None not in counts else None

    @property
    def blob_bytes(self) -> int | None:
        """What a full pull moves: layers and configuration; ``None`` if the manifest is unknown."""
        if self.compressed_bytes is None or self.config_bytes is None:
            return None
        return self.compressed_bytes + self.config_bytes
