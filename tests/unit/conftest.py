"""What Hypothesis asks of the machine, for all tests of this folder: nothing."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# By itself it fails a test whose example took more than 200 ms, or whose inputs were drawn slowly: on a busy machine, any.
settings.register_profile("a busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("a busy machine")
