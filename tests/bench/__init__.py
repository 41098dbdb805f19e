"""Benchmarks: figures with the machine's load beside them, no verdicts."""
