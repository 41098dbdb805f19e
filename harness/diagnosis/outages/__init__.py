"""Why an outage was as long as it was: its longest phase, and what that phase waits for. Pure."""
