"""Measuring agents on hosts: the Python agent, the shell and PowerShell ones, and SSH forwarding."""
