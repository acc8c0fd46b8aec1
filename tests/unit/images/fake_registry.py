"""A registry in memory, spoken to over real HTTP."""

from __future__ import annotations

import hashlib
import json


class FakeRegistry:
    """Blobs by digest, manifests by repository and reference; ``address`` is where it listens."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], bytes] = {}
        self.requests: list[str] = []
        self.cut: str | None = None  # the digest of a blob of which half is sent

    def put_blob(self, content: bytes) -> str:
        """Store a blob; returns its digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blobs[digest] = content
        return digest

    def put_manifest(self, repository: str, reference: str, content: object) -> str:
        """Store a manifest under ``reference`` and its digest; returns the digest."""
        body = json.dumps(content).encode()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self.manifests[repository, reference] = self.manifests[repository, digest] = body
        return digest

    def put_image(self, repository: str, reference: str, layers: list[bytes], **config: object) -> str:
        """Store an image of ``layers`` (blobs as served); returns its manifest's digest."""
        facts = {"os": "linux", "architecture": "amd64", **config}
        diff_ids = [f"sha256:{hashlib.sha256(b'plain' + layer).hexdigest()}" for layer in layers]
        encoded = json.dumps({**facts, "rootfs": {"diff_ids": diff_ids}}).encode()
        described = [{"digest": self.put_blob(layer), "size": len(layer)} for layer in layers]
        content = {"config": {"digest": self.put_blob(encoded), "size": len(encoded)}, "layers": described}
        return self.put_manifest(repository, reference, content)

    def sends_of(self, path: str) -> int | None:
        """How many bytes of its answer are sent before the connection ends; ``None`` for all."""
        digest = path.rpartition("/blobs/")[2]
        return len(self.blobs[digest]) // 2 if digest == self.cut else None

    def answer(self, path: str) -> bytes | None:
        """The body for a request, ``None`` for 404."""
        self.requests.append(path)
        repository, _, rest = path.removeprefix("/v2/").partition("/manifests/")
        if rest:
            return self.manifests.get((repository, rest))
        return self.blobs.get(path.rpartition("/blobs/")[2])
