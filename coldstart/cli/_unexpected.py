"""What no command foresaw: one line for the user, and the details in a file for whoever corrects it.

Imports are few, and heavy ones wait until something went wrong: every command imports this.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from coldstart import __version__
from coldstart.text import clean

_HIDDEN = "***"
_SHORTEST = 4  # characters of a value that is hidden wherever it stands: "1" stands everywhere
_SHORT_ENV = re.compile(r"-[dhitP]*e")  # flags may come before it
_IN_URL = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_LONGEST = 300  # characters of an error's own message in the line; the file has all of it


def unexpected(error: BaseException) -> str:
    """What to tell the user of an error that nobody expected; its details are written to a new file."""
    words = _Words.of(sys.argv[1:], os.environ)
    what = _without(f"{type(error).__name__}: {error}".split("\n", 1)[0], words.secrets)
    what = clean(what)[:_LONGEST].rstrip(" :.")
    path = write_details(details(error, sys.argv[1:], os.environ), folders(os.environ, os.geteuid()))
    if path is None:
        return f"unexpected error ({what}{_place(error)}); no folder would take the details. Please report this line."
    return f"unexpected error ({what}). Please report it with this file, which has the details: {path}"


def path_of(error: OSError) -> str | None:
    """The file of an error that does not name one, as those of write(2) do: what was open or named where it occurred.

    Innermost first: a file that is open, else a path that a method or function was called for.
    """
    import traceback  # noqa: PLC0415  as in details

    if error.filename is not None:
        return str(error.filename)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        seen = frame.f_locals
        for value in seen.values():
            name = getattr(value, "name", None)
            if isinstance(value, io.IOBase) and isinstance(name, str | os.PathLike):
                return os.fsdecode(name)
        for name in ("self", "path"):
            if isinstance(seen.get(name), Path):
                return str(seen[name])
    return None


def details(error: BaseException, argv: Sequence[str], environ: Mapping[str, str]) -> str:
    """Everything that helps to correct it, as text, without what the user may want to keep secret."""
    import traceback  # noqa: PLC0415  only an error pays for it

    words = _Words.of(argv, environ)
    lines = [
        f"coldstart {__version__}",
        f"python {sys.version}",
        f"platform {' '.join(os.uname())}",
        f"user id {os.geteuid()}",
        f"arguments {list(words.shown)}",
        "",
        *traceback.format_exception(error),
    ]
    return _without("\n".join(lines), words.secrets)


def write_details(text: str, places: Iterator[Path]) -> Path | None:
    """Write the text into a new file of the first folder that takes it; ``None`` if none does.

    The file is its owner's alone. A folder that is a link or somebody else's is passed over, so that root writes only
    where root chose to.
    """
    for folder in places:
        with suppress(OSError):
            return _written(text, folder)
    import tempfile  # noqa: PLC0415  as in details

    with suppress(OSError):
        descriptor, name = tempfile.mkstemp(prefix="coldstart-error-", suffix=".txt")
        with open(descriptor, "w", errors="backslashreplace") as file:  # noqa: PTH123  a descriptor
            file.write(text)
        return Path(name)
    return None


def folders(environ: Mapping[str, str], user: int) -> Iterator[Path]:
    """Where details may go, best first: the user's folder for state (XDG Base Directory Specification).

    Root's is by its account, since sudo may leave the home of another user in HOME.
    """
    if state := environ.get("XDG_STATE_HOME"):
        yield Path(state) / "coldstart"
    import pwd  # noqa: PLC0415  as in details

    with suppress(KeyError):
        yield Path(pwd.getpwuid(user).pw_dir) / ".local" / "state" / "coldstart"


def _written(text: str, folder: Path) -> Path:
    import secrets  # noqa: PLC0415  as in details
    import time  # noqa: PLC0415

    if _existing(folder).lstat().st_uid != os.geteuid():  # before anything is made: it would be ours in their folder
        raise PermissionError
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if {os.fstat(descriptor).st_uid, folder.parent.lstat().st_uid} != {os.geteuid()}:
            raise PermissionError
        name = f"error-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}.txt"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        made = os.open(name, flags, 0o600, dir_fd=descriptor)
        try:
            with open(made, "w", errors="backslashreplace") as file:  # noqa: PTH123  a descriptor
                file.write(text)
        except OSError:
            os.unlink(name, dir_fd=descriptor)
            raise
    finally:
        os.close(descriptor)
    return folder / name


def _existing(folder: Path) -> Path:
    """The nearest folder above it that is there."""
    return next(above for above in folder.parents if os.path.lexists(above))


def _place(error: BaseException) -> str:
    """Where in the code it happened, for want of a file that says so."""
    import traceback  # noqa: PLC0415  as in details

    frames = traceback.extract_tb(error.__traceback__)
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


class _Words(NamedTuple):
    """A command line without what it keeps secret, and the secrets: values of the container's environment variables."""

    shown: tuple[str, ...]
    secrets: tuple[str, ...]

    @classmethod
    def of(cls, argv: Sequence[str], environ: Mapping[str, str]) -> Self:
        shown: list[str] = []
        values: set[str] = set()
        words = iter(argv)
        for word in words:
            option, _, attached = word.partition("=")
            if word == "--":  # the container's command may carry anything
                shown += [word, f"({len(list(words))} more)"]
            elif word == "--env":
                entry = next(words, "")
                values.add(_value(entry, environ))
                shown += [word, _hidden(entry)]
            elif option == "--env":
                values.add(_value(attached, environ))
                shown.append(f"{option}={_hidden(attached)}")
            elif found := _SHORT_ENV.match(word):
                entry = word[found.end() :].removeprefix("=") or next(words, "")
                values.add(_value(entry, environ))
                shown += [found[0], _hidden(entry)]
            else:
                shown.append(word)
                if option == "--env-file" and not attached:
                    attached = next(words, "")
                    shown.append(attached)
                if option == "--env-file":
                    values |= _values_in(attached)
        telling = (value for value in values if len(value) >= _SHORTEST)
        return cls(tuple(shown), tuple(sorted(telling, key=len, reverse=True)))


def _value(entry: str, environ: Mapping[str, str]) -> str:
    name, given, value = entry.partition("=")
    return value if given else environ.get(name, "")


def _hidden(entry: str) -> str:
    name, given, _ = entry.partition("=")
    return f"{name}={_HIDDEN}" if given else entry


def _values_in(env_file: str) -> set[str]:
    """The values of an env file; none where it cannot be read, for then no value of it was used."""
    try:
        if not os.path.isfile(env_file):  # noqa: PTH113  Path's own raises on names with a NUL
            return set()
        lines = Path(env_file).read_text(errors="replace").splitlines()
    except (OSError, ValueError):
        return set()
    return {line.partition("=")[2].strip() for line in lines}


def _without(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    return _IN_URL.sub(_HIDDEN, text)
