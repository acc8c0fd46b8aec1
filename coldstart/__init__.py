"""Measure where every millisecond of a container's cold start goes, with proof that it was cold."""

__version__ = "0.1.0"
