"""Text that others wrote, before a terminal or a reader sees it: nothing in it acts, and nothing in it is hidden."""

from __future__ import annotations

import re

# Control characters (C0, DEL, C1), those that reorder or hide the text around them (bidirectional controls, zero-width
# and tag characters, line and paragraph separators), and what is no character at all (surrogates, noncharacters).
_CONTROLS = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    r"\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff"
)
_UNSAFE = re.compile(f"[{_CONTROLS}]")
_UNSAFE_IN_LINE = re.compile(rf"[\t\n{_CONTROLS}]")


def clean(text: str) -> str:
    """One line for a page or a table: line ends and tabs become spaces, every other unsafe character a visible mark."""
    return _UNSAFE_IN_LINE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\n", " ").replace("\t", " "))


def clean_lines(text: str) -> str:
    """As `clean`, for text whose line ends are meant, such as a command to copy."""
    return "\n".join(map(clean, text.split("\n")))


def printable(text: str) -> str:
    r"""Text for a terminal: line ends and tabs stay, every other unsafe character is shown as ``\uXXXX``.

    That is also JSON's own notation, so JSON that passes through here still means the same.
    """
    return _UNSAFE.sub(lambda found: _escaped(found.group()), text)


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
