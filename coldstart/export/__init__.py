"""Exporters of a stored run; one module a format, discovered (entry points: group ``coldstart.export``)."""
