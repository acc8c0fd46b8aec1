"""Read what a registry holds, over its HTTP API, from the network namespace it is reached in.

API: https://github.com/opencontainers/distribution-spec/blob/main/spec.md; plain HTTP, as the testbed's speaks.
"""

from __future__ import annotations

import gzip
import http.client
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from coldstart.decoding import UNREADABLE
from coldstart.engines.netns import tcp_socket
from coldstart.errors import ImageBuildError, RegistryUnreachableError
from coldstart.images import oci, tars
from coldstart.images.layers import LayerCounts, count
from coldstart.model.image import Healthcheck, Image, Layer, Provenance

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

_TIMEOUT_S = 30  # of one read: what it has, it begins to send at once


class DamagedLayerError(ImageBuildError):
    """A layer is what its digest says, and not a tar."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest as served: ``digest`` is of its bytes, ``content`` its JSON."""

    digest: str
    content: oci.Document


def healthcheck_of(config: dict[str, Any]) -> Healthcheck:
    """What an image's own configuration says of its HEALTHCHECK; ``NONE`` is Docker's word for one taken away.

    Raises:
        ImageBuildError: it says something that no engine takes.
    """
    try:
        return _healthcheck(msgspec.convert(config, oci.Settings))
    except UNREADABLE as error:
        raise ImageBuildError(f"the image's configuration cannot be read ({error}).") from error


def _healthcheck(settings: oci.Settings | None) -> Healthcheck:
    check = (settings and settings.healthcheck) or oci.Check()
    return Healthcheck(
        is_set=(check.test or ("NONE",))[0] not in {"NONE", ""},
        interval_ns=check.interval or 0,
        start_period_ns=check.start_period or 0,
        start_interval_ns=check.start_interval or 0,
    )


class Registry:
    """One registry. Counts of layers are kept: variants share them."""

    def __init__(self, address: str, netns: Path | None) -> None:
        self.address = address
        self.netns = netns
        self._counts: dict[str, LayerCounts] = {}

    def manifest(self, repository: str, reference: str) -> Manifest | None:
        """The manifest or index called ``reference`` (tag or digest); ``None`` if there is none.

        Raises:
            RegistryUnreachableError: no answer, or not a registry's.
        """
        accepted = ", ".join((*oci.MANIFESTS, *oci.INDEXES))
        with self._get(f"/v2/{repository}/manifests/{reference}", accepted) as answer:
            if answer.status == 404:
                return None
            body = self._read(answer, oci.DOCUMENT_MAX_BYTES)
        try:
            content = msgspec.json.decode(body, type=oci.Document)
        except UNREADABLE as error:
            raise RegistryUnreachableError(f"{self.address} answers, but not as a registry: {error}") from error
        return Manifest(digest=oci.digest_of(body), content=content)

    def image(
        self,
        repository: str,
        reference: str,
        *,
        platform: str,
        names: tuple[str, str],
        provenance: tuple[Provenance, ...],
        is_asked: bool = False,
    ) -> Image | None:
        """The image called ``reference``, pinned, with all its sizes; ``None`` if there is none.

        Of an index, the image for ``platform`` (``is_asked``: that and no other that runs there, too); ``names`` are
        its workload and variant.

        Raises:
            RegistryUnreachableError: no answer.
            InputFileError: it is not a container image, or an index without one for the platform.
            DamagedLayerError: a layer is not a tar.
        """
        where = f"{self.address}/{repository}:{reference}".replace(":sha256:", "@sha256:")
        manifest = self.manifest(repository, reference)
        if manifest is not None and manifest.content.manifests is not None:
            manifest = self._chosen(repository, manifest.content.manifests, platform, where, is_asked=is_asked)
        if manifest is None:
            return None
        described = manifest.content
        oci.refuse_no_image(described, where)
        assert described.config is not None  # it is an image
        layers = described.layers or ()
        config = self._config(repository, described, where)
        if len(layers) != len(config.rootfs.diff_ids):
            raise ImageBuildError(f"{where}: its configuration has another number of layers than its manifest.")
        workload, variant = names
        return Image(
            workload=workload,
            variant=variant,
            reference=f"{self.address}/{repository}@{manifest.digest}",
            image_id=described.config.digest,
            platform=config.platform or "linux/unknown",
            digest=manifest.digest,
            config_bytes=described.config.size,
            layers=tuple(
                self._layer(repository, layer, diff_id)
                for layer, diff_id in zip(layers, config.rootfs.diff_ids, strict=True)
            ),
            provenance=provenance,
            healthcheck=_healthcheck(config.config),
        )

    def blob(self, repository: str, digest: str) -> bytes:
        """A blob's content.

        Raises:
            RegistryUnreachableError: no answer, or no such blob.
        """
        with self._get(f"/v2/{repository}/blobs/{digest}") as answer:
            return self._read(answer)

    def _chosen(
        self, repository: str, index: tuple[oci.Descriptor, ...], platform: str, where: str, *, is_asked: bool
    ) -> Manifest | None:
        def read(descriptor: oci.Descriptor) -> oci.Document:
            manifest = self.manifest(repository, descriptor.digest)
            if manifest is None:
                raise RegistryUnreachableError(f"{where}: the registry has not what it lists: {descriptor.digest}.")
            return manifest.content

        chosen = oci.choose(
            index,
            platform,
            is_asked=is_asked,
            where=where,
            read=read,
            config_of=lambda document: self._config(repository, document, where),
        )
        return self.manifest(repository, chosen.descriptor.digest)

    def _config(self, repository: str, document: oci.Document, where: str) -> oci.Config:
        assert document.config is not None  # it is an image
        with self._get(f"/v2/{repository}/blobs/{document.config.digest}") as answer:
            content = self._read(answer, oci.CONFIG_MAX_BYTES)
        return oci.decoded(content, oci.Config, where, f"configuration {document.config.digest}")

    def _layer(self, repository: str, described: oci.Descriptor, diff_id: str) -> Layer:
        digest = described.digest
        if digest not in self._counts:
            self._counts[digest] = self._count(repository, digest)
        counts = self._counts[digest]
        return Layer(
            digest=digest,
            diff_id=diff_id,
            compressed_bytes=described.size,
            unpacked_bytes=counts.unpacked_bytes,
            files=counts.files,
            compression=counts.compression,
        )

    def _count(self, repository: str, digest: str) -> LayerCounts:
        with self._get(f"/v2/{repository}/blobs/{digest}") as answer:
            try:
                return count(_Whole(self._checked(answer)))
            except (*tars.DAMAGED, gzip.BadGzipFile) as error:
                raise DamagedLayerError(f"{self.address}/{repository}: layer {digest} is damaged ({error}).") from error
            except (OSError, http.client.HTTPException) as error:
                raise RegistryUnreachableError(f"registry {self.address} broke off its answer ({error}).") from error

    @contextmanager
    def _get(self, path: str, accepted: str = "*/*") -> Iterator[http.client.HTTPResponse]:
        connection = _Connection(self.address, self.netns)
        try:
            try:
                connection.request("GET", path, headers={"Accept": accepted})
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise RegistryUnreachableError(
                    f"no registry answers at {self.address} ({error}). coldstart testbed status tells more."
                ) from error
            yield answer
        finally:
            connection.close()

    def _read(self, answer: http.client.HTTPResponse, limit: int | None = None) -> bytes:
        """An answer's whole content, of at most ``limit`` bytes if that is given."""
        try:
            content = io.BufferedReader(_Whole(self._checked(answer))).read(-1 if limit is None else limit + 1)
        except (OSError, http.client.HTTPException) as error:
            raise RegistryUnreachableError(f"registry {self.address} broke off its answer ({error}).") from error
        if limit is not None and len(content) > limit:
            raise RegistryUnreachableError(f"registry {self.address} answers with more than {limit} bytes.")
        return content

    def _checked(self, answer: http.client.HTTPResponse) -> http.client.HTTPResponse:
        if answer.status != 200:
            raise RegistryUnreachableError(f"registry {self.address} answers {answer.status} {answer.reason}.")
        return answer


class _Whole(io.RawIOBase):
    """An answer's content: one that ends before its stated length is broken off, which http.client passes over."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        got = self._answer.readinto(buffer)
        if not got and self._answer.length:
            raise http.client.IncompleteRead(b"", self._answer.length)
        return got


class _Connection(http.client.HTTPConnection):
    """HTTP whose socket lives in a network namespace."""

    def __init__(self, address: str, netns: Path | None) -> None:
        super().__init__(address, timeout=_TIMEOUT_S)
        self._netns = netns

    def connect(self) -> None:
        self.sock = tcp_socket(self._netns)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect((self.host, self.port))
