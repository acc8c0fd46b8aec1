"""Archives, image layouts, kits, and the answers of registries."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import io
import json
import lzma
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from benchmarks.fuzzing.mutations import mutated_bytes
from benchmarks.fuzzing.runs import stored
from benchmarks.fuzzing.target import Files, Rng, Target, as_json, placed
from coldstart.errors import ColdstartError

_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_LAYER = gzip.compress(b"\0" * 10240, mtime=0)


class _Blobs:
    """Content by digest; each piece of JSON may be made wrong before it is stored, so that digests still agree."""

    def __init__(self, rng: Rng, odds: float) -> None:
        self.rng, self.odds = rng, odds
        self.found: Files = {}

    def json(self, value: object) -> bytes:
        return as_json(self.rng, value) if self.rng.random() < self.odds else json.dumps(value).encode()

    def put(self, content: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        self.found[digest] = content
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    def image(self) -> dict[str, Any]:
        layer = _LAYER if self.rng.random() > self.odds / 3 else mutated_bytes(self.rng, _LAYER)
        plain = hashlib.sha256(b"\0" * 10240).hexdigest()
        config = {
            "os": "linux",
            "architecture": "amd64",
            "config": {"Env": ["A=1"], "Healthcheck": {"Test": ["CMD", "true"], "Interval": 10**9}},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{plain}"]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST_TYPE,
            "config": self.put(self.json(config), _CONFIG_TYPE),
            "layers": [self.put(layer, _LAYER_TYPE)],
        }
        platform = {"os": "linux", "architecture": "amd64"}
        return {**self.put(self.json(manifest), _MANIFEST_TYPE), "platform": platform}

    def index(self) -> bytes:
        return self.json({"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": [self.image()]})


def _tar(rng: Rng, files: Files) -> bytes:
    out = io.BytesIO()
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, b"S", b"L", b"x")
    with tarfile.open(fileobj=out, mode="w", format=rng.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if rng.random() < 0.03:
                member.type, member.linkname, member.size = rng.choice(kinds), "/etc/passwd", 0
            tar.addfile(member, io.BytesIO(content))
    data = out.getvalue()
    if rng.random() < 0.2:
        data = _bad_header(rng, data)
    if rng.random() < 0.2:
        data = mutated_bytes(rng, data)
    return data


def _bad_header(rng: Rng, data: bytes) -> bytes:
    """A size, a checksum or a name in a header is another; the checksum is set right again."""
    changed = bytearray(data)
    at = 512 * rng.randrange(max(1, len(data) // 512))
    field = rng.choice(((0, 100), (100, 8), (124, 12), (136, 12), (156, 1), (345, 155)))
    value = rng.choice((b"\xff" * 12, b"\x80" + b"\xff" * 11, b"77777777777\0", b"-1\0", rng.randbytes(12), b"\0" * 12))
    changed[at + field[0] : at + field[0] + min(field[1], len(value))] = value[: field[1]]
    changed[at + 148 : at + 156] = b" " * 8
    changed[at + 148 : at + 156] = b"%06o\0 " % (sum(changed[at : at + 512]) & 0o777777)
    return bytes(changed[: len(data)])


def _archive(rng: Rng) -> Files:
    blobs = _Blobs(rng, 0.3)
    if rng.random() < 0.5:
        index = blobs.index()
        files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index}
        files |= {f"blobs/sha256/{digest}": content for digest, content in blobs.found.items()}
    else:
        config = blobs.json({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": ["sha256:" + "0" * 64]}})
        saved = [{"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["l/layer.tar"]}]
        files = {"c.json": config, "l/layer.tar": b"\0" * 1024, "manifest.json": blobs.json(saved)}
    names = list(files)
    rng.shuffle(names)
    prefix = rng.choice(("", "", "./"))
    data = _tar(rng, {prefix + name: files[name] for name in names})
    if rng.random() < 0.15:
        data = rng.choice((gzip.compress, bz2.compress, lzma.compress))(data)
        data = data if rng.random() < 0.5 else mutated_bytes(rng, data)
    return {"x.tar": data}


def _read_archive(files: Files, folder: Path) -> object:
    from coldstart.images import imports  # noqa: PLC0415  as above
    from coldstart.images.archive import read_archive  # noqa: PLC0415
    from coldstart.images.intake import refuse_unfit  # noqa: PLC0415

    placed(files, folder)
    path, work = folder / "x.tar", folder / "work"
    work.mkdir()
    with contextlib.suppress(ColdstartError):
        read_archive(path)
    with _without_skopeo(imports):
        image = imports.bring(path, work, path, "linux/amd64", is_asked=False)
    if (image / "manifest.json").exists():
        refuse_unfit(image, path, "linux/amd64", is_asked=False)
    return image


@contextlib.contextmanager
def _without_skopeo(imports: Any) -> Iterator[None]:
    """A docker archive is handed to skopeo, which is not ours to fuzz."""
    own = imports._from_docker_archive  # noqa: SLF001  there is no seam, and needs none otherwise
    imports._from_docker_archive = lambda _source, work, _where: work  # noqa: SLF001
    try:
        yield
    finally:
        imports._from_docker_archive = own  # noqa: SLF001


def _kit(rng: Rng) -> Files:
    image = stored()[0]["images"][0]
    content = b"blob"
    digest = hashlib.sha256(content).hexdigest()
    manifest = {
        "format": "coldstart bundle",
        "version": 1,
        "coldstart": "0.1.0",
        "platform": "linux/amd64",
        "images": [{"key": "k" * 12, "image": image}],
        "bases": [],
        "target": rng.choice((None, {"architecture": "amd64", "release": "bookworm", "python": "3.11"})),
        "parts": [{"name": f"blobs/sha256/{digest}", "sha256": digest, "size_bytes": len(content)}],
    }
    text = as_json(rng, manifest) if rng.random() < 0.8 else json.dumps(manifest).encode()
    checksum = hashlib.sha256(text).hexdigest().encode()
    files = {"manifest.json": text, "manifest.sha256": checksum, f"blobs/sha256/{digest}": content}
    return {"x.tar": _tar(rng, files)}


def _read_kit(files: Files, folder: Path) -> object:
    from coldstart.kit.bundle import read_manifest  # noqa: PLC0415  as above
    from coldstart.kit.images import read_images  # noqa: PLC0415

    placed(files, folder)
    (folder / "out").mkdir()
    read_manifest(folder / "x.tar")
    return read_images(folder / "x.tar", folder / "out")


def _registry_answer(rng: Rng) -> Files:
    blobs = _Blobs(rng, 0.25)
    index = blobs.index()
    files = {digest: _answer(rng, content) for digest, content in blobs.found.items()}
    return {"index": _answer(rng, index), **files}


def _answer(rng: Rng, body: bytes) -> bytes:
    """An HTTP answer, mostly as it should be."""
    status = "200 OK" if rng.random() < 0.95 else rng.choice(("401 No", "404 Not", "500 x", "301 y", "200", "abc", ""))
    length = len(body) if rng.random() < 0.95 else rng.choice((0, -1, 10**12, len(body) + 5, "x"))
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()
    data = head + body
    return data if rng.random() < 0.93 else mutated_bytes(rng, data)


def _read_registry(files: Files, folder: Path) -> object:  # noqa: ARG001  a target's signature
    from coldstart.images import registry  # noqa: PLC0415  as above

    class Answering(registry._Connection):  # noqa: SLF001  where answers come from
        def connect(self) -> None:
            self.sock = cast("socket.socket", _Wire(files))  # what http.client uses of one

    own = registry._Connection  # noqa: SLF001
    registry._Connection = Answering  # type: ignore[misc]  # noqa: SLF001
    try:
        found = registry.Registry("127.0.0.1:5000", None)
        return found.image("app", "1", platform="linux/amd64", names=("app", "1"), provenance=())
    finally:
        registry._Connection = own  # type: ignore[misc]  # noqa: SLF001


class _Wire:
    """A socket whose answer is looked up by what was asked for."""

    def __init__(self, answers: Files) -> None:
        self._answers = answers
        self._asked = b""

    def sendall(self, data: bytes) -> None:
        self._asked += data

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        path = self._asked.split(b" ")[1].decode()
        name = path.rpartition("sha256:")[2] if "sha256:" in path else "index"
        return io.BufferedReader(io.BytesIO(self._answers.get(name, b"")))

    def settimeout(self, _: object) -> None: ...

    def close(self) -> None: ...


TARGETS = (
    Target("archives and layouts", 10, _archive, _read_archive),
    Target("kits", 6, _kit, _read_kit),
    Target("registry answers", 5, _registry_answer, _read_registry),
)
