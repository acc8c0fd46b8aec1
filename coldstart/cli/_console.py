"""Where things are printed: a terminal as wide as it is, anything else wide enough for a line a row, read or not."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

from coldstart.text import printable

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 140  # columns, where the output is no terminal


def stdout_console() -> Console:
    """A console on standard output."""
    from coldstart.cli._safe_console import SafeConsole  # noqa: PLC0415  30 ms that only a command with tables pays

    return SafeConsole(_unfiltered(sys.stdout), width=None if sys.stdout.isatty() else PLAIN_WIDTH)


def stderr_console() -> Console:
    """A console on standard error."""
    from coldstart.cli._safe_console import SafeConsole  # noqa: PLC0415  as above

    return SafeConsole(_unfiltered(sys.stderr), stderr=True)


def _unfiltered(stream: object) -> TextIO | None:
    """The stream for a console, which writes escape sequences of its own and none of anybody else's."""
    return cast("TextIO", stream.unfiltered) if isinstance(stream, _Outliving) else None


def outlive_readers() -> None:
    """Let standard output and error accept what cannot be delivered any more.

    Ctrl-C ends all of ``coldstart run 2>&1 | tee log``, tee first, and a lost connection takes the terminal away: what
    was started is to be taken down all the same, and what was found is to be the exit code. A full disk behind standard
    output must not end a run either; `undelivered` then says so at the end.
    """
    _open_missing()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, _Outliving):
            _make_unicode(stream)
            setattr(sys, name, cast("TextIO", _Outliving(stream, _Loss(may_fail=name == "stderr"))))


def undelivered() -> OSError | None:
    """Write out what is buffered; why some of standard output was refused, ``None`` if nothing was.

    A closed pipe does not count: whoever reads only the first lines has what they wanted.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return sys.stdout.loss.error if isinstance(sys.stdout, _Outliving) else None


def _make_unicode(stream: object) -> None:
    """Let the stream take every character.

    click writes past a stream whose encoding is ASCII, to its bytes in UTF-8, where nothing filters the text any more.
    """
    if isinstance(stream, io.TextIOWrapper):
        is_ascii = codecs.lookup(stream.encoding).name == "ascii"
        stream.reconfigure(encoding="utf-8" if is_ascii else None, errors="backslashreplace")


def _open_missing() -> None:
    """Open standard streams that the caller closed, or the next file opened would take their number.

    What is written to such a standard output is refused, as the caller's own file would have been.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # the lowest free number, which is this one
            os.set_inheritable(number, True)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115  for as long as the process lives


class _Loss:
    """What became of a stream: shared by its text and its bytes."""

    def __init__(self, *, may_fail: bool) -> None:
        self.may_fail = may_fail
        self.error: OSError | None = None


class _Outliving:
    """A stream that goes on when what is written to it cannot be delivered; it remembers why.

    It is also where text meets the terminal: whatever was printed, and whoever wrote it, no character of it acts there
    (`coldstart.text.printable`). Bytes, which are data, pass as they are.
    """

    def __init__(self, stream: Any, loss: _Loss, show: Callable[[str], str] = printable) -> None:
        self._stream = stream
        self._show = show
        self.loss = loss
        self._reader_gone = {errno.EPIPE, *([errno.EIO] if stream.isatty() else [])}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def buffer(self) -> _Outliving:
        return _Outliving(self._stream.buffer, self.loss)

    @property
    def unfiltered(self) -> _Outliving:
        """The same stream for a writer that has made text harmless itself."""
        return _Outliving(self._stream, self.loss, str)

    def write(self, content: Any) -> int:
        if isinstance(content, str):
            content = self._show(content)
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
        if error.errno not in self._reader_gone and not self.loss.may_fail:
            self.loss.error = self.loss.error or error
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
