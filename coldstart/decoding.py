"""What strangers wrote, read and decoded: one list of what that raises, so that no reader forgets one of them."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from coldstart.errors import InputFileError

UNREADABLE = (
    msgspec.MsgspecError,  # not the format, or not the record
    tomllib.TOMLDecodeError,
    UnicodeError,  # not UTF-8, or half of a character
    RecursionError,  # nested too deeply
)

_CHUNK_BYTES = 1 << 20
_DEEPEST = 50
TEXT_BYTES = 16 << 20
"""The most that a file which somebody wrote by hand may have."""


def decode_toml(text: str) -> dict[str, Any]:
    """A table of TOML.

    Raises:
        tomllib.TOMLDecodeError: it is not valid TOML, or holds a number beyond 64 bits.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError as error:
        raise tomllib.TOMLDecodeError("it is nested too deeply") from error
    except ValueError as error:  # int() refuses thousands of digits
        raise tomllib.TOMLDecodeError("a value is out of range") from error
    _check(table)
    return table


def read_named(path: Path, most_bytes: int = TEXT_BYTES) -> bytes:
    """The content of a file that the user named; links are followed, and a pipe of the shell's own is read to its end.

    Raises:
        InputFileError: not a regular file (a folder, a named pipe, a device), or it has more than ``most_bytes``.
        OSError: it cannot be read.
        ValueError: a NUL in the path.
    """
    mode = path.stat().st_mode
    from_shell = stat.S_ISFIFO(mode) and str(path).startswith(("/dev/", "/proc/"))  # such as <(command)
    if not (stat.S_ISREG(mode) or from_shell):
        raise InputFileError(path, f"cannot be read: it is {'a folder' if stat.S_ISDIR(mode) else 'not a file'}.")
    parts: list[bytes] = []
    left = most_bytes + 1
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while left > 0 and (part := os.read(descriptor, min(left, _CHUNK_BYTES))):
            parts.append(part)
            left -= len(part)
    finally:
        os.close(descriptor)
    if left <= 0:
        raise InputFileError(path, f"cannot be read: it has more than {most_bytes} bytes.")
    return b"".join(parts)


def _check(table: dict[str, Any]) -> None:
    """Refuse what is nested too deeply for whoever goes through it, and numbers beyond TOML's own range."""
    waiting: list[tuple[str, Any, int]] = [("", table, 0)]
    while waiting:
        key, value, depth = waiting.pop()
        if depth > _DEEPEST:
            raise tomllib.TOMLDecodeError("it is nested too deeply")
        if isinstance(value, int) and abs(value) >= 2**63:
            raise tomllib.TOMLDecodeError(f"{key}: a number is out of range")
        if isinstance(value, dict):
            waiting += [(name, inner, depth + 1) for name, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(key, inner, depth + 1) for inner in value]
