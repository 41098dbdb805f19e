"""The flight recorder: the agents alone on a cluster for weeks, and what they kept brought home as runs."""
