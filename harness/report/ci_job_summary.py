"""The summary of a job of a CI service: a file in Markdown that the service names, and that everybody appends to."""

from __future__ import annotations

import os
from pathlib import Path

SERVICE_SUMMARY = "GITHUB_STEP_SUMMARY"
"""GitHub Actions' name, which others have taken over, for the file that a job's summary is appended to."""


def append_to_job(markdown: str) -> str:
    """Append it where a service names a file. Empty, or why that could not be done."""
    file = os.environ.get(SERVICE_SUMMARY)
    if not file:
        return ""
    try:
        with Path(file).open("a", encoding="utf-8") as job:
            job.write(markdown)
    except OSError as error:
        return f"{file}: {error.strerror or error}"
    return ""
