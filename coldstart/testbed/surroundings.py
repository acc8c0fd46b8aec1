"""The machine around a trial, as measuring sees it: settled, quiet, evicted, metered."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from coldstart.model.image import Image
from coldstart.model.sample import Conditions
from coldstart.testbed import pagecache
from coldstart.testbed.block import disk_of
from coldstart.testbed.conditions import conditions, read_meters
from coldstart.testbed.quiet import QuietWait, wait_until_quiet

_READ_BYTES = 1 << 20
_libc = ctypes.CDLL(None, use_errno=True)


class Surroundings:
    """This machine, with the engine's storage and the registry's where they are ours to see."""

    def __init__(self, data_root: Path | None, registry_storage: Path | None) -> None:
        self._data_root = data_root
        self._blobs = None if registry_storage is None else registry_storage / "docker/registry/v2/blobs/sha256"
        self._disk = None if data_root is None else disk_of(data_root)

    @property
    def registry_cache_state(self) -> str:
        """What `warm_registry` brings about, in words."""
        return "unknown" if self._blobs is None else "in memory: blobs are read before each pull"

    def settle(self) -> None:
        """Write back the filesystem under the engine's storage (syncfs(2))."""
        if self._data_root is None:
            return
        descriptor = os.open(self._data_root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _libc.syncfs(descriptor)
        finally:
            os.close(descriptor)

    def warm_registry(self, image: Image) -> None:
        """Read the image's blobs from the registry's storage; nothing where that is elsewhere."""
        if self._blobs is None:
            return
        for digest in dict.fromkeys((image.image_id, *(layer.digest for layer in image.layers))):
            name = digest.removeprefix("sha256:")
            path = self._blobs / name[:2] / name / "data"
            if path.is_file():
                with path.open("rb", buffering=0) as blob:
                    while blob.read(_READ_BYTES):
                        pass

    def wait_until_quiet(self) -> QuietWait:
        """Block until the CPU is quiet, or give up."""
        return wait_until_quiet()

    def evict(self, paths: Sequence[Path]) -> None:
        """Drop the pages of all files below the folders."""
        pagecache.evict(paths)

    def resident_bytes(self, paths: Sequence[Path]) -> int:
        """Bytes of their files that are in memory."""
        return pagecache.resident_bytes(paths)

    def open_meters(self) -> Callable[[], Conditions]:
        """Read the meters now; the returned call reads them again and gives what happened between."""
        before = read_meters(self._disk)
        return lambda: conditions(before, read_meters(self._disk))
