"""What every room uses: errors with their exit codes, deadlines, verdicts, the timeline, text, files, redaction."""
