"""Every error a user can meet, and the exit code it ends with.

    ColdstartError
    ├── UsageError                  2  the command line, a file or a name is wrong
    │   ├── InputFileError             a file: where, which key or line, what to do
    │   ├── UnknownNameError           a name nobody has, with the nearest one that exists
    │   ├── CorruptRunError            a run directory that cannot be trusted
    │   ├── UnsafeFileError            a link, a pipe or a device where a regular file belongs
    │   └── MissingExtraError          an optional package, with its pip line
    ├── InvalidEnvironmentError     4  the machine cannot do what was asked
    │   ├── EngineUnreachableError     no answer on the engine's socket
    │   │   └── EngineTimeoutError         a request was not answered within its limit
    │   ├── RegistryUnreachableError   no answer from the registry
    │   ├── TestbedError               the testbed could not be started, used or removed
    │   ├── TestbedHeldError           somebody else is measuring on it
    │   ├── ImageBuildError            a catalogue image could not be made
    │   │   └── NotPublishedError          what it is made of is not published for its platform
    │   ├── StorageError               a result could not be written
    │   └── NothingMeasuredError       a run that ended without one timing
    └── EngineError                 4  the engine refused a request

Messages say where, what, and the remedy. Foreign exceptions are translated where they enter, with ``from``.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from typing import ClassVar

EXIT_OK = 0
EXIT_REGRESSION = 1
EXIT_USAGE = 2
EXIT_INCONCLUSIVE = 3
EXIT_ENVIRONMENT = 4
EXIT_INTERRUPTED = 130


class ColdstartError(Exception):
    """Base of all errors meant for a user's eyes; ``exit_code`` is what the process ends with."""

    exit_code: ClassVar[int] = EXIT_ENVIRONMENT


class UsageError(ColdstartError):
    """What was asked for cannot be understood."""

    exit_code = EXIT_USAGE


class InputFileError(UsageError):
    """A file says something we cannot accept; ``where`` is a path, with a key or a line.

    ``finding`` is the message without its remedy.
    """

    def __init__(self, where: object, what: str, remedy: str = "") -> None:
        self.finding = f"{where}: {what}"
        super().__init__(self.finding + (f" {remedy}" if remedy else ""))


class UnknownNameError(UsageError):
    """A name that is not among the known ones; the message names the nearest and lists them all."""

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str = "", remedy: str = "") -> None:
        names = sorted(str(one) for one in known)  # an enum member would be shown by its repr
        nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
        listed = f" Known: {', '.join(names)}." if names else " None is known here."
        what = f"{where + ': ' if where else ''}unknown {kind} {name!r}{hint}{listed}"
        super().__init__(what + (f" {remedy}" if remedy else ""))


class CorruptRunError(InputFileError):
    """A run directory that is damaged, foreign, or newer than this coldstart."""


class UnsafeFileError(InputFileError):
    """What is found at a file's name is not that file: a link, a second name of another file, a pipe, a device."""

    def __init__(self, where: object, what: str) -> None:
        super().__init__(where, f"{what}, so it is left alone.", "Look at who put it there, and remove it.")


class MissingExtraError(UsageError):
    """An optional package is needed; the message carries the pip line that brings it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs packages that are not installed: pip install 'coldstart[{extra}]'")


class InvalidEnvironmentError(ColdstartError):
    """This machine, as it is now, cannot do what was asked."""


class EngineUnreachableError(InvalidEnvironmentError):
    """Nothing answers on the engine's socket."""


class EngineTimeoutError(EngineUnreachableError):
    """One request was not answered within its limit; the engine may answer others."""


class RegistryUnreachableError(InvalidEnvironmentError):
    """Nothing answers at the registry's address."""


class TestbedError(InvalidEnvironmentError):
    """The testbed could not be started, used or removed."""

    __test__ = False  # pytest: a name, not a test


class TestbedHeldError(TestbedError):
    """Another process measures on this testbed; the message names it."""


class ImageBuildError(InvalidEnvironmentError):
    """A catalogue image could not be made."""


class NotPublishedError(ImageBuildError):
    """What an image is made of is published for other platforms, but not for the one it was wanted for."""


class StorageError(InvalidEnvironmentError):
    """A result could not be written; what was measured before is kept."""


class NothingMeasuredError(InvalidEnvironmentError):
    """A run ended without a single timing."""


class EngineError(ColdstartError):
    """The engine answered a request with an error."""


_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "Make room there, or choose another place."),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "Run as root (sudo), or choose another place."),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "Raise the limit of open files (ulimit -n), and repeat."),
    errno.EROFS: "Choose another place, or have it mounted for writing.",
    errno.EIO: "The storage reports an error: look into dmesg, or choose another place.",
    errno.ENOMEM: "Free some memory, and repeat.",
}
"""What helps where the system refuses for a reason that lies with the machine, by errno(3)."""


def refusal(error: OSError, place: object = None, remedy: str = "") -> str | None:
    """A message for what the system refused: the path, the reason and the remedy.

    ``place`` names it where the error has no path of its own, as after a write. ``None`` if the reason is not one that
    lies with the machine (a missing file is more likely a defect).
    """
    if error.errno not in _REMEDIES:
        return None
    where = place if error.filename is None else error.filename
    return f"{'' if where is None else f'{where}: '}{error.strerror}. {remedy or _REMEDIES[error.errno]}"
