"""Where things are printed: a terminal as wide as it is, anything else wide enough for a line a row, read or not."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 140  # columns, where the output is no terminal


def stdout_console() -> Console:
    """A console on standard output."""
    from rich.console import Console  # noqa: PLC0415  30 ms that only a command with tables needs to pay

    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def outlive_readers() -> None:
    """Let standard output and error take what nobody reads any more.

    Ctrl-C ends all of ``coldstart run 2>&1 | tee log``, tee first, and a lost connection takes the terminal away: what
    was started is to be taken down all the same, and what was found is to be the exit code.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _Outliving):
            setattr(sys, name, cast("TextIO", _Outliving(stream)))


class _Outliving:
    """A stream that goes on when its pipe has no reader or its terminal is gone; any other error is raised."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._reader_gone = {errno.EPIPE, *([errno.EIO] if stream.isatty() else [])}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def buffer(self) -> _Outliving:
        return _Outliving(self._stream.buffer)

    def write(self, content: Any) -> int:
        try:
            return int(self._stream.write(content))
        except OSError as error:
            self._let_go(error)
            return len(content)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._let_go(error)

    def _let_go(self, error: OSError) -> None:
        """What is still in its buffer goes nowhere, now and at exit."""
        if error.errno not in self._reader_gone:
            raise error
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
