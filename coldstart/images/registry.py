"""Read what a registry holds, over its HTTP API, from the network namespace it is reached in.

API: https://github.com/opencontainers/distribution-spec/blob/main/spec.md; plain HTTP, as the testbed's speaks.
"""

from __future__ import annotations

import hashlib
import http.client
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from coldstart.engines.netns import tcp_socket
from coldstart.errors import ImageBuildError, RegistryUnreachableError
from coldstart.images import platforms
from coldstart.images.layers import LayerCounts, count
from coldstart.model.image import Healthcheck, Image, Layer, Provenance

_TIMEOUT_S = 60
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")

_HEALTH_TIMES = (("interval", "Interval"), ("start_period", "StartPeriod"), ("start_interval", "StartInterval"))


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest as served: ``digest`` is of its bytes, ``content`` its JSON."""

    digest: str
    content: dict[str, Any]

    @property
    def is_index(self) -> bool:
        """Whether it lists manifests of several platforms."""
        return "manifests" in self.content


def healthcheck_of(config: dict[str, Any]) -> Healthcheck:
    """What an image's own configuration says of its HEALTHCHECK; ``NONE`` is Docker's word for one taken away."""
    check = config.get("Healthcheck") or {}
    times = {f"{key}_ns": int(check.get(name) or 0) for key, name in _HEALTH_TIMES}
    return Healthcheck(is_set=(check.get("Test") or ["NONE"])[0] not in {"NONE", ""}, **times)


class Registry:
    """One registry. Counts of layers are kept: variants share them."""

    def __init__(self, address: str, netns: Path | None) -> None:
        self.address = address
        self.netns = netns
        self._counts: dict[str, LayerCounts | None] = {}

    def manifest(self, repository: str, reference: str) -> Manifest | None:
        """The manifest or index called ``reference`` (tag or digest); ``None`` if there is none.

        Raises:
            RegistryUnreachableError: no answer, or not a registry's.
        """
        accepted = ", ".join((*_MANIFESTS, *_INDEXES))
        with self._get(f"/v2/{repository}/manifests/{reference}", accepted) as answer:
            if answer.status == 404:
                return None
            body = self._checked(answer).read()
        try:
            content = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise RegistryUnreachableError(f"{self.address} answers, but not as a registry: {error}") from error
        return Manifest(digest=f"sha256:{hashlib.sha256(body).hexdigest()}", content=content)

    def image(
        self,
        repository: str,
        reference: str,
        *,
        platform: str,
        names: tuple[str, str],
        provenance: tuple[Provenance, ...],
    ) -> Image | None:
        """The image called ``reference``, pinned, with all its sizes; ``None`` if there is none.

        Of an index, the image for ``platform``, else its first; ``names`` are its workload and variant.

        Raises:
            RegistryUnreachableError: no answer.
            ImageBuildError: a layer is damaged.
        """
        manifest = self.manifest(repository, reference)
        if manifest is not None and manifest.is_index:
            manifest = self.manifest(repository, _choose(manifest, platform))
        if manifest is None:
            return None
        config_digest = str(manifest.content["config"]["digest"])
        with self._get(f"/v2/{repository}/blobs/{config_digest}") as answer:
            config = msgspec.json.decode(self._checked(answer).read(), type=dict[str, Any])
        workload, variant = names
        return Image(
            workload=workload,
            variant=variant,
            reference=f"{self.address}/{repository}@{manifest.digest}",
            image_id=config_digest,
            platform=platforms.normalize(
                config.get("os", "linux"), config.get("architecture", "unknown"), config.get("variant")
            ),
            digest=manifest.digest,
            config_bytes=int(manifest.content["config"]["size"]),
            layers=tuple(
                self._layer(repository, described, diff_id)
                for described, diff_id in zip(manifest.content["layers"], config["rootfs"]["diff_ids"], strict=True)
            ),
            provenance=provenance,
            healthcheck=healthcheck_of(config.get("config") or {}),
        )

    def blob(self, repository: str, digest: str) -> bytes:
        """A blob's content.

        Raises:
            RegistryUnreachableError: no answer, or no such blob.
        """
        with self._get(f"/v2/{repository}/blobs/{digest}") as answer:
            return self._checked(answer).read()

    def _layer(self, repository: str, described: dict[str, Any], diff_id: str) -> Layer:
        digest = str(described["digest"])
        if digest not in self._counts:
            self._counts[digest] = self._count(repository, digest)
        counts = self._counts[digest]
        return Layer(
            digest=digest,
            diff_id=diff_id,
            compressed_bytes=int(described["size"]),
            unpacked_bytes=counts.unpacked_bytes if counts else None,
            files=counts.files if counts else None,
        )

    def _count(self, repository: str, digest: str) -> LayerCounts | None:
        with self._get(f"/v2/{repository}/blobs/{digest}") as answer:
            try:
                return count(self._checked(answer))
            except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
                raise ImageBuildError(f"{self.address}/{repository}: layer {digest} is damaged ({error}).") from error

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

    def _checked(self, answer: http.client.HTTPResponse) -> http.client.HTTPResponse:
        if answer.status != 200:
            raise RegistryUnreachableError(f"registry {self.address} answers {answer.status} {answer.reason}.")
        return answer


class _Connection(http.client.HTTPConnection):
    """HTTP whose socket lives in a network namespace."""

    def __init__(self, address: str, netns: Path | None) -> None:
        super().__init__(address, timeout=_TIMEOUT_S)
        self._netns = netns

    def connect(self) -> None:
        self.sock = tcp_socket(self._netns)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect((self.host, self.port))


def _choose(index: Manifest, platform: str) -> str:
    """The digest of the index's image for ``platform``, else of its first that is an image at all."""
    entries = [
        (platforms.normalize(named.get("os", ""), named.get("architecture", ""), named.get("variant")), entry["digest"])
        for entry in index.content["manifests"]
        if (named := entry.get("platform") or {}).get("os") != "unknown"  # attestations call themselves so
    ]
    return str(next((digest for name, digest in entries if name == platform), entries[0][1] if entries else ""))
