"""A registry proxy that holds one blob back for a known time, and stamps when it did."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from coldstart.engines.netns import inside
from coldstart.model.sample import Phase
from coldstart.model.truth import Stamp
from coldstart.units import NS_PER_S

_PIECE_BYTES = 65536
_SLACK_S = 0.002  # asyncio wakes up late: the rest is waited out on the clock


class DelayProxy:
    """Forwards TCP connections to the registry; a GET of a blob waits ``delay_ns`` and then ``settle_ns`` first.

    Only the delay is stamped: the other wait is the same with and without one (`coldstart.truth.injectors.SETTLE_NS`).
    ``throttle_bytes_s`` limits what a connection delivers; ``None`` for no limit. Runs in a thread of its own, its
    sockets in the registry's network namespace.
    """

    def __init__(self, address: str, upstream: str, settle_ns: int = 0) -> None:
        self.address = address
        self.settle_ns = settle_ns
        self._upstream = upstream
        self.delay_ns = 0
        self.held_digest = ""
        self.throttle_bytes_s: float | None = None
        self._stamps: list[Stamp] = []
        self._open: set[asyncio.Task[None]] = set()  # the loop itself keeps no hold of a task that waits

    def tell(self, digest: str, delay_ns: int) -> None:
        """Hold the blob back by so much from now on, and forget earlier stamps."""
        self.held_digest, self.delay_ns = digest, delay_ns
        self._stamps = []

    def stamps(self) -> tuple[Stamp, ...]:
        """What was held back since `tell`."""
        return tuple(self._stamps)

    @contextlib.contextmanager
    def serving(self, netns: Path | None) -> Iterator[None]:
        """Serve for the block.

        Raises:
            OSError: the address cannot be listened on.
        """
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._run, args=(loop, netns), daemon=True)
        self._started: threading.Event = threading.Event()
        self._failure: OSError | None = None
        thread.start()
        self._started.wait()
        try:
            if self._failure is not None:
                raise self._failure
            yield
        finally:
            if loop.is_running():
                loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _run(self, loop: asyncio.AbstractEventLoop, netns: Path | None) -> None:
        asyncio.set_event_loop(loop)
        host, _, port = self.address.rpartition(":")
        try:
            with inside(netns):  # the whole thread: every socket it opens is there
                server = loop.run_until_complete(asyncio.start_server(self._serve, host, int(port)))
                self._started.set()
                loop.run_forever()
                server.close()
                for task in asyncio.all_tasks(loop):
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(loop), return_exceptions=True))
        except OSError as error:
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        host, _, port = self._upstream.rpartition(":")
        with contextlib.suppress(OSError, asyncio.CancelledError):
            first = await reader.read(_PIECE_BYTES)
            await self._hold_if_told(first)  # stamped as it arrives, before anything else is done for it
            up_reader, up_writer = await asyncio.open_connection(host, int(port))
            try:
                up_writer.write(first)
                await asyncio.gather(self._requests(reader, up_writer), self._answers(up_reader, writer))
            finally:
                up_writer.close()
                writer.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE_BYTES):
            await self._hold_if_told(piece)
            writer.write(piece)
            await writer.drain()
        writer.write_eof()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE_BYTES):
            if self.throttle_bytes_s is not None:
                await asyncio.sleep(len(piece) / self.throttle_bytes_s)
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def _hold_if_told(self, piece: bytes) -> None:
        begin_ns = time.monotonic_ns()
        if not self.held_digest or not piece.startswith(b"GET "):
            return
        if self.held_digest.encode() not in piece.partition(b"\r\n")[0]:
            return
        if self.delay_ns:
            await _until(begin_ns + self.delay_ns)
            self._stamps.append(Stamp(phase=Phase.DOWNLOAD, start_ns=begin_ns, end_ns=time.monotonic_ns()))
        await _until(time.monotonic_ns() + self.settle_ns)


async def _until(end_ns: int) -> None:
    await asyncio.sleep(max(0.0, (end_ns - time.monotonic_ns()) / NS_PER_S - _SLACK_S))
    while time.monotonic_ns() < end_ns:
        await asyncio.sleep(0)
