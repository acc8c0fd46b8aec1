"""The injectors' programs: one static binary under the names of what it stands in for, told by a file beside it."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from coldstart.errors import ImageBuildError
from coldstart.images.host import ImageHost
from coldstart.model.image import Image
from coldstart.model.sample import Phase
from coldstart.model.truth import Arm, Stamp

WORKLOAD, VARIANT = "inject", "scratch"
_BINARY = "inject"
_STAMPS = "stamps.jsonl"
_SETTINGS = "inject.conf"
_DECOMPRESSOR = "unpigz"
_IN_CONTAINER = "/inject-stamps"

SETTLE_NS = 20_000_000
"""How long every injector waits in every arm, besides its delay; so the control arm's is a wait of this alone.

What follows a wait finds an idler machine than what follows none, and is done sooner (an answer) or later (work that
the kernel puts off while idle). Compared with no wait at all, that would show as an effect of the delay.
"""

BY_WRAPPER = (Phase.UNPACK, Phase.RUNTIME_CREATE, Phase.RUNTIME_START)
BY_APP = {Phase.APP_START: "INJECT_APP_START_NS", Phase.RESPOND: "INJECT_RESPOND_NS"}


def wrapper_name(runtime: str) -> str:
    """What the engine knows the wrapper of a runtime as."""
    return f"inject-{runtime}"


class Toolbox:
    """A folder of injectors, and the delays they are told.

    Layout: the binary, links to it under each name, ``inject.conf``, and ``stamps/`` with what they stamped.
    """

    def __init__(self, folder: Path, runtimes: Mapping[str, Path], decompressor: Path | None) -> None:
        """``runtimes`` are the real ones by name; ``decompressor`` the real unpigz, ``None`` if there is none."""
        self.folder = folder
        self._real = {wrapper_name(name): str(path) for name, path in runtimes.items()}
        if decompressor is not None:
            self._real[_DECOMPRESSOR] = str(decompressor)
        self._stamps = folder / "stamps" / _STAMPS

    @property
    def runtimes(self) -> dict[str, Path]:
        """The wrapper runtimes, to be offered by the engine."""
        return {name: self.folder / name for name in self._real if name != _DECOMPRESSOR}

    def install(self, binary: bytes) -> None:
        """Write the binary and its names."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._stamps.parent.mkdir(parents=True)
        path = self.folder / _BINARY
        path.write_bytes(binary)
        path.chmod(0o755)
        for name in self._real:
            (self.folder / name).symlink_to(_BINARY)
        self.tell(Arm(runtime=""))

    def tell(self, arm: Arm) -> None:
        """Set the wrappers' delays for one trial, and forget earlier stamps."""
        lines = [
            f"stamps {self._stamps}",
            f"settle {SETTLE_NS}",
            *(f"real {name} {path}" for name, path in self._real.items()),
        ]
        if arm.point in BY_WRAPPER:
            lines.append(f"delay {arm.point} {arm.delay_ns}")
        fresh = self.folder / f".{_SETTINGS}"
        fresh.write_text("\n".join([*lines, ""]))
        fresh.replace(self.folder / _SETTINGS)
        self._stamps.unlink(missing_ok=True)

    def environment(self, arm: Arm) -> tuple[str, ...]:
        """What the app's container is told."""
        named = [f"{BY_APP[arm.point]}={arm.delay_ns}"] if arm.point in BY_APP else []
        return (f"INJECT_STAMPS={_IN_CONTAINER}/{_STAMPS}", f"INJECT_SETTLE_NS={SETTLE_NS}", *named)

    @property
    def volume(self) -> str:
        """The bind mount by which the app's stamps come out."""
        return f"{self._stamps.parent}:{_IN_CONTAINER}"

    def stamps(self) -> tuple[Stamp, ...]:
        """What was stamped since `tell`."""
        try:
            lines = self._stamps.read_bytes().splitlines()
        except FileNotFoundError:
            return ()
        return tuple(msgspec.json.decode(line, type=Stamp) for line in lines)


def binary_of(host: ImageHost, image: Image) -> bytes:
    """The injectors' binary, out of the image it is built as.

    Raises:
        ImageBuildError: the image does not hold it.
        RegistryUnreachableError: no answer.
    """
    registry = host.registry
    assert registry is not None
    repository = image.reference.removeprefix(f"{registry.address}/").partition("@")[0]
    for layer in image.layers:
        assert layer.digest is not None
        with tarfile.open(fileobj=io.BytesIO(registry.blob(repository, layer.digest))) as tar:
            for member in tar:
                content = tar.extractfile(member)
                if content is not None and member.name.strip("./") == _BINARY:
                    return content.read()
    raise ImageBuildError(
        f"{image.reference} holds no /{_BINARY}; build it anew: coldstart images build --workload inject"
    )
