"""The report: one JSON model (run.json); HTML, JUnit and terminal are renderings of it."""
