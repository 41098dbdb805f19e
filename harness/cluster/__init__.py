"""The cluster under test: its open connections, path checks, recovery, and the audit after every test."""
