"""The history of runs: every finished run in one file beside the runs, what changed from night to night, and the page of it."""
