"""The gate: what a run must keep to pass, from gate.toml, and whether it got slower than its baseline."""
