"""Statistics over measurements: percentiles for gates, and the comparison of runs. Pure."""
