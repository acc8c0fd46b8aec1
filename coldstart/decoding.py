"""What decoding JSON or TOML of strangers raises: one list, so that no reader forgets one of them."""

from __future__ import annotations

import msgspec

UNREADABLE = (
    msgspec.MsgspecError,  # not the format, or not the record
    UnicodeDecodeError,  # not UTF-8
    RecursionError,  # nested too deeply
)
