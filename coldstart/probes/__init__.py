"""Readiness probes; one module each, discovered."""
