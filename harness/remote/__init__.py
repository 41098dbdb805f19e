"""What the harness runs on hosts: scripts, measuring agents, connections, packet captures, and the recording that they fill."""
