"""Settings for every test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# No test may fail because the machine was busy: neither an example's time nor that of making one is judged.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
