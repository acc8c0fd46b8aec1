"""Optional packages: whether they are there."""

from __future__ import annotations

import importlib.util

_REPORT = ("jinja2", "matplotlib", "pandas", "scipy")


def can_report() -> bool:
    """Whether everything that analysis and reports import is installed; nothing of it is imported by asking."""
    return all(importlib.util.find_spec(package) is not None for package in _REPORT)
