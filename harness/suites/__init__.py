"""The suites of the product: their files lie in tests/acceptance and tests/failover of the repository, and a wheel brings them here."""
