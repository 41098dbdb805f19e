"""The SSH transport: connections, processes, forwarding, known host keys."""
