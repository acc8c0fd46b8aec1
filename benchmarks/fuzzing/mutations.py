"""Valid input made wrong: by its structure first, then by its bytes. All of it from a seeded generator."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, TypeAlias

Json: TypeAlias = Any
Rng: TypeAlias = random.Random

_DEEP = 3000
_LONG = 100_000
NASTY_TEXTS = (
    "",
    " ",
    "\0",
    "\x1b]0;owned\x07\x1b[31m",
    "\u202eevil",
    "=1+1",
    "../../etc/passwd",
    "/",
    "a\nb\r\nc",
    "-1",
    "1e999",
    "NaN",
    "null",
    "日本 صورة 🐢",
    "\ufeffx",
    "%s%n{0}{x}",
    "sha256:" + "0" * 64,
    "[x](javascript:alert(1))",
    "<script>",
    "'\"`\\",
    "x" * 300,
)
_ODD_ESCAPES = ("\\ud800", "\\u0000", "\\x", "\\udc9b\\ud83d", "\t")
NASTY_NUMBERS = (0, -1, 1, 0.5, -0.0, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30, 1e308, 1e-320)
NASTY_CONSTANTS = (float("nan"), float("inf"), float("-inf"))


def nasty(rng: Rng) -> Json:
    """A value of any kind that somebody did not expect."""
    return rng.choice(_NASTY)(rng)


class Deep:
    """JSON so deep that no program would build it."""

    def __init__(self, levels: int, opening: str) -> None:
        self.text = opening * levels + "0" + ("]" if opening == "[" else "}") * levels


def mutated_json(rng: Rng, value: Json, times: int | None = None) -> Json:
    """A copy of a decoded JSON value with something in it changed, once or a few times."""
    value = json.loads(json.dumps(value)) if not isinstance(value, Deep) else value
    for _ in range(times if times is not None else rng.choice((1, 1, 1, 2, 3))):
        value = _changed(rng, value)
    return value


def encoded(rng: Rng, value: Json) -> bytes:
    """As JSON text, at times with a repeated key, odd escapes or odd numbers."""
    text = _text(value)
    if rng.random() < 0.05 and '"' in text:
        at = rng.choice([place for place, letter in enumerate(text) if letter == '"'])
        text = text[: at + 1] + rng.choice(_ODD_ESCAPES) + text[at + 1 :]
    if rng.random() < 0.03 and text.startswith("{") and len(text) > 2:
        text = f"{text[:-1]},{text[1:]}"  # every key twice
    return text.encode("utf-8", "surrogatepass")


def mutated_bytes(rng: Rng, data: bytes) -> bytes:
    """The data with bytes flipped, cut, repeated, inserted, or in another encoding."""
    operation = rng.choice(_BYTE_OPERATIONS)
    return operation(rng, data)


def mutated_text(rng: Rng, text: str) -> str:
    """Lines and words swapped, repeated, removed or replaced, as a person or a damaged disk would."""
    lines = text.split("\n")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        kind = rng.randrange(8)
        if kind == 0:
            del lines[at]
            lines = lines or [""]
        elif kind == 1:
            lines.insert(at, lines[rng.randrange(len(lines))])
        elif kind == 2:
            lines[at] = _replaced_word(rng, lines[at])
        elif kind == 3:
            lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
        elif kind == 4:
            lines[at] += rng.choice((*NASTY_TEXTS, "x" * _LONG, "[" * _DEEP, "#"))
        elif kind == 5:
            place = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + rng.choice(NASTY_TEXTS) + lines[at][place:]
        elif kind == 6:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines[at] = _replaced_value(rng, lines[at])
    return "\n".join(lines)


def _changed(rng: Rng, value: Json) -> Json:
    """Walk down to a random place, and change what is there."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return nasty(rng)
    return _changed_object(rng, value) if isinstance(value, dict) else _changed_array(rng, value)


def _changed_object(rng: Rng, value: dict[str, Json]) -> Json:
    key = rng.choice(list(value))
    match rng.randrange(10):
        case 0:
            del value[key]
        case 1:
            value[rng.choice(NASTY_TEXTS)] = value.pop(key)
        case 2:
            value[key] = value[rng.choice(list(value))]
        case 3:
            value[rng.choice(NASTY_TEXTS)] = nasty(rng)
        case _:
            value[key] = _changed(rng, value[key])
    return value


def _changed_array(rng: Rng, value: list[Json]) -> Json:
    at = rng.randrange(len(value))
    match rng.randrange(10):
        case 0:
            del value[at]
        case 1:
            value.insert(at, value[rng.randrange(len(value))])
        case 2:
            value.extend([value[at]] * rng.choice((2, 50)))
        case 3:
            value.insert(at, nasty(rng))
        case _:
            value[at] = _changed(rng, value[at])
    return value


def _text(value: Json) -> str:
    if isinstance(value, Deep):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_text(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _replaced_word(rng: Rng, line: str) -> str:
    words = line.split(" ")
    words[rng.randrange(len(words))] = _text(nasty(rng))[:_LONG]
    return " ".join(words)


def _replaced_value(rng: Rng, line: str) -> str:
    name, equals, _ = line.partition("=")
    return f"{name}{equals} {_text(nasty(rng))[:_LONG]}" if equals else line


def _flip(rng: Rng, data: bytes) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(rng: Rng, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _drop(rng: Rng, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.choice((1, 2, 16, 512)) :]


def _repeat(rng: Rng, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    piece = data[at : at + rng.choice((1, 16, 512))]
    return data[:at] + piece * rng.choice((2, 10)) + data[at:]


def _insert(rng: Rng, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    piece = rng.choice((b"\0", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\r", b"\n", b"\x1b", rng.randbytes(16)))
    return data[:at] + piece + data[at:]


def _utf_16(rng: Rng, data: bytes) -> bytes:
    return data.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-16-be", "utf-32", "utf-8-sig")))


def _crlf(_: Rng, data: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


def _random(rng: Rng, _: bytes) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 7, 100, 4096)))


_NASTY: tuple[Callable[[Rng], Json], ...] = (
    lambda rng: rng.choice(NASTY_TEXTS),
    lambda rng: rng.choice(NASTY_NUMBERS),
    lambda rng: rng.choice((None, True, False)),
    lambda rng: rng.choice(([], {}, [[]], [None], {"": None}, [{}])),
    lambda rng: rng.choice(NASTY_CONSTANTS),
    lambda rng: rng.choice("xé\0\n") * rng.choice((1000, _LONG)),
    lambda rng: Deep(rng.choice((5, 50, 500, _DEEP)), rng.choice(("[", '{"a":'))),
    lambda rng: rng.randrange(-(2**70), 2**70),
)
_BYTE_OPERATIONS: tuple[Callable[[Rng, bytes], bytes], ...] = (
    *(_flip, _flip, _flip, _cut, _cut, _drop, _repeat, _insert, _insert),
    *(_utf_16, _crlf, _random),
)
