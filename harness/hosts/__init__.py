"""Hosts: machines that commands run on, whatever the transport, and what they can tell."""
