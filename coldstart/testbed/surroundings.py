"""The machine around a trial, as measuring sees it: settled, quiet, evicted, metered."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from coldstart.errors import TestbedError
from coldstart.model.image import Image
from coldstart.model.sample import Conditions, SentinelReading
from coldstart.testbed import pagecache
from coldstart.testbed.block import disk_of, kept_in_memory
from coldstart.testbed.conditions import conditions, read_meters
from coldstart.testbed.outside import refused
from coldstart.testbed.quiet import QuietWait, read_wait_ms, wait_until_quiet
from coldstart.testbed.registry import blob_path
from coldstart.testbed.sentinel import read_sentinel

_READ_BYTES = 1 << 20
_libc = ctypes.CDLL(None, use_errno=True)


class Surroundings:
    """This machine, with the engine's storage and the registry's where they are ours to see."""

    def __init__(
        self,
        data_root: Path | None,
        registry_storage: Path | None,
        scratch: Path | None = None,
        networks: Sequence[Path] = (),
    ) -> None:
        """``scratch`` is a folder on the engine's storage that is ours to write to.

        ``networks`` are the testbed's network namespaces, whose kernels refuse what goes elsewhere.
        """
        self._networks = networks
        self._data_root = data_root
        self._scratch = scratch
        self._registry_storage = registry_storage
        self._disk = None if data_root is None else disk_of(data_root)

    @property
    def registry_cache_state(self) -> str:
        """What `warm_registry` brings about, in words."""
        return "unknown" if self._registry_storage is None else "in memory: blobs are read before each pull"

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
        """Read the image's blobs from the registry's storage; nothing where that is elsewhere.

        Raises:
            TestbedError: a blob is not there.
        """
        if self._registry_storage is None:
            return
        for digest in dict.fromkeys((image.image_id, *(layer.digest for layer in image.layers))):
            if digest is not None:
                self._read(blob_path(self._registry_storage, digest))

    def _read(self, path: Path) -> None:
        try:
            with path.open("rb", buffering=0) as blob:
                while blob.read(_READ_BYTES):
                    pass
        except OSError as error:
            raise TestbedError(
                f"{path}: the registry lacks a blob of an image to measure ({error.strerror}). "
                "Build the images anew: coldstart testbed down --purge, then coldstart images build."
            ) from error

    def wait_until_quiet(self) -> QuietWait:
        """Block until neither the CPU nor the engine's disk is in use, or give up."""
        return wait_until_quiet(read_disk_ms=lambda: read_wait_ms(self._disk))

    def eviction_obstacle(self) -> str | None:
        """Why what is evicted here would stay in some memory all the same; ``None`` where nothing shows that."""
        return None if self._data_root is None else kept_in_memory(self._data_root)

    def evict(self, paths: Sequence[Path]) -> None:
        """Drop the pages of all files below the folders."""
        pagecache.evict(paths)

    def resident_bytes(self, paths: Sequence[Path]) -> int:
        """Bytes of their files that are in memory."""
        return pagecache.resident_bytes(paths)

    def sentinel(self) -> SentinelReading:
        """Do the fixed piece of work, and tell how long it took."""
        return read_sentinel(self._scratch)

    def open_meters(self) -> Callable[[], Conditions]:
        """Read the meters now; the returned call reads them again and gives what happened between."""
        before = read_meters(self._disk)
        refused_before = self._refused()

        def close() -> Conditions:
            found = conditions(before, read_meters(self._disk))
            refused_after = self._refused()
            if refused_before is None or refused_after is None:
                return found
            return msgspec.structs.replace(found, refused_packets=refused_after - refused_before)

        return close

    def _refused(self) -> int | None:
        return refused(self._networks) if self._networks else None
