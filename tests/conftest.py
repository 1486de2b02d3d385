"""What holds for every test."""

from hypothesis import HealthCheck, settings

# The first draw of a fresh checkout builds the tables of characters, which is slow; a busy machine is slow too.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
