"""The failover suite, where it is installed (`pytest --cluster FILE --pyargs harness.suites.failover`)."""
