"""The cluster under test: its open connections, path checks, recovery, and the invariants after every test."""
