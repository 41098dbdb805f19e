"""Reaching a lab that runs: its registry, its control socket, commands in its hosts."""
